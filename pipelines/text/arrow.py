"""Arrow IPC files in which every record batch is checked separately, at every read.

Arrow has no checksums: most flipped bytes load without an error, some crash its reader. So an index
beside a file holds the place and the sha256 of each record batch. The bytes before and after the
batches (magic, schema, footer) are the frame of the file. A reader checks the frame when it opens a
file, and a batch at each read. So no byte is used unchecked, a random read costs one batch, and the
memory does not grow with the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pipelines.text.errors import TextError
from pipelines.text.regular import open_regular

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

_MAGIC = 8  # "ARROW1" and two zeros, before the schema
MEND = "remove the artefact and run again"


@dataclass(frozen=True)
class Batch:
    """A record batch: the place of its message in the file in bytes, its sha256, its rows."""

    offset: int
    length: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class FileIndex:
    """The index of one Arrow file. ``path`` is relative to the artefact's folder."""

    path: str
    size: int
    frame_sha256: str
    batches: tuple[Batch, ...]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FileIndex:
        """The index from the output of ``dataclasses.asdict``. Raises KeyError or TypeError."""
        return cls(**{**raw, "batches": tuple(Batch(**batch) for batch in raw["batches"])})


class ArrowWriter:
    """Writes record batches to a file and computes their checksums.

    Use it in a ``with`` statement; afterwards ``index`` is set. Equal batches give equal bytes.
    """

    index: FileIndex

    def __init__(self, folder: Path, path: str, schema: pa.Schema) -> None:
        import pyarrow as pa

        self.path, self.schema = path, schema
        self._batches: list[Batch] = []
        self._file = (folder / path).open("wb")
        self._sink = _Sink(self._file, _MAGIC + schema.serialize().size)
        self._writer = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), schema)

    def write(self, batch: pa.RecordBatch) -> None:
        # Arrow writes the schema with the first batch, but the schema is part of the frame.
        start = max(self._sink.place, self._sink.header)
        self._sink.batch = hashlib.sha256()
        self._writer.write_batch(batch)
        digest, self._sink.batch = self._sink.batch.hexdigest(), None
        self._batches.append(Batch(start, self._sink.place - start, digest, batch.num_rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._writer.close()
                self._file.flush()
                os.fsync(self._file.fileno())
                frame = self._sink.frame.hexdigest()
                self.index = FileIndex(self.path, self._sink.place, frame, tuple(self._batches))
        finally:
            self._file.close()


class _Sink:
    """The output of Arrow: it writes the bytes to a file, counts them and hashes them."""

    closed = False

    def __init__(self, file: BinaryIO, header: int) -> None:
        self.header, self.place = header, 0
        self.frame, self.batch = hashlib.sha256(), None
        self._file = file

    frame: hashlib._Hash
    batch: hashlib._Hash | None

    def write(self, data: bytes) -> int:
        self._file.write(data)
        if self.batch is None or self.place < self.header:
            self.frame.update(data)
        else:
            self.batch.update(data)
        self.place += len(data)
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


class ArrowFile:
    """An Arrow file whose record batches are checked against its index at every read.

    The file is not mapped into memory. So the bytes that were hashed are the bytes that are used,
    also if the file changes afterwards, and a truncated file raises an error, where a mapping would
    end the process. Raises TextError that names the missing, truncated or changed part.
    """

    def __init__(self, folder: Path, index: FileIndex) -> None:
        import pyarrow as pa

        self.index, self.name = index, str(folder / index.path)
        size = self._size()
        if size != index.size:
            raise TextError(
                f"{self.name}: {size} bytes, its index says {index.size} (wrong from record batch"
                f" {self._batch_at(size)} on); {MEND}"
            )
        self.schema: pa.Schema = pa.ipc.read_schema(pa.BufferReader(self._frame()[_MAGIC:]))

    def __len__(self) -> int:
        """The number of record batches."""
        return len(self.index.batches)

    def batch(self, number: int) -> pa.RecordBatch:
        """One record batch, in a copy in memory; its bytes are checked first."""
        import pyarrow as pa

        entry = self.index.batches[number]
        data = self._bytes(entry.offset, entry.length)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise TextError(
                f"{self.name}: record batch {number} (bytes {entry.offset} to"
                f" {entry.offset + entry.length}) does not match its index;"
                f" {MEND}"
            )
        message = pa.ipc.read_message(pa.BufferReader(data))
        return pa.ipc.read_record_batch(message, self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All record batches in order, one at a time."""
        return map(self.batch, range(len(self)))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows as Python values. Raises TextError for a column that the file does not have."""
        if missing := [name for name in columns if name not in self.schema.names]:
            raise TextError(f"{self.name}: no column {', '.join(missing)}; {MEND}")
        for batch in self.batches():
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)

    def _frame(self) -> bytes:
        """The bytes before the first record batch, checked with those after the last one."""
        batches = self.index.batches
        first = batches[0].offset if batches else self.index.size
        last = batches[-1].offset + batches[-1].length if batches else self.index.size
        head, tail = self._bytes(0, first), self._bytes(last, self.index.size - last)
        if hashlib.sha256(head + tail).hexdigest() != self.index.frame_sha256:
            raise TextError(
                f"{self.name}: its schema or footer (outside every record batch) does not match its"
                f" index; {MEND}"
            )
        return head

    def _size(self) -> int:
        """The size in bytes. Raises TextError for a link, a pipe, or another special file."""
        with self._opened() as file:
            return os.fstat(file).st_size

    def _bytes(self, offset: int, length: int) -> bytes:
        # Open the file for each read: a corpus may have more shards than a process may have files.
        with self._opened() as file:
            return os.pread(file, length, offset)  # the checksum detects a short read

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            file = open_regular(self.name)
        except FileNotFoundError:
            raise TextError(f"{self.name}: missing; {MEND}") from None
        except OSError as error:
            raise TextError(
                f"{self.name}: cannot be read ({error.strerror or error}); correct that and run"
                " again"
            ) from None
        try:
            yield file
        finally:
            os.close(file)

    def _batch_at(self, offset: int) -> int:
        return sum(batch.offset + batch.length <= offset for batch in self.index.batches)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array of strings (``str`` or UTF-8; None is null), integers, truth values, lists of
    these, or digests of a fixed size.

    This code builds the buffers itself, because ``pyarrow.array`` reads every value twice and
    imports pandas.
    """
    import numpy as np
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return integers(np.array(values, kind.to_pandas_dtype()), kind)
    if pa.types.is_boolean(kind):
        bits = np.packbits(np.array(values, np.bool_), bitorder="little")
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(bits)])
    if pa.types.is_fixed_size_binary(kind):
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(b"".join(values))])
    offsets = np.zeros(len(values) + 1, np.int64)
    if pa.types.is_list(kind):
        np.cumsum([len(value) for value in values], out=offsets[1:])
        inner = column([item for value in values for item in value], kind.value_type)
        starts = integers(offsets.astype(np.int32), pa.int32())
        return pa.ListArray.from_arrays(starts, inner, type=kind)
    encoded = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    width = np.int64 if pa.types.is_large_string(kind) else np.int32
    present = np.array([value is not None for value in values])
    nulls = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [nulls, pa.py_buffer(offsets.astype(width)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def integers(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array over a numpy array of the same width, without a copy."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
