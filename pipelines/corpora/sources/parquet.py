"""From Parquet to rows: only the needed columns, a few rows at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from pipelines.corpora.sources.compression import BLOCK, Expansion, Lent
from pipelines.corpora.sources.records import BadRow, Row, looked_at, mend_of, no_field
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.corpora.sources.options import Fields

ROWS_PER_BATCH = 64
BYTES_PER_BATCH = 16 << 20
# The ratio is 3 to 10 for text; a column with a higher one repeats a few values, perhaps long ones.
_TIGHT = 20


@contextmanager
def on_disk(file: IO[bytes], blocks: Iterable[bytes] | None) -> Iterator[IO[bytes]]:
    """``file``, or a temporary file with its unpacked blocks, because Parquet needs seeking."""
    if blocks is None:
        yield file
        return
    with tempfile.TemporaryFile() as unpacked:
        for block in blocks:
            unpacked.write(block)
        yield unpacked


def parquet_rows(file: IO[bytes], fields: Fields, where: str) -> Iterator[tuple[int, Row]]:
    """(row number from 1, record of the mapped columns). Raises TextError for a damaged file.

    A row that repeats a long value of its column's dictionary takes no space in the file. So a
    batch has fewer rows if a column has a high ratio of compression, and the total size of the
    rows has the same limit as that of a packed file.
    """
    import pyarrow as pa

    expansion = Expansion(file.seek(0, os.SEEK_END), where)
    number = 0
    try:
        for batch in _batches(file, fields, where):
            expansion.add(batch.nbytes)
            for row in _rows(batch):
                number += 1
                yield number, row
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:
            raise  # an error of the disk, not of the file
        raise TextError(
            f"{where}: damaged Parquet after row {number} ({str(error).splitlines()[0]}); "
            "fetch or write the file again"
        ) from None


def _batches(file: IO[bytes], fields: Fields, where: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet_file = pq.ParquetFile(
        pa.PythonFile(Lent(file), mode="r"),
        buffer_size=BLOCK,  # else a whole column of a row group is in memory
        pre_buffer=False,
        page_checksum_verification=True,
    )
    paths = [
        column.path for column in map(parquet_file.schema.column, range(len(parquet_file.schema)))
    ]
    columns = fields.columns() or parquet_file.schema_arrow.names
    for name in columns:
        if not any(path == name or path.startswith(f"{name}.") for path in paths):
            raise TextError(f"{where}: {no_field(name, paths)}; {mend_of(paths)}")
    columns += [name for name in looked_at(fields) if name in paths]
    for group in range(parquet_file.num_row_groups):
        rows = _rows_per_batch(parquet_file.metadata.row_group(group), columns)
        yield from parquet_file.iter_batches(rows, [group], columns, use_threads=False)


def _rows_per_batch(group: pq.RowGroupMetaData, columns: list[str]) -> int:
    widest = 1
    for chunk in map(group.column, range(group.num_columns)):
        if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in columns):
            packed, size = chunk.total_compressed_size, chunk.total_uncompressed_size
            tight = size > _TIGHT * packed
            widest = max(widest, size if tight else size // max(group.num_rows, 1))
    return max(1, min(ROWS_PER_BATCH, BYTES_PER_BATCH // widest))


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        # Arrow does not check that its strings are UTF-8, so the bad row is found row by row.
        for row in range(batch.num_rows):
            yield _row(batch, row)


def _row(batch: pa.RecordBatch, row: int) -> Row:
    try:
        record: dict[str, Any] = batch.slice(row, 1).to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow(f"not UTF-8 ({error.reason})")
    return record
