"""What a training read, document by document: a table beside its weights, and how it is counted.

``Documents`` and ``Texts`` stand behind the places of a token stream. A table of draws has one row
for each document, or example, that was really read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from model.batches.rows import Row, RowId
from pipelines.core.making import Making
from pipelines.text.tables import TABLES, TableWriter, read_index, write_index
from pipelines.tokens.artefacts import Draw

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipelines.tokens.artefacts import Shard, TokenShards

STEPS_TOGETHER = 1024  # so many steps are counted together
Draws: TypeAlias = Any
"""A pyarrow table with the columns of ``Draw``."""


class Rows(Protocol):
    """Batches that know what they read without reading it; steps are counted from 0."""

    def rows(self, step: int) -> Sequence[RowId]:
        """What the rows of a step's batch read."""


def draws_schema() -> pa.Schema:
    """The columns of a table of draws."""
    kinds = [*[pa.string()] * 3, pa.binary(32), pa.int64(), pa.int64()]
    return pa.schema(
        [pa.field(n, kind, nullable=False) for n, kind in zip(Draw._fields, kinds, strict=True)]
    )


def table_of(draws: Iterable[Draw]) -> Draws:
    """Draws as a table, in the order of ``in_order``."""
    rows = [draw._asdict() for draw in draws]
    return in_order(pa.Table.from_pylist(rows, schema=draws_schema()))


def in_order(draws: Draws) -> Draws:
    """The draws in the order in which training first read them; those of one step by name.

    The order follows from the rows alone: a branch, whose draws are joined from those of two
    trainings, has the same table as a training that was none.
    """
    names = ("first_step", "corpus", "document_id", "example_id")
    return draws.sort_by([(name, "ascending") for name in names])


@dataclass(frozen=True)
class Documents:
    """The documents of one corpus's stream: document i has the tokens [starts[i], starts[i+1])."""

    starts: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    ids: pa.ChunkedArray

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> Documents:
        """The documents of some shards, in the order of their stream."""
        starts, digests, ids, end = [np.zeros(1, dtype=np.int64)], [], [], 0
        for shard in shards:
            for number in range(len(shard)):
                offsets, sha256, names = shard.names(number)
                starts.append(offsets[1:].astype(np.int64) + end)
                end += int(offsets[-1])
                digests.append(sha256)
                ids.append(names)
        return cls(np.concatenate(starts), np.concatenate(digests), pa.chunked_array(ids))

    def split(self, start: int, stop: int) -> list[tuple[int, int]]:
        """A span as spans that do not go past the end of the stream."""
        end = int(self.starts[-1])
        return [(start, stop)] if stop <= end else [(start, end), (0, stop - end)]

    def find(self, places: Any) -> Any:
        """The documents that have the tokens at some places."""
        return np.searchsorted(self.starts, places, side="right") - 1


class Texts:
    """The documents behind the rows of token streams."""

    def __init__(self, documents: Mapping[str, Documents]) -> None:
        """``documents`` are those of each stream, by corpus."""
        self.documents = dict(documents)

    @classmethod
    def of(cls, shards: TokenShards) -> Texts:
        """The documents of the training split."""
        corpora = shards.corpora("train").items()
        return cls({corpus: Documents.of(of_corpus) for corpus, of_corpus in corpora})

    def named(self, row: RowId) -> bytes:
        """The digests of the documents that a row reads, and which of their tokens."""
        assert isinstance(row, Row)
        documents, parts = self.documents[row.corpus], [row.corpus.encode()]
        for start, stop in row.spans:
            for begin, end in documents.split(start, stop):
                first, last = documents.find([begin, end - 1]).tolist()
                begins = documents.starts[[first, last]].tolist()
                parts.append(struct.pack("<3q", row.lead, begin - begins[0], end - begins[1]))
                parts.append(documents.digests[first : last + 1].tobytes())
        return b"".join(parts)

    def ranges(self, row: RowId) -> Iterator[tuple[str, str, int, int]]:
        """(corpus, document id, first token, token after the last) of what a row reads.

        The tokens are counted from the document's first.
        """
        assert isinstance(row, Row)
        documents = self.documents[row.corpus]
        for number, begin, end in self.places(row):
            start = int(documents.starts[number])
            yield row.corpus, documents.ids[number].as_py(), begin - start, end - start

    def places(self, row: Row) -> Iterator[tuple[int, int, int]]:
        """The number of each document that a row reads, and which places [begin, end) of the
        stream; holes are passed over."""
        documents = self.documents[row.corpus]
        for start, stop in row.spans:
            for begin, end in documents.split(start, stop):
                first, last = documents.find([begin, end - 1]).tolist()
                for number in range(first, last + 1):
                    if not documents.digests[number].any():
                        continue  # the hole of a forgotten document
                    starts, stops = documents.starts[number : number + 2].tolist()
                    yield number, max(begin, starts), min(end, stops)

    def draws(self, batches: Rows, first: int, last: int) -> Draws:
        """The documents that the steps [first, last) read, in the order of ``in_order``."""
        counts = {name: _Counts(documents) for name, documents in self.documents.items()}
        for begin in range(first, last, STEPS_TOGETHER):
            spans: dict[str, list[tuple[int, int, int, int]]] = {}
            for step in range(begin, min(begin + STEPS_TOGETHER, last)):
                for row in batches.rows(step):
                    assert isinstance(row, Row)
                    for start, stop in row.spans:
                        spans.setdefault(row.corpus, []).append((start, stop, row.lead, step + 1))
            for corpus, found in spans.items():
                counts[corpus].add(np.array(found, dtype=np.int64))
        return in_order(pa.concat_tables(counted.table(name) for name, counted in counts.items()))


