"""Beginnings of a sentence, one of them right, with a common end: the Winograd schemas.

The model chooses the beginning after which it finds the end likeliest (Trinh and Le 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.core.stanza import Strict
from pipelines.corpora.sources.records import text_of
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Choosing
from pipelines.evaluation.suite import Suite, SuiteOptions, place_in, texts_in


class Schema(Strict):
    """The fields of a row."""

    contexts: str = "context_options"
    """A field with a list of beginnings."""
    continuation: str = "continuation"
    gold: str = "gold"
    """The number of the right beginning from 0 on, or its text."""


class ContextChoice(SuiteOptions, Choosing):
    """Several beginnings with a common end; the one that makes the end likeliest is the model's."""

    kind: Literal["context_choice"]
    fields: Schema = Schema()

    def asking(self) -> Choosing:
        """How a model is asked."""
        return self.part(Choosing)


def item(name: str, row: Mapping[str, Any], fields: Schema) -> Item:
    """The schema of a row."""
    contexts = texts_in(row, fields.contexts)
    end = text_of(row, fields.continuation)
    return Item(name, contexts, [end] * len(contexts), place_in(row, fields.gold, contexts, []))


SUITE = Suite(options=ContextChoice, item=item, making="pipelines.evaluation.choices:evaluate")
