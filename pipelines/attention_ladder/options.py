"""The ladder of attention, which is trained beside a recipe."""

from __future__ import annotations

from pydantic import model_validator

from pipelines.core.stanza import Positive, Strict
from pipelines.training.options import Drawn, Training


class AttentionLadder(Strict):
    """The same small GPT trained on each rung of the attention ladder."""

    d_model: Positive = 64
    n_layers: Positive = 2
    n_heads: Positive = 4
    n_kv_heads: Positive = 2
    """Of the grouped-query rung."""
    context_length: Positive = 64
    prompt: str = ""
    """A text whose attention is drawn, and which each rung continues."""
    training: Drawn

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> AttentionLadder:
        for whole, part in (("d_model", "n_heads"), ("n_heads", "n_kv_heads")):
            shared, among = getattr(self, whole), getattr(self, part)
            if shared % among:
                raise ValueError(f"{part}: {whole}={shared} is no multiple of {among}; change one")
        return self


class Climb(Strict):
    """What decides a ladder, beside its shards."""

    attention_ladder: AttentionLadder
    weights: dict[str, float]
    """By corpus: its share of the batches."""
    epochs: dict[str, float]
    """By corpus: how often it may be gone through at most."""
    seed: int

    @property
    def training(self) -> Training:
        """How each rung is trained."""
        return self.attention_ladder.training
