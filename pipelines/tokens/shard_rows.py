"""The rows of a shard: documents as tokens, and holes where documents were forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.text.arrow import column, integers
from pipelines.text.errors import TextError
from pipelines.tokens.artefacts import GONE

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from pipelines.tokens.tokenizers import Tokenizer

TOKENS_PER_BATCH = 1 << 18


class Rows(NamedTuple):
    """Documents to encode, and holes: ``holes`` has the tokens of each hole, 0 for a document."""

    ids: list[str]
    digests: list[bytes]
    texts: list[str]
    holes: list[int]

    @classmethod
    def of(cls, batch: pa.RecordBatch, skipped: frozenset[str] | tuple[()], tokenizer: str) -> Rows:
        """The rows of a table that are not skipped; a hole has its tokens under the version of the
        ``tokenizer``, and is no row under a tokenizer that never encoded it."""
        columns = [batch.column(name).to_pylist() for name in ("id", "sha256", "text", "changes")]
        rows: list[tuple[str, bytes, str, int]] = []
        for name, digest, text, notes in zip(*columns, strict=True):
            tokens = 0 if digest else json.loads(notes[0])["tokens"].get(tokenizer, 0)
            if name in skipped or not (digest or tokens):
                continue
            rows.append((name, bytes.fromhex(digest) or GONE, text, tokens))
        names, digests = [row[0] for row in rows], [row[1] for row in rows]
        return cls(names, digests, [row[2] for row in rows], [row[3] for row in rows])


def _with_holes(
    tokens: npt.NDArray[Any], lengths: npt.NDArray[Any], holes: Sequence[int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The tokens of documents, with as many marks as each hole has tokens in its place."""
    import numpy as np

    parts = np.split(tokens, np.cumsum(lengths)[:-1])
    mark = np.iinfo(tokens.dtype).max
    whole = [
        np.full(count, mark, tokens.dtype) if count else part
        for count, part in zip(holes, parts, strict=True)
    ]
    return np.concatenate(whole), np.array([len(part) for part in whole])


def record_batches(
    rows: Rows, tokenizer: Tokenizer, dtype: str
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of tokens, record batch): as many documents as a batch may hold, at least one."""
    import numpy as np
    import pyarrow as pa

    schema = shard_schema(dtype)
    tokens, lengths = tokenizer.encode_stream(rows.texts, dtype)
    if any(rows.holes):
        tokens, lengths = _with_holes(tokens, lengths, rows.holes)
    ids, ends = rows.ids, np.cumsum(lengths)
    first = start = 0
    while first < len(ids):
        last = int(np.searchsorted(ends, start + TOKENS_PER_BATCH, side="right"))
        last = max(last, first + 1)
        end = int(ends[last - 1])
        if end - start > np.iinfo(np.int32).max:
            raise TextError(f"document {ids[first]}: {end - start} tokens; split it")
        offsets = np.concatenate([[start], ends[first:last]]) - start
        values = pa.ListArray.from_arrays(
            integers(offsets.astype(np.int32), pa.int32()),
            integers(tokens[start:end], schema.field("tokens").type.value_type),
            type=schema.field("tokens").type,
        )
        digests = column(rows.digests[first:last], pa.binary(32))
        columns = [column(ids[first:last], pa.string()), digests, values]
        yield end - start, pa.record_batch(columns, schema=schema)
        first, start = last, end


def shard_schema(dtype: str) -> pa.Schema:
    """The columns of a shard, without nulls, so that Arrow writes no validity bits."""
    import pyarrow as pa

    item = pa.field("item", pa.type_for_alias(dtype), nullable=False)
    return pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("sha256", pa.binary(32), nullable=False),
            pa.field("tokens", pa.list_(item), nullable=False),
        ]
    )
