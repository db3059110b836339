"""The artefacts of tokenizers and shards; the record batches of a shard are checked one by one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.core.artefact import Artefact, Rows
from pipelines.text.arrow import MEND, ArrowFile, FileIndex
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from torch import Tensor

    from model.batches.streams import DocumentPiece, Hole, TokenStream
    from pipelines.tokens.tokenizers import Tokenizer


class TokenizerFiles(Artefact):
    """A tokenizer: its ranks in tiktoken's format and its control tokens."""

    kind = "tiktoken"

    def load(self) -> Tokenizer:
        """The tokenizer, ready to encode and decode."""
        from pipelines.tokens.tokenizers import load_tokenizer

        return load_tokenizer(self.read)

    def figures(self) -> dict[str, float]:
        """The size of the vocabulary, and what was measured on the texts it was trained on."""
        measured = self.beside.read(MEASURED) if self.beside else None
        return {**super().figures(), **(json.loads(measured) if measured else {})}


class TokenShards(Artefact):
    """Token ids by split and corpus, with document boundaries and ids."""

    kind = "arrow"
    KEPT_BYTES: ClassVar[int] = 1 << 30
    """The most bytes that the streams of a split keep in memory; the rest is read each time."""

    def corpora(self, split: str) -> dict[str, list[Shard]]:
        """The shards of a split by corpus; a shard checks each record batch when it reads it."""
        shards_by_corpus: dict[str, list[Shard]] = {}
        for entry in self._index():
            if entry.split == split:
                self._listed(entry.file.path)
                shards_by_corpus.setdefault(entry.corpus, []).append(Shard(self.folder, entry))
        return shards_by_corpus

    def streams(self, split: str) -> dict[str, TokenStream]:
        """The tokens of a split by corpus, document after document; each read checks its piece."""
        from model.batches.streams import TokenStream

        corpora = self.corpora(split)
        keep = self._pieces_kept(split)
        hole = self._hole()
        return {
            corpus: TokenStream(_pieces(shards), keep, hole) for corpus, shards in corpora.items()
        }

    def stream(self, split: str, end_of_text: int) -> TokenStream:
        """One end of text and then the tokens of a split over all corpora.

        With the end of text before it, the first token is predicted too. Raises ValueError for a
        split without text.
        """
        import torch

        from model.batches.streams import Piece, TokenStream

        if not self.text_bytes(split):
            raise ValueError(f"the {split} split has no document; add documents or raise its share")
        pieces: list[Tensor | Piece] = [torch.tensor([end_of_text], dtype=torch.int64)]
        for shards in self.corpora(split).values():
            pieces += _pieces(shards)
        return TokenStream(pieces, self._pieces_kept(split), self._hole())

    def tokens(self, split: str) -> npt.NDArray[Any]:
        """The tokens of a split over all corpora, without holes, copied into one array."""
        import numpy as np

        pieces = [
            shard.tokens(number)
            for shards in self.corpora(split).values()
            for shard in shards
            for number in range(len(shard))
        ]
        whole, hole = np.concatenate(pieces), self._hole()
        return whole if hole is None else whole[whole != hole.mark]

    def summaries(self) -> Rows:
        """For each split and corpus: the numbers of documents, tokens and UTF-8 bytes of text."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in self._index():
            row = rows.setdefault(
                (entry.split, entry.corpus),
                {
                    "split": entry.split,
                    "corpus": entry.corpus,
                    "documents": 0,
                    "tokens": 0,
                    "text_bytes": 0,
                },
            )
            row["documents"] += entry.file.rows - entry.holes
            row["tokens"] += sum(entry.tokens) - entry.hole_tokens
            row["text_bytes"] += entry.text_bytes
        return list(rows.values())

    def text_bytes(self, split: str) -> int:
        """The UTF-8 bytes of the text of a split: the denominator of bits per byte."""
        return sum(row["text_bytes"] for row in self.summaries() if row["split"] == split)

    def _pieces_kept(self, split: str) -> int:
        """The record batches that a stream may keep, so that all streams fit in ``KEPT_BYTES``."""
        shards = [entry for entry in self._index() if entry.split == split]
        longest = max((b.length for entry in shards for b in entry.file.batches), default=1)
        corpora = len({entry.corpus for entry in shards})
        return max(1, self.KEPT_BYTES // (longest * max(corpora, 1)))

    def _hole(self) -> Hole | None:
        """How the tokens of forgotten documents are marked; None without any."""
        from model.batches.streams import Hole

        index = read_index(self.read(INDEX))
        return Hole(*index.hole) if index.hole else None

    def _index(self) -> list[ShardEntry]:
        return read_index(self.read(INDEX)).shards


def _pieces(shards: Iterable[Shard]) -> list[DocumentPiece]:
    """One piece for each record batch; a piece is read and checked when it is used."""
    import torch

    from model.batches.streams import DocumentPiece

    def view(array: npt.NDArray[Any]) -> Tensor:
        with warnings.catch_warnings():
            # torch warns that it has no read-only tensors; a stream is only read.
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(array)

    def piece(shard: Shard, number: int, length: int) -> DocumentPiece:
        return DocumentPiece(
            length,
            load=lambda: view(shard.tokens(number)),
            bounds=lambda: view(shard.offsets(number)),
        )

    return [
        piece(shard, number, length)
        for shard in shards
        for number, length in enumerate(shard.entry.tokens)
    ]


INDEX = "shards.json"
EXAMPLES = "examples"
"""The corpus of a draw that is an example."""
DRAWS = "draws.arrow"
"""The file beside weights with the documents that their training read."""
MEASURED = "measured.json"
"""The file beside a tokenizer with the figures of its vocabulary on the texts of its training."""
GONE = bytes(32)
"""The digest in the row of a forgotten document."""


@dataclass(frozen=True)
class ShardEntry:
    """One file of the index; ``tokens`` counts by record batch, ``text_bytes`` counts UTF-8.

    ``holes`` counts the rows of forgotten documents, which have ``hole_tokens`` of the tokens.
    """

    file: FileIndex
    split: str
    corpus: str
    dtype: str
    text_bytes: int
    tokens: tuple[int, ...]
    holes: int = 0
    hole_tokens: int = 0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ShardEntry:
        """The entry from the output of ``dataclasses.asdict``. Raises KeyError or TypeError."""
        file = FileIndex.from_json(raw["file"])
        return cls(**{**raw, "file": file, "tokens": tuple(raw["tokens"])})


class Index(NamedTuple):
    """What ``shards.json`` says: the size of the vocabulary, the shards, the mark and the filler of
    holes, if there are any."""

    vocab_size: int
    shards: list[ShardEntry]
    hole: tuple[int, int] | None


def read_index(data: bytes) -> Index:
    """The index from the bytes of ``shards.json``.

    The manifest of the version holds the hash of these bytes. Raises TextError if they are no
    index.
    """
    try:
        index = json.loads(data)
        shards, hole = [ShardEntry.from_json(raw) for raw in index["shards"]], index.get("hole")
        return Index(int(index["vocab_size"]), shards, tuple(hole) if hole else None)
    except (ValueError, KeyError, TypeError) as error:
        raise TextError(f"{INDEX}: not an index of shards ({error}); {MEND}") from None


class Shard:
    """A shard, whose record batches are read one at a time and checked at each read."""

    def __init__(self, folder: Path, entry: ShardEntry) -> None:
        self.entry = entry
        self._file = ArrowFile(folder, entry.file)

    def __len__(self) -> int:
        """The number of record batches."""
        return len(self._file)

    def tokens(self, batch: int) -> npt.NDArray[Any]:
        """The tokens of a batch, document after document, in a read-only array."""
        return _tokens(self._file.batch(batch))

    def offsets(self, batch: int) -> npt.NDArray[np.int32]:
        """The start of each document of the batch in ``tokens(batch)``, and the end of the last."""
        return _offsets(self._file.batch(batch))

    def names(self, batch: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8], pa.Array]:
        """Of the documents of a batch: their offsets, the sha256 (documents, 32), the ids."""
        import numpy as np

        read = self._file.batch(batch)
        digests = read.column("sha256")
        content = np.frombuffer(digests.buffers()[1], np.uint8, 32 * len(digests))
        return _offsets(read), content.reshape(-1, 32), read.column("document_id")

    def documents(self) -> Iterator[tuple[str, bytes, npt.NDArray[Any]]]:
        """(id, sha256 of the text, tokens with the closing end of text) of each document.

        The holes of forgotten documents are passed over.
        """
        for batch in self._file.batches():
            tokens, bounds = _tokens(batch), pairwise(_offsets(batch).tolist())
            names = batch.column("document_id").to_pylist()
            digests = batch.column("sha256").to_pylist()
            for name, digest, (start, end) in zip(names, digests, bounds, strict=True):
                if digest != GONE:
                    yield name, digest, tokens[start:end]


def _tokens(batch: pa.RecordBatch) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = batch.column("tokens").values.to_numpy()
    return values


def _offsets(batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
    bounds: npt.NDArray[np.int32] = batch.column("tokens").offsets.to_numpy()
    return bounds


class Draw(NamedTuple):
    """What a training read of one document, or of one example of a document.

    ``corpus`` is ``examples`` for an example, and ``example_id`` is empty for a document of a
    corpus. ``sha256`` is that of the document's text or of the example. ``tokens`` counts the
    targets over all steps. ``first_step``, counted from 1, is the first that read any token of it.
    """

    corpus: str
    document_id: str
    example_id: str
    sha256: bytes
    tokens: int
    first_step: int


def read_draws(table: ArrowFile) -> Iterator[Draw]:
    """The rows of a table of draws, in order."""
    yield from map(Draw._make, table.rows(Draw._fields))
