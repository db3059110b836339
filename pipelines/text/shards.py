"""Token shards: Arrow IPC files in which a training run finds any token without reading the rest.

A shard holds a row per document (``document_id: string``, ``tokens: list<uint16>``), each document
closed by the end of text. The values buffer of a record batch is therefore one unbroken stream of
tokens, viewed without a copy; the list offsets are the document boundaries.

``shards.json`` says where each record batch lies in its file and what its sha256 is, and covers the
bytes before and behind the batches as the shard's frame. A reader checks the frame when it opens a
shard and a batch when it first touches it, so no byte is used unchecked and a random read costs one
small batch. A whole-shard hash would cost a pass over the corpus before the first step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.text.errors import TextError
from pipelines.text.tables import Document

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pipelines.text.tokenizers import Tokenizer

INDEX = "shards.json"
MAX_SHARD_BYTES = 256 << 20
TOKENS_PER_BATCH = 1 << 18
CHARACTERS_PER_CHUNK = 4 << 20
_MAGIC = 8  # "ARROW1" and two zeros, before the schema
_MEND = "remove the artefact and run again"


@dataclass(frozen=True)
class Batch:
    """A record batch: the bytes of its message in the file, their sha256, and what it holds."""

    offset: int
    length: int
    sha256: str
    rows: int
    tokens: int


@dataclass(frozen=True)
class ShardEntry:
    """One file of the index. ``path`` is relative to the folder; ``text_bytes`` are UTF-8."""

    path: str
    split: str
    corpus: str
    dtype: str
    size: int
    frame_sha256: str
    text_bytes: int
    batches: tuple[Batch, ...]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)

    @property
    def tokens(self) -> int:
        return sum(batch.tokens for batch in self.batches)


@dataclass(frozen=True)
class SplitSummary:
    """What a split of a corpus came to: documents, tokens (ends of text included), UTF-8 bytes."""

    split: str
    corpus: str
    shards: tuple[ShardEntry, ...]

    @property
    def documents(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def tokens(self) -> int:
        return sum(shard.tokens for shard in self.shards)

    @property
    def text_bytes(self) -> int:
        return sum(shard.text_bytes for shard in self.shards)


def dtype_for(vocab_size: int) -> str:
    """The smallest of uint16 and uint32 that holds every id; TextError where none does."""
    if vocab_size <= 1 << 16:
        return "uint16"
    if vocab_size <= 1 << 32:
        return "uint32"
    raise TextError(f"vocab_size={vocab_size}: no token fits in 32 bits; choose a smaller one")


# --- writing ------------------------------------------------------------------------------------


def write_shards(
    folder: Path,
    split: str,
    corpus: str,
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    max_bytes: int = MAX_SHARD_BYTES,
) -> SplitSummary:
    """Encode documents into ``<split>/<corpus>-00000.arrow`` and so on, in their order.

    A shard is closed before it would pass ``max_bytes``, at a record batch's end. Equal documents
    and tokenizer give equal bytes. No documents, no shard: the summary is then empty. Pass all
    summaries to ``write_index`` afterwards.
    """
    (folder / split).mkdir(parents=True, exist_ok=True)
    dtype = dtype_for(tokenizer.vocab_size)
    shards: list[ShardEntry] = []
    writer: _ShardWriter | None = None
    try:
        for part in _parts(documents, tokenizer, dtype):
            if writer and not writer.room_for(part.tokens, max_bytes):
                shards.append(writer.close())
                writer = None
            if writer is None:
                path = f"{split}/{corpus}-{len(shards):05d}.arrow"
                writer = _ShardWriter(folder, path, split, corpus, dtype)
            writer.add(part)
        if writer:
            shards.append(writer.close())
    finally:
        if writer:
            writer.abandon()
    return SplitSummary(split, corpus, tuple(shards))


class _Part(NamedTuple):
    """The documents of one record batch: ids, tokens in one array, tokens of each, UTF-8 bytes."""

    ids: list[str]
    tokens: npt.NDArray[Any]
    lengths: list[int]
    text_bytes: int


def _parts(documents: Iterable[Document], tokenizer: Tokenizer, dtype: str) -> Iterator[_Part]:
    """Encoded documents, as many together as a record batch may hold, at least one."""
    import numpy as np

    end = np.array([tokenizer.end_of_text], dtype)
    held: list[tuple[Document, npt.NDArray[Any]]] = []
    size = 0

    def part() -> _Part:
        tokens = np.concatenate([piece for _, ids in held for piece in (ids.astype(dtype), end)])
        text_bytes = sum(len(document.text.encode()) for document, _ in held)
        lengths = [len(ids) + 1 for _, ids in held]
        return _Part([document.id for document, _ in held], tokens, lengths, text_bytes)

    for chunk in _chunks(documents):
        encoded = tokenizer.encode_documents([document.text for document in chunk])
        for document, ids in zip(chunk, encoded, strict=True):
            if held and size + len(ids) + 1 > TOKENS_PER_BATCH:
                yield part()
                held, size = [], 0
            held.append((document, ids))
            size += len(ids) + 1
    if held:
        yield part()


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in lists of bounded text: what is encoded at once, and held in memory."""
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.text)
        if characters >= CHARACTERS_PER_CHUNK:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class _ShardWriter:
    """One Arrow file, and what its index says of it."""

    def __init__(self, folder: Path, path: str, split: str, corpus: str, dtype: str) -> None:
        import pyarrow as pa

        self._file = folder / path
        self._about = (path, split, corpus, dtype)
        self._schema = shard_schema(dtype)
        self._sink = pa.OSFile(str(self._file), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._held: list[tuple[int, int]] = []
        self._text_bytes = 0

    def room_for(self, tokens: npt.NDArray[Any], max_bytes: int) -> bool:
        """Whether a batch of these tokens fits; an empty shard takes any batch."""
        return not self._held or self._sink.tell() + tokens.nbytes <= max_bytes

    def add(self, part: _Part) -> None:
        """Append the documents as one record batch."""
        import numpy as np
        import pyarrow as pa

        offsets = np.cumsum([0, *part.lengths])
        if offsets[-1] > np.iinfo(np.int32).max:
            raise TextError(f"document {part.ids[-1]}: {part.lengths[-1]} tokens; split it")
        rows = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(part.tokens))
        columns = [pa.array(part.ids, pa.string()), rows]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._held.append((len(part.ids), len(part.tokens)))
        self._text_bytes += part.text_bytes

    def close(self) -> ShardEntry:
        """Finish the file and take the checksums of what it holds."""
        import pyarrow as pa

        self._writer.close()
        self._sink.close()
        buffer = pa.memory_map(str(self._file)).read_buffer()
        reader = pa.BufferReader(buffer)
        reader.seek(_MAGIC)
        pa.ipc.read_message(reader)  # the schema
        batches = []
        for rows, tokens in self._held:
            start = reader.tell()
            pa.ipc.read_message(reader)
            length = reader.tell() - start
            batches.append(Batch(start, length, _sha256(buffer.slice(start, length)), rows, tokens))
        frame = _frame_sha256(buffer, batches)
        return ShardEntry(*self._about, buffer.size, frame, self._text_bytes, tuple(batches))

    def abandon(self) -> None:
        self._sink.close()


