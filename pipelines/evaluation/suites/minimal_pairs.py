"""Pairs of sentences that differ in one word, one of them grammatical: BLiMP.

The model chooses the sentence that it finds likelier as a whole (Warstadt et al. 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.core.stanza import Strict
from pipelines.corpora.sources.records import text_of
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Asking, Choosing
from pipelines.evaluation.suite import Suite, SuiteOptions


class Pair(Strict):
    """The fields of a row."""

    good: str = "sentence_good"
    bad: str = "sentence_bad"


class MinimalPairs(SuiteOptions, Asking):
    """Two sentences of which one is right; the likelier one is the model's."""

    kind: Literal["minimal_pairs"]
    fields: Pair = Pair()

    def asking(self) -> Choosing:
        """How a model is asked; a sentence follows the beginning of a text and a space."""
        return self.part(Choosing)


def item(name: str, row: Mapping[str, Any], fields: Pair) -> Item:
    """The pair of a row, the right sentence first."""
    return Item(name, ["", ""], [text_of(row, path) for path in (fields.good, fields.bad)], 0)


SUITE = Suite(options=MinimalPairs, item=item, making="pipelines.evaluation.choices:evaluate")
