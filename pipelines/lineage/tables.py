"""The tables of a version, and the rows in them that name documents and examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.core.artefact import Artefact, CorruptArtefact, read_manifest
from pipelines.core.store import Store
from pipelines.text.arrow import ArrowFile
from pipelines.text.tables import TABLES
from pipelines.tokens.artefacts import INDEX as SHARDS
from pipelines.tokens.artefacts import read_index

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".arrow"
NAMES = ("id", "document_id", "example_id", "evaluation_id", "sha256")
"""The columns whose values name a document or an example."""
LONG = ("text", "tokens", "prompt", "reply", "changes", "contexts", "continuations")
"""The columns that are not read when a row is told."""


class Row(NamedTuple):
    """A row of a table: its version, the table's name in it, its number from 0, its short values.

    ``similarity`` is 0 for a row that was asked for, else how near its document is to that.

    A ``sha256`` is a hex digest, however the table holds it. ``tokens`` of a table with one row for
    each document that was drawn is a number, and so it is there.
    """

    version: str
    table: str
    number: int
    values: dict[str, Any]
    similarity: float = 0.0

    def names(self) -> list[str]:
        """The ids and the digest that the row bears."""
        return [self.values[name] for name in NAMES if name in self.values]


def open_version_bare(store: Store, version: str) -> Artefact:
    """A version by its folder and manifest alone. Raises CorruptArtefact."""
    folder = store.folder(version)
    return Artefact(str(folder), version, "", folder, read_manifest(folder, version))


def open_table(artefact: Artefact, name: str) -> ArrowFile:
    """A checked table of an artefact, of any kind. Raises CorruptArtefact if no index lists it."""
    if SHARDS in artefact.files:
        for entry in read_index(artefact.read(SHARDS))[1]:
            if entry.file.path == name:
                return ArrowFile(artefact.folder, entry.file)
    elif TABLES in artefact.files:
        try:
            return artefact.table(name)
        except KeyError:
            pass
    raise CorruptArtefact(
        f"{artefact.folder / name}: no index of its version lists this table; remove"
        f" {artefact.folder} and run again"
    )


def names_in(table: ArrowFile) -> list[str]:
    """The columns of a table that name documents or examples."""
    return [name for name in NAMES if name in table.schema.names]


def names_of(table: ArrowFile) -> Iterator[list[tuple[str, ...]]]:
    """For each record batch the names that each row bears: ids, and the sha256 of its text."""
    columns = names_in(table)
    for batch in table.batches() if columns else ():
        values = [list(map(_name, batch.column(name).to_pylist())) for name in columns]
        yield list(zip(*values, strict=True))


def rows_of(artefact: Artefact, name: str, numbers: list[int]) -> Iterator[Row]:
    """Some rows of a table, in order; each record batch that they are in is checked."""
    table = open_table(artefact, name)
    first, waiting = 0, sorted(numbers)
    for place, entry in enumerate(table.index.batches):
        inside = [number for number in waiting if first <= number < first + entry.rows]
        if inside:
            batch = table.batch(place)
            for number in inside:
                yield Row(artefact.version, name, number, _values(batch, number - first))
        first += entry.rows


def texts_of(artefact: Artefact, name: str, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
    """(number, text) of some rows of a table of documents, checked as they are read."""
    table = open_table(artefact, name)
    first, waiting = 0, sorted(numbers)
    for place, entry in enumerate(table.index.batches):
        inside = [number for number in waiting if first <= number < first + entry.rows]
        if inside:
            column = table.batch(place).column("text")
            yield from ((number, column[number - first].as_py()) for number in inside)
        first += entry.rows


def _values(batch: pa.RecordBatch, place: int) -> dict[str, Any]:
    values = {}
    for name in batch.schema.names:
        value = None
        if name not in LONG or str(batch.schema.field(name).type) == "int64":
            value = batch.column(name)[place].as_py()
        if value is not None:
            values[name] = _name(value) if name in NAMES else value
    return values


def _name(value: str | bytes | None) -> str:
    return value.hex() if isinstance(value, bytes) else value or ""