class _Counts:
    """How many tokens of each document of a corpus were drawn, and the first step that read it."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        size = len(documents.starts) - 1
        self._tokens = np.zeros(size, dtype=np.int64)
        self._first = np.full(size, np.iinfo(np.int64).max)

    def add(self, spans: npt.NDArray[np.int64]) -> None:
        """Count spans: rows of (start, stop, tokens that are read only, step)."""
        start, stop, lead, step = spans.T
        end = int(self.documents.starts[-1])
        self._read(np.minimum(start, end), np.minimum(stop, end), step)
        self._ask(np.minimum(start + lead, end), np.minimum(stop, end))
        past = stop > end
        if past.any():
            over = stop[past] - end
            self._read(np.zeros_like(over), over, step[past])
            self._ask(np.maximum(start + lead - end, 0)[past], over)

    def _read(self, start: Any, stop: Any, step: Any) -> None:
        first, last = self.documents.find(start), self.documents.find(stop - 1)
        lengths = last - first + 1
        places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        np.minimum.at(self._first, np.repeat(first, lengths) + places, np.repeat(step, lengths))

    def _ask(self, start: Any, stop: Any) -> None:
        some = start < stop
        start, stop = start[some], stop[some]
        starts = self.documents.starts
        first, last = self.documents.find(start), self.documents.find(stop - 1)
        touched = np.zeros(len(starts), dtype=np.int64)
        np.add.at(touched, first, 1)
        np.add.at(touched, last + 1, -1)
        self._tokens += np.cumsum(touched)[:-1] * np.diff(starts)
        np.subtract.at(self._tokens, first, start - starts[first])
        np.subtract.at(self._tokens, last, starts[last + 1] - stop)

    def table(self, corpus: str) -> Draws:
        is_there = self.documents.digests.any(axis=1)  # no hole of a forgotten document
        drawn = np.flatnonzero((self._first < np.iinfo(np.int64).max) & is_there)
        digests = self.documents.digests[drawn]
        columns = [
            pa.array([corpus] * len(drawn), pa.string()),
            self.documents.ids.take(pa.array(drawn)),
            pa.array([""] * len(drawn), pa.string()),
            pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(32), len(drawn), [None, pa.py_buffer(digests.tobytes())]
            ),
            pa.array(self._tokens[drawn]),
            pa.array(self._first[drawn]),
        ]
        return pa.table(columns, schema=draws_schema())


def digests_in(draws: Draws) -> set[bytes]:
    """The digests of all documents in a table of draws."""
    return set(draws.column("sha256").to_pylist())


def joined(before: Draws, after: Draws) -> Draws:
    """The draws of the steps before a branch and of those after it, as one table."""
    names = ("corpus", "document_id", "example_id")
    rows = {tuple(row[name] for name in names): row for row in before.to_pylist()}
    for row in after.to_pylist():
        place = tuple(row[name] for name in names)
        known = rows.get(place)
        if known is not None and known["sha256"] == row["sha256"]:
            known["tokens"] += row["tokens"]
        else:
            rows[place] = row
    return in_order(pa.Table.from_pylist(list(rows.values()), schema=draws_schema()))


def write_draws(making: Making, tables: Mapping[str, Draws]) -> None:
    """Write tables of draws, by file name, with the index of their checksums."""
    index = making.folder / TABLES
    indexes = list(read_index(index.read_bytes()).values()) if index.exists() else []
    for name, table in tables.items():
        with TableWriter(making.folder, name, draws_schema()) as writer:
            for batch in table.to_batches():
                columns = [column.to_pylist() for column in batch.columns]
                for row in zip(*columns, strict=True):
                    writer.add(row, 0)
        indexes.append(writer.index)
    write_index(making.folder, indexes)
