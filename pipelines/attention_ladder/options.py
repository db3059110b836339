"""Options of the attention ladder of a recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, model_validator

from pipelines.core.stanza import Positive, Strict
from pipelines.training.options import Training, with_default_rates


class Watched(Training):
    """The training of a rung. The result has its curve, so it follows from the validations."""

    def decides_nothing(self) -> frozenset[str]:
        """When states are saved, which a rung never does."""
        return frozenset({"checkpoint_minutes", "checkpoint_every"})


class AttentionLadder(Strict):
    """The same small GPT trained on each rung of the attention ladder."""

    d_model: Positive = 64
    n_layers: Positive = 2
    n_heads: Positive = 4
    n_kv_heads: Positive = 2
    """The number of key and value heads of the grouped-query rung."""
    context_length: Positive = 64
    prompt: str = ""
    """A text: each rung continues it, and the heatmaps show its attention."""
    training: Annotated[Watched, AfterValidator(with_default_rates)]

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> AttentionLadder:
        for whole, part in (("d_model", "n_heads"), ("n_heads", "n_kv_heads")):
            size, count = getattr(self, whole), getattr(self, part)
            if size % count:
                raise ValueError(f"{part}: {whole}={size} is no multiple of {count}; change one")
        return self


class Climb(Strict):
    """Settings of the making of a ladder; they decide it together with its inputs."""

    attention_ladder: AttentionLadder
    weights: dict[str, float]
    """The share of the batches, by corpus."""
    epochs: dict[str, float]
    """The largest number of epochs, by corpus."""
    seed: int

    @property
    def training(self) -> Training:
        """The training of each rung."""
        return self.attention_ladder.training
