"""A corpus: its source, what is done to its documents, what is held out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.corpora.cleaning.options import Cleaning
from pipelines.corpora.sources.kinds import sections


class Corpus(Cleaning):
    """Where text comes from and how it becomes documents."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share of the pretraining batches; 0 when only tasks read it."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """How often pretraining may go through it at most; the others then take its share."""
    source: sections()  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _epochs_of_what_is_drawn(self) -> Corpus:
        if self.epochs is not None and not self.weight:
            raise ValueError("epochs limits pretraining, and weight: 0 keeps the corpus out of it")
        return self