def shard_schema(dtype: str) -> pa.Schema:
    """Columns of a shard; no nulls, so that Arrow writes no validity bits."""
    import pyarrow as pa

    item = pa.field("item", pa.type_for_alias(dtype), nullable=False)
    return pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("tokens", pa.list_(item), nullable=False),
        ]
    )


def write_index(folder: Path, summaries: Iterable[SplitSummary], vocab_size: int) -> Path:
    """Write ``shards.json`` over all splits and corpora; equal summaries give equal bytes."""
    shards = sorted((s for made in summaries for s in made.shards), key=lambda s: s.path)
    index = {"vocab_size": vocab_size, "shards": [asdict(shard) for shard in shards]}
    path = folder / INDEX
    text = json.dumps(index, indent=1, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


# --- reading ------------------------------------------------------------------------------------


def read_index(data: bytes) -> tuple[int, list[ShardEntry]]:
    """(vocabulary size, shards) from the bytes of ``shards.json``, whose own hash others keep."""
    try:
        index = json.loads(data)
        shards = [
            ShardEntry(**shard | {"batches": tuple(Batch(**b) for b in shard["batches"])})
            for shard in index["shards"]
        ]
        return int(index["vocab_size"]), shards
    except (ValueError, KeyError, TypeError) as error:
        raise TextError(f"{INDEX}: not an index of shards ({error}); {_MEND}") from None


class Shard:
    """A memory-mapped shard whose record batches are checked when they are first touched."""

    def __init__(self, folder: Path, entry: ShardEntry) -> None:
        import pyarrow as pa

        self.entry = entry
        self.name = str(folder / entry.path)
        try:
            size = (folder / entry.path).stat().st_size
            self._buffer: pa.Buffer = pa.memory_map(self.name).read_buffer()
        except OSError as error:
            reason = "missing" if isinstance(error, FileNotFoundError) else str(error)
            raise TextError(f"shard {self.name}: {reason}; {_MEND}") from None
        if size != entry.size or self._buffer.size != entry.size:
            raise TextError(
                f"shard {self.name}: {size} bytes, {INDEX} says {entry.size} "
                f"(record batch {self._batch_at(size)} on); {_MEND}"
            )
        if _frame_sha256(self._buffer, entry.batches) != entry.frame_sha256:
            raise TextError(
                f"shard {self.name}: its schema or footer (outside every record batch) "
                f"is not the one that {INDEX} vouches for; {_MEND}"
            )
        self._schema = shard_schema(entry.dtype)
        self._checked: dict[int, pa.RecordBatch] = {}

    def __len__(self) -> int:
        """Record batches."""
        return len(self.entry.batches)

    def tokens(self, batch: int) -> npt.NDArray[Any]:
        """The batch's tokens, documents end to end: a read-only view of the mapped file."""
        values: npt.NDArray[Any] = self._column(batch, "tokens").values.to_numpy()
        return values

    def offsets(self, batch: int) -> npt.NDArray[np.int32]:
        """Where each document of the batch starts in ``tokens(batch)``, and the end of the last."""
        bounds: npt.NDArray[np.int32] = self._column(batch, "tokens").offsets.to_numpy()
        return bounds

    def document_ids(self, batch: int) -> list[str]:
        ids: list[str] = self._column(batch, "document_id").to_pylist()
        return ids

    def documents(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(document id, its tokens with the closing end of text), in order."""
        for batch in range(len(self)):
            tokens, bounds = self.tokens(batch), pairwise(self.offsets(batch).tolist())
            for name, (start, end) in zip(self.document_ids(batch), bounds, strict=True):
                yield name, tokens[start:end]

    def _column(self, batch: int, name: str) -> Any:
        return self._record_batch(batch).column(name)

    def _record_batch(self, index: int) -> pa.RecordBatch:
        """Checked once, then kept: keeping costs no memory, the columns lie in the mapped file."""
        import pyarrow as pa

        if index not in self._checked:
            told = self.entry.batches[index]
            data = self._buffer.slice(told.offset, told.length)
            if _sha256(data) != told.sha256:
                raise TextError(
                    f"shard {self.name}: record batch {index} (bytes {told.offset} to "
                    f"{told.offset + told.length}) is not the one {INDEX} vouches for; {_MEND}"
                )
            message = pa.ipc.read_message(pa.BufferReader(data))
            self._checked[index] = pa.ipc.read_record_batch(message, self._schema)
        return self._checked[index]

    def _batch_at(self, offset: int) -> int:
        return sum(batch.offset + batch.length <= offset for batch in self.entry.batches)


def read_shard(folder: Path, entry: ShardEntry) -> Shard:
    """Open one shard of the index; TextError if it is missing, cut, swapped or changed."""
    return Shard(folder, entry)


def _sha256(data: Any) -> str:
    return hashlib.sha256(memoryview(data)).hexdigest()


def _frame_sha256(buffer: pa.Buffer, batches: Sequence[Batch]) -> str:
    """Of everything that is in no record batch: magic, schema, footer."""
    digest = hashlib.sha256(memoryview(buffer.slice(0, batches[0].offset)))
    digest.update(memoryview(buffer.slice(batches[-1].offset + batches[-1].length)))
    return digest.hexdigest()
