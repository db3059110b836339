"""What of a trained network learns when it is trained further: a section of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Positive, Strict, Whole

Rate = Annotated[float, Field(gt=0)]

ADAPTER_RATE = 0.001
"""The rate of the thin matrices of lora, if the recipe does not say; ten times that of AdamW on
whole weights (Schulman et al. 2025)."""


class Full(Strict):
    """All weights learn."""

    kind: Literal["full"] = "full"


class LastBlock(Strict):
    """The last blocks and the last norm learn, and a new head; the rest stays."""

    kind: Literal["last_block"]
    blocks: Whole = 1
    """How many of the last blocks learn; 0 for the last norm and a new head alone."""


class Lora(Strict):
    """Two thin matrices beside each of some layers learn, and a new head (Hu et al. 2022).

    The result is an adapter: a small artefact that is used together with the weights it adapts.
    """

    kind: Literal["lora"]
    rank: Positive = 16
    """The width of the thin matrices."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """Their product is multiplied by alpha / rank."""
    targets: Literal["all", "attention"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    """all: the linear layers of the blocks. attention: those of attention alone. Or the last parts
    of the names of layers, such as [queries, values]; a head is one of them only if it is named."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of a layer's inputs that the thin matrices do not read in a step."""
    learning_rate: Rate | None = None
    """The rate of the thin matrices, by AdamW; 0.001 if it is left out, of preferences a tenth of
    it."""

    def resolved(self, share: float = 1.0) -> Lora:
        """A copy with a rate; one that is left out is this ``share`` of the default."""
        rate = self.learning_rate or share * ADAPTER_RATE
        return self.model_copy(update={"learning_rate": rate})


Method = Annotated[Full | LastBlock | Lora, Field(discriminator="kind")]
