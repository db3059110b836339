"""Texts that are predicted token by token: perplexity and bits per byte, such as of WikiText.

Each text is by itself: its first token follows the beginning of a text. A text longer than the
context is read in windows, which a stride lets overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.corpora.sources.records import BadRow
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Reading
from pipelines.evaluation.suite import Suite, SuiteOptions


class Perplexity(SuiteOptions, Reading):
    """Texts whose every token is predicted. A file of plain text is one text."""

    kind: Literal["perplexity"]

    def asking(self) -> Reading:
        """How the texts are read."""
        return self.part(Reading)


def item(name: str, row: Mapping[str, Any], _: None) -> Item:
    """A text."""
    text = row["text"]
    if not text.strip():
        raise BadRow("an empty text, so there is nothing to predict")
    return Item(name, [""], [text], 0)


SUITE = Suite(
    options=Perplexity,
    item=item,
    making="pipelines.evaluation.texts:evaluate",
    observe="pipelines.evaluation.compressors:observed",
)
