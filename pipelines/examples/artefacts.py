"""The examples of a task, and the functions that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.core.artefact import Artefact, Rows
from pipelines.corpora.splits import Split
from pipelines.text.arrow import ArrowFile
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import pyarrow as pa

CARD = "card.json"


class Chat(NamedTuple):
    """A conversation whose replies are learned.

    ``roles`` has the role of each turn: system, user, assistant or tool. ``learned`` is True for
    the turns of the assistant whose tokens count.
    """

    id: str
    document_id: str
    roles: list[str]
    said: list[str]
    learned: list[bool]


class Pair(NamedTuple):
    """A reply and the turns before it, the oldest first; it replies to the last of them."""

    id: str
    document_id: str
    prompt: list[str]
    reply: str


class Preference(NamedTuple):
    """Two replies of the assistant to the same turns: the one to prefer, and the other."""

    id: str
    document_id: str
    roles: list[str]
    said: list[str]
    chosen: str
    rejected: str


class Examples(Artefact):
    """A task's examples by split: conversations, preferences, or labelled texts."""

    kind = "arrow"

    def chats(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Chat]:
        """The conversations of a split, without those of the documents ``left_out``."""
        chats = read_chats(self.table(f"{split}.arrow"))
        return (chat for chat in chats if chat.document_id not in left_out)

    def pairs(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Pair]:
        """The conversations of a split as pairs of what was said before and the last reply."""
        return map(pair_of, self.chats(split, left_out))

    def preferences(
        self, split: str, left_out: frozenset[str] = frozenset()
    ) -> Iterator[Preference]:
        """The preferences of a split, without those of the documents ``left_out``."""
        rows = read_preferences(self.table(f"{split}.arrow"))
        return (row for row in rows if row.document_id not in left_out)

    def labelled(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Labelled]:
        """The labelled texts of a split, for a classifier, without the documents ``left_out``."""
        rows = read_labelled(self.table(f"{split}.arrow"))
        return (row for row in rows if row.document_id not in left_out)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The examples of a split of any task as mappings, to inspect them."""
        for batch in self.table(f"{split}.arrow").batches():
            yield from batch.to_pylist()

    def card(self) -> dict[str, Rows]:
        """The tables about the examples by title: lengths, roles, licences. Empty without any."""
        card: dict[str, Rows] = self.json(CARD) if CARD in self.files else {}
        return card


class Labelled(NamedTuple):
    """A text and its label."""

    id: str
    document_id: str
    text: str
    label: str


def pair_of(chat: Chat) -> Pair:
    """A conversation as the turns before its last reply, and that reply."""
    return Pair(chat.id, chat.document_id, chat.said[:-1], chat.said[-1])


def read_chats(table: ArrowFile) -> Iterator[Chat]:
    """The conversations of an Arrow file, in order."""
    yield from map(Chat._make, table.rows(Chat._fields))


def read_preferences(table: ArrowFile) -> Iterator[Preference]:
    """The preferences of an Arrow file, in order."""
    yield from map(Preference._make, table.rows(Preference._fields))


def read_labelled(table: ArrowFile) -> Iterator[Labelled]:
    """The labelled texts of an Arrow file, in order."""
    yield from map(Labelled._make, table.rows(Labelled._fields))


def require_held_out(counts: Mapping[Split, int]) -> None:
    """Raise TextError for a split without an example, because it cannot be evaluated."""
    if empty := [split for split, examples in counts.items() if not examples]:
        raise TextError(
            f"the {empty[0]} split has no example; raise its share in the corpus' `split`, or add"
            " documents"
        )


def schema_of(names: Sequence[str], types: Sequence[pa.DataType]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in zip(names, types, strict=True)]
    )
