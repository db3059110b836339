"""The section of a recipe that keeps evaluation text out of training."""

from __future__ import annotations

from pipelines.core.stanza import Name, Positive, Strict


class Against(Strict):
    """How an overlap with evaluation text is recognised, and which text is evaluation text."""

    ngram: Positive = 13
    """The number of equal words in a row that count as an overlap (Brown et al. 2020, C)."""
    against: tuple[Name, ...] = ()
    """Corpora that are evaluation sets as a whole. Of all others the held-out splits count."""


class Decontamination(Against):
    """Training documents that share words with evaluation text."""

    drop: bool = False
    """Whether such documents stay out of the training shards; they are reported in both cases."""
