"""The items of an evaluation set, and those that training text holds too: views and reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import OVERLAPS, Overlapping, read_overlaps
from pipelines.text.errors import TextError


class Item(NamedTuple):
    """One question: what stands before each answer, the answers, and the number of the right one.

    ``contexts`` and ``continuations`` have an entry for each answer; most often the contexts are
    equal. A text to be predicted whole is one continuation after an empty context.
    """

    id: str
    contexts: list[str]
    continuations: list[str]
    gold: int

    @property
    def text(self) -> str:
        """The question with its right answer: what a model may have read in training."""
        return f"{self.contexts[self.gold]} {self.continuations[self.gold]}".strip()


class Items(Artefact):
    """The items of an evaluation set, in the order of their source."""

    kind = "arrow"
    TABLE: ClassVar[str] = "items.arrow"

    def items(self) -> Iterator[Item]:
        """All items."""
        return map(Item._make, self.table(self.TABLE).rows(Item._fields))


class SeenItems(Artefact):
    """The items of an evaluation set that share words in a row with training documents."""

    kind = "arrow"

    def overlaps(self) -> Iterator[Overlapping]:
        """Pairs of a training document and an item."""
        return read_overlaps(self.table(OVERLAPS))

    def ids(self) -> frozenset[str]:
        """The ids of these items."""
        return frozenset(row.evaluation_id for row in self.overlaps())


def require_items(items: Sequence[Item], name: str) -> None:
    """Raise TextError without an item: a figure of nothing is no figure."""
    if not items:
        raise TextError(f"{name}: there is no item to evaluate; correct its `source` or `limit`")
