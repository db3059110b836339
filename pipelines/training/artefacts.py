"""The artefact of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import Artefact

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint(Artefact):
    """Weights (safetensors), the network's configuration and its training curve."""

    kind = "safetensors"

    def config(self) -> dict[str, Any]:
        """``architecture``, ``network``, ``tokenizer`` (its version), a head's ``labels``."""
        config: dict[str, Any] = self.json("config.json")
        return config

    def tensors(self) -> dict[str, Tensor]:
        """The weights. They are parsed from the same bytes that are hashed."""
        from safetensors.torch import load

        tensors: dict[str, Tensor] = load(self.read("model.safetensors"))
        return tensors

    def trained(self) -> bool:
        """Whether it was trained here by at least one step; imported weights have no curve."""
        return bool(self.curve()["train"])

    def drawn(self) -> dict[str, dict[str, float]]:
        """What training drew from each corpus: windows, tokens, epochs; empty if it had none."""
        corpora = self.json("drawn.json") if "drawn.json" in self.files else {}
        return dict(corpora)

    def curve(self) -> dict[str, list[list[float]]]:
        """``train`` and ``validation``: [step, loss] pairs."""
        curves: dict[str, list[list[float]]] = self.json("curve.json")
        return curves
