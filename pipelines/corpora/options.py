"""A corpus: its source, what is done to its documents, what is held out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.core.stanza import Fraction, Name, Positive, Strict
from pipelines.corpora.cleaning.options import DEFAULT, CleaningStep
from pipelines.corpora.sources.options import Source


class Splitting(Strict):
    """The shares held out, by the hash of the document."""

    validation: Fraction = 0.05
    test: Fraction = 0.05


class Cleaned(Strict):
    """How documents become clean ones in three splits."""

    cleaning: Annotated[tuple[CleaningStep, ...], Field(min_length=1)] = DEFAULT
    """Steps in the order in which they are taken."""
    split: Splitting = Splitting()


class Corpus(Cleaned):
    """Where text comes from and how it becomes documents."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share of the pretraining batches; 0 when only tasks read it."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """How often pretraining may go through it at most; the others then take its share."""
    source: Source

    @model_validator(mode="after")
    def _epochs_of_what_is_drawn(self) -> Corpus:
        if self.epochs is not None and not self.weight:
            raise ValueError("epochs limits pretraining, and weight: 0 keeps the corpus out of it")
        return self


class Against(Strict):
    """What counts as shared with what the model is evaluated on."""

    ngram: Positive = 13
    """So many words in a row count as an overlap (Brown et al. 2020, C)."""
    against: tuple[Name, ...] = ()
    """Corpora that are evaluation sets as a whole; the held-out splits of all others count too."""


class Decontamination(Against):
    """Training documents that share words with what the model is evaluated on."""

    drop: bool = False
    """Whether such documents stay out of the training shards; they are reported either way."""
