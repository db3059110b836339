"""Documents as rows of an Arrow IPC file.

The *file* format (not the stream) can be memory-mapped and read from any record batch. Batches are
bounded in rows and bytes, so neither the writer nor a reader ever holds a whole corpus; the same
rows give the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 4096
BYTES_PER_BATCH = 4 << 20


class Document(NamedTuple):
    """One text and where it is from. ``id`` is unique within its source; ``label`` may be None."""

    id: str
    text: str
    source: str
    licence: str
    label: str | None = None

    @property
    def sha256(self) -> str:
        """Hex digest of the text's UTF-8: a document's identity whatever it is called."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class TableWriter:
    """Rows to an Arrow IPC file, a record batch at a time. Use it in a ``with`` statement."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow as pa

        self.rows = 0
        self._schema = schema
        self._columns: list[list[Any]] = [[] for _ in schema]
        self._bytes = 0
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)

    def add(self, row: Sequence[Any], size: int) -> None:
        """Append one row whose texts weigh about ``size`` bytes."""
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self.rows += 1
        self._bytes += size
        if self._bytes >= BYTES_PER_BATCH or len(self._columns[0]) >= ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._columns[0]:
            return
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(self._columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._columns = [[] for _ in self._schema]
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
        finally:
            self._file.close()


def document_schema() -> pa.Schema:
    """Columns of a documents table; ``large_string`` because 2 GiB of text is not much."""
    import pyarrow as pa

    required = [("id", pa.string()), ("text", pa.large_string())]
    required += [("source", pa.string()), ("licence", pa.string())]
    return pa.schema(
        [
            *(pa.field(name, kind, nullable=False) for name, kind in required),
            pa.field("label", pa.string()),
            pa.field("sha256", pa.string(), nullable=False),
        ]
    )


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Stream documents to ``path``; the number written. Nothing but one batch is held in memory."""
    with TableWriter(path, document_schema()) as writer:
        for document in documents:
            data = document.text.encode()
            writer.add((*document, hashlib.sha256(data).hexdigest()), len(data))
    return writer.rows


def read_documents(source: Path | pa.Buffer) -> Iterator[Document]:
    """The documents of a table, in order, from a file (memory-mapped) or from bytes in memory."""
    yield from map(Document._make, rows_of(source, Document._fields))


def rows_of(source: Path | pa.Buffer, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of an Arrow IPC file that must have ``columns``, as Python values."""
    for batch in _record_batches(source, columns):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def _record_batches(source: Path | pa.Buffer, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of an Arrow IPC file that must have ``columns``."""
    import pyarrow as pa

    name = str(source) if isinstance(source, Path) else "table in memory"
    try:
        opened = pa.memory_map(name) if isinstance(source, Path) else pa.BufferReader(source)
        with opened, pa.ipc.open_file(opened) as reader:
            if missing := [column for column in columns if column not in reader.schema.names]:
                raise TextError(f"{name}: no column {', '.join(missing)}; make the table again")
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
    except FileNotFoundError:
        raise TextError(f"{name}: no such table; materialize what makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TextError(f"{name}: not a readable Arrow file ({reason}); make it again") from error
