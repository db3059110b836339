"""The examples of a task, and the functions that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.corpora.splits import Split
from pipelines.text.arrow import ArrowFile
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import pyarrow as pa


class Examples(Artefact):
    """A task's examples by split: prompt/reply pairs, or labelled texts."""

    kind = "arrow"

    def pairs(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Pair]:
        """The pairs of a split, for an assistant, without those of the documents ``left_out``."""
        pairs = read_pairs(self.table(f"{split}.arrow"))
        return (pair for pair in pairs if pair.document_id not in left_out)

    def labelled(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Labelled]:
        """The labelled texts of a split, for a classifier, without the documents ``left_out``."""
        rows = read_labelled(self.table(f"{split}.arrow"))
        return (row for row in rows if row.document_id not in left_out)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The examples of a split of any task as mappings, to inspect them."""
        for batch in self.table(f"{split}.arrow").batches():
            yield from batch.to_pylist()


class Pair(NamedTuple):
    """A reply and the turns before it, the oldest first; it replies to the last of them."""

    id: str
    document_id: str
    prompt: list[str]
    reply: str


class Labelled(NamedTuple):
    """A text and its label."""

    id: str
    document_id: str
    text: str
    label: str


def read_pairs(table: ArrowFile) -> Iterator[Pair]:
    """The pairs of an Arrow file, in order."""
    yield from map(Pair._make, table.rows(Pair._fields))


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
