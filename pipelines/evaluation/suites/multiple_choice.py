"""Questions with several answers, one of them right: PIQA, ARC, OpenBookQA, COPA.

The model chooses the answer that it finds likeliest after the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.core.stanza import Strict
from pipelines.corpora.sources.records import text_of
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Choosing
from pipelines.evaluation.suite import Suite, SuiteOptions, place_in, texts_in


class Question(Strict):
    """The fields of a row."""

    query: str = "query"
    """A field, or a text with fields in braces: ``"Question: {goal}"``."""
    choices: str | tuple[str, ...] = "choices"
    """A field with a list of answers, or the fields of the answers."""
    gold: str = "gold"
    """The number of the right answer from 0 on, its name or its text."""
    names: str | None = None
    """A field with the names of the answers, such as A, B, C; null: they have none."""


class MultipleChoice(SuiteOptions, Choosing):
    """Questions with several answers; the likeliest after the question is the model's."""

    kind: Literal["multiple_choice"]
    fields: Question = Question()

    def asking(self) -> Choosing:
        """How a model is asked."""
        return self.part(Choosing)


def item(name: str, row: Mapping[str, Any], fields: Question) -> Item:
    """The question of a row."""
    if isinstance(fields.choices, str):
        choices = texts_in(row, fields.choices)
    else:
        choices = [text_of(row, path) for path in fields.choices]
    names = texts_in(row, fields.names) if fields.names else []
    query = text_of(row, fields.query)
    gold = place_in(row, fields.gold, choices, names)
    return Item(name, [query] * len(choices), choices, gold)


SUITE = Suite(options=MultipleChoice, item=item, making="pipelines.evaluation.choices:evaluate")
