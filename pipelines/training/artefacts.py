"""The artefact of a trained network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import FIGURES, Artefact
from pipelines.tokens.artefacts import DRAWS, Draw, read_draws

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.core.store import Store

WEIGHTS, ADAPTER = "model.safetensors", "adapter.safetensors"
CURVE = "curve.json"
TRAIL, TRAIL_FIGURES = "trail.json", "trail_figures.json"
RECEIPT = "receipt.json"
RESULT = (WEIGHTS, "config.json", "drawn.json", FIGURES, RECEIPT)
"""The files of a foundation that was trained here."""


def draws_name(step: int) -> str:
    """The file of a trail with the draws up to a step."""
    return f"draws-{step:08d}.arrow"


class Checkpoint(Artefact):
    """Weights (safetensors) and the network's configuration; the training curve is beside them.

    An adapter has only what was learned beside the weights of its base, another checkpoint.
    """

    kind = "safetensors"

    def config(self) -> dict[str, Any]:
        """``architecture``, ``network``, ``tokenizer`` (its version), a head's ``labels``; of an
        adapter also its ``base`` (the version) and ``adapter`` (rank, alpha, targets)."""
        config: dict[str, Any] = self.json("config.json")
        return config

    @property
    def is_adapter(self) -> bool:
        """Whether it can be used only together with the weights of its base."""
        return ADAPTER in self.files

    @property
    def weights_name(self) -> str:
        """The file of its weights."""
        return ADAPTER if self.is_adapter else WEIGHTS

    def base_in(self, store: Store) -> Checkpoint | None:
        """The weights that an adapter adapts, from a store; None for whole weights.

        Raises StoreError if the store does not hold them.
        """
        if not self.is_adapter:
            return None
        return store.open(self.key, self.config()["base"]["version"], Checkpoint)

    def base_among(self, *known: Checkpoint) -> Checkpoint | None:
        """The one of some checkpoints that it adapts; None if it is none of them."""
        version = self.config().get("base", {}).get("version")
        return next((one for one in known if one.version == version), None)

    def tensors(self) -> dict[str, Tensor]:
        """The weights, or what an adapter learned. They are parsed from the same bytes that are
        hashed."""
        from safetensors.torch import load

        tensors: dict[str, Tensor] = load(self.read(self.weights_name))
        return tensors

    def trained(self) -> bool:
        """Whether it was trained here by at least one step; imported weights were not."""
        return bool(self.json(FIGURES)["steps"])

    def drawn(self) -> dict[str, dict[str, float]]:
        """What training drew from each corpus: windows, tokens, epochs; empty if it had none."""
        corpora = self.json("drawn.json") if "drawn.json" in self.files else {}
        return dict(corpora)

    def draws(self) -> Iterator[Draw]:
        """The documents or examples that the weights have read, in the order of their first step.

        None for weights from elsewhere and for a version of an earlier program.
        """
        if DRAWS in self.files:
            yield from read_draws(self.table(DRAWS))

    def receipt(self) -> dict[str, Any]:
        """The running digest over what the steps read, as ``Receipt.told``; empty without one."""
        return dict(self.json(RECEIPT)) if RECEIPT in self.files else {}

    def curve(self) -> dict[str, list[list[float]]]:
        """``train`` and ``validation``: [step, loss] pairs, as the training that its derivation
        names was watched; empty for weights from elsewhere."""
        none: dict[str, list[list[float]]] = {"train": [], "validation": []}
        if CURVE in self.files:  # a version of an earlier program
            return dict(self.json(CURVE))
        content = self.beside.read(CURVE) if self.beside else None
        return none if content is None else dict(json.loads(content))

    def figures(self) -> dict[str, float]:
        """The numbers of the version, and the last validation loss of its curve."""
        figures, points = super().figures(), self.curve()["validation"]
        return {**figures, "final_validation_loss": points[-1][1]} if points else figures


class KeptStates(Artefact):
    """The states that a training kept on its way, and its result; other trainings branch from it.

    A training that diverged has no result, but the states before that.
    """

    kind = "states"

    def trail(self) -> dict[str, Any]:
        """``states`` by step, each with the losses before it and what its weights have read; the
        version of the ``tokenizer``; what the ``looks`` read that chose the best weights, empty for
        none; the ``fault`` that ended the training, empty for none."""
        trail: dict[str, Any] = self.json(TRAIL)
        return trail

    def figures(self) -> dict[str, float]:
        """How many states there are, and the step of the last."""
        figures: dict[str, float] = self.json(TRAIL_FIGURES)
        return figures

    def steps(self) -> list[int]:
        """The steps of the states, in order."""
        return sorted(map(int, self.trail()["states"]))

    def require(self, step: int) -> None:
        """Raise ValueError if there is no state of ``step``."""
        if step not in self.steps():
            known = ", ".join(map(str, self.steps()))
            raise ValueError(
                f"training.from.step: {self.key} has no state of step {step}; it has {known}"
            )

    def draws(self, step: int) -> Iterator[Draw]:
        """The documents that the weights of a state have read, as ``Checkpoint.draws``."""
        yield from read_draws(self.table(draws_name(step)))

    def receipt(self, step: int) -> dict[str, Any]:
        """The receipt up to a state, as ``Receipt.told``."""
        trail = self.trail()
        links = {at: link for at, link in trail["links"].items() if int(at) <= step}
        return {"steps": step, "last": trail["states"][str(step)]["receipt"], "links": links}

    def weights(self, step: int) -> dict[str, Tensor]:
        """The network's weights in a state. Raises ValueError if there is none of ``step``."""
        from safetensors.torch import load

        named = load(self.state(step)).items()
        own = "network."  # before the names of weights (model/training/loop.py)
        return {name.removeprefix(own): tensor for name, tensor in named if name.startswith(own)}

    def state(self, step: int) -> bytes:
        """The checked file of a state. Raises ValueError if there is none of ``step``."""
        self.require(step)
        return self.read(f"step-{step:08d}.safetensors")
