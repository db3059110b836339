"""Texts whose end is to be said: LAMBADA's last word, the short answers of BIG-bench.

An item counts as right if the model, always taking the likeliest token, says exactly that end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.core.stanza import Strict
from pipelines.corpora.sources.records import BadRow, text_of
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Choosing
from pipelines.evaluation.suite import Suite, SuiteOptions


class Ending(Strict):
    """The fields of a row."""

    context: str = "context"
    continuation: str = "continuation"
    text: str | None = None
    """Instead of both: a field with the whole text, whose last word is asked."""


class LastWord(SuiteOptions, Choosing):
    """Texts with an end that the model has to say, token by token."""

    kind: Literal["last_word"]
    fields: Ending = Ending()

    def asking(self) -> Choosing:
        """How a model is asked."""
        return self.part(Choosing)


def item(name: str, row: Mapping[str, Any], fields: Ending) -> Item:
    """The text of a row and its end."""
    if fields.text is None:
        context, end = text_of(row, fields.context), text_of(row, fields.continuation)
    else:
        context, _, end = text_of(row, fields.text).rstrip().rpartition(" ")
    if not end:
        raise BadRow("its end is empty, so there is nothing to ask")
    return Item(name, [context], [end], 0)


SUITE = Suite(options=LastWord, item=item, making="pipelines.evaluation.endings:evaluate")
