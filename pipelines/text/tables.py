"""Tables in Arrow files: raw documents, clean documents, and rows and documents left out.

Record batches are bounded in rows and bytes, so neither a writer nor a reader holds a whole corpus
in memory. ``tables.json`` holds the checksums of all tables of a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pipelines.text.arrow import ArrowFile, ArrowWriter, FileIndex, column
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = "tables.json"
ROWS_PER_BATCH = 4096
BYTES_PER_BATCH = 4 << 20


class Document(NamedTuple):
    """One text and its origin. ``id`` is unique within its source; ``label`` may be None.

    ``changes`` are short notes of the changes by cleaning, in order.
    """

    id: str
    text: str
    source: str
    licence: str
    label: str | None = None
    changes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The hex digest of the text in UTF-8: the identity of a document, for any ``id``."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Hole(NamedTuple):
    """The place of a forgotten document in a table; its text is gone.

    ``told`` is JSON: how many ``bytes`` the text had, and what its reader needs to keep the place.
    """

    id: str
    source: str
    licence: str
    told: str


class Unread(NamedTuple):
    """A row of a source that was left out because it is no document: its place and the reason.

    ``reason`` is the identifier for the counts, ``detail`` a sentence.
    """

    id: str
    source: str
    licence: str
    reason: str
    detail: str


class TableWriter:
    """Writes rows to an Arrow file, one record batch at a time. Use it in a ``with`` statement.

    Afterwards ``index`` is set, for ``write_index``.
    """

    def __init__(self, folder: Path, path: str, schema: pa.Schema) -> None:
        self.rows = 0
        self._columns: list[list[Any]] = [[] for _ in schema]
        self._bytes = 0
        self._writer = ArrowWriter(folder, path, schema)

    @property
    def index(self) -> FileIndex:
        return self._writer.index

    def add(self, row: Sequence[Any], size: int) -> None:
        """Append one row with about ``size`` bytes of text; a text may be ``bytes`` of UTF-8."""
        if self._bytes + size > BYTES_PER_BATCH:
            self._flush()  # a long row has a batch of its own
        for values, value in zip(self._columns, row, strict=True):
            values.append(value)
        self.rows += 1
        self._bytes += size
        if self._bytes >= BYTES_PER_BATCH or len(self._columns[0]) >= ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._columns[0]:
            return
        schema = self._writer.schema
        arrays = [
            column(values, field.type) for values, field in zip(self._columns, schema, strict=True)
        ]
        self._writer.write(pa.record_batch(arrays, schema=schema))
        self._columns = [[] for _ in schema]
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            with self._writer:
                self._flush()
        else:
            self._writer.__exit__(kind, error, trace)


def write_index(folder: Path, indexes: Iterable[FileIndex]) -> None:
    """Write ``tables.json``, the index of the tables of a folder."""
    tables = [asdict(index) for index in sorted(indexes, key=lambda index: index.path)]
    text = json.dumps({"tables": tables}, indent=1, sort_keys=True) + "\n"
    (folder / TABLES).write_text(text, encoding="utf-8", newline="\n")


def read_index(data: bytes) -> dict[str, FileIndex]:
    """The indexes of the tables by path, from the bytes of ``tables.json``.

    The manifest of the version holds the hash of these bytes. Raises TextError if they are no
    index.
    """
    try:
        indexes = [FileIndex.from_json(raw) for raw in json.loads(data)["tables"]]
    except (ValueError, KeyError, TypeError) as error:
        raise TextError(f"{TABLES}: not an index of tables ({error}); run again") from None
    return {index.path: index for index in indexes}


def open_table(folder: Path, path: str) -> ArrowFile:
    """One table of a folder, by the ``tables.json`` that lies there."""
    try:
        indexes = read_index((folder / TABLES).read_bytes())
        return ArrowFile(folder, indexes[path])
    except (OSError, KeyError):
        raise TextError(f"{folder / path}: no such table; materialize what makes it") from None


def document_schema() -> pa.Schema:
    """Columns of a documents table; ``large_string`` because 2 GiB of text is not much."""
    import pyarrow as pa

    required = [("id", pa.string()), ("text", pa.large_string())]
    required += [("source", pa.string()), ("licence", pa.string())]
    return pa.schema(
        [
            *(pa.field(name, kind, nullable=False) for name, kind in required),
            pa.field("label", pa.string()),
            pa.field("changes", pa.list_(pa.field("item", pa.string(), nullable=False))),
            pa.field("sha256", pa.string(), nullable=False),
        ]
    )


def unread_schema() -> pa.Schema:
    """Columns of a table of rows that were left out when their source was read."""
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in Unread._fields])


def read_unread(table: ArrowFile) -> Iterator[Unread]:
    """The rows of a table of rows that were left out, in order."""
    yield from map(Unread._make, table.rows(Unread._fields))


def write_documents(folder: Path, path: str, documents: Iterable[Document | Hole]) -> FileIndex:
    """Write documents to a table as a stream. Memory holds only one batch."""
    with TableWriter(folder, path, document_schema()) as writer:
        for document in documents:
            if isinstance(document, Hole):
                add_hole(writer, document)
                continue
            data = document.text.encode()
            add_document(writer, document, data, hashlib.sha256(data).hexdigest())
    return writer.index


def add_document(writer: TableWriter, document: Document, data: bytes, digest: str) -> None:
    """One row of a documents table; ``data`` is the text's UTF-8 and ``digest`` its sha256."""
    writer.add((document.id, data, *document[2:], digest), len(data))


def add_hole(writer: TableWriter, hole: Hole) -> None:
    """One row of a documents table without a text; it has the room of the text that is gone."""
    row = (hole.id, b"", hole.source, hole.licence, None, [hole.told], "")
    writer.add(row, int(json.loads(hole.told)["bytes"]))


def read_documents(table: ArrowFile) -> Iterator[Document]:
    """The documents of a table, in order."""
    for batch in table.batches():
        yield from documents_of(batch)


def documents_of(batch: pa.RecordBatch) -> Iterator[Document]:
    """The documents of one record batch, without the holes."""
    return (row for row in rows_of(batch) if isinstance(row, Document))


def rows_of(batch: pa.RecordBatch) -> Iterator[Document | Hole]:
    """The documents and the holes of one record batch, in order."""
    columns = [batch.column(name).to_pylist() for name in Document._fields[:-1]]
    changes = [tuple(notes or ()) for notes in batch.column("changes").to_pylist()]
    documents = map(Document._make, zip(*columns, changes, strict=True))
    for document, digest in zip(documents, batch.column("sha256").to_pylist(), strict=True):
        if digest:
            yield document
        else:
            yield Hole(document.id, document.source, document.licence, document.changes[0])
