"""What is kept from being learned, since a model is evaluated on it: the section of a recipe."""

from __future__ import annotations

from pipelines.core.stanza import Name, Positive, Strict


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
