"""Receipts: what a training reads, step by step, as a running digest and as a list of documents.

Both follow from the order of the batches alone, so anyone who has the shards can compute them again
without training.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from model.batches.batching import Batch
from model.batches.rows import Example, Row, RowId
from pipelines.core.identity import canonical
from pipelines.text.tables import TABLES, TableWriter, read_index, write_index
from pipelines.training.artefacts import DRAWS, RECEIPT, Draw, draws_schema

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipelines.core.making import Making
    from pipelines.examples.artefacts import Labelled, Pair
    from pipelines.tokens.artefacts import Shard, TokenShards

EVERY = 100
"""After so many steps a link of the running digest is kept."""
STEPS_TOGETHER = 1024  # so many steps are counted together
EXAMPLES = "examples"  # stands in a table of draws where there is no corpus


class Batches(Protocol):
    """Batches that know what they read without reading it; steps are counted from 0."""

    def batch(self, step: int) -> Batch:
        """The batch of a step."""

    def rows(self, step: int) -> Sequence[RowId]:
        """What the rows of a step's batch read."""


class Sources(Protocol):
    """The documents behind the rows of a training's batches."""

    def named(self, row: RowId) -> bytes:
        """The digests of the documents that a row reads, and which of their tokens."""

    def ranges(self, row: RowId) -> Iterator[tuple[str, str, int, int]]:
        """(corpus, document id, first token, token after the last) of what a row reads."""

    def draws(self, batches: Batches, first: int, last: int) -> pa.Table:
        """The documents that the steps [first, last) read, in the columns of ``draws.arrow``."""


B = TypeVar("B", bound=Batches)


@dataclass(frozen=True)
class Reading(Generic[B]):
    """The batches of a training and the documents behind them.

    A module with a training has a function ``reading`` of the same settings and inputs.
    """

    sources: Sources
    batches: B

    def rows(self, step: int) -> Iterator[tuple[str, str, int, int]]:
        """What a step, counted from 0, reads: corpus, document, its tokens [first, last)."""
        for row in self.batches.rows(step):
            yield from self.sources.ranges(row)

    def receipt(self, steps: int, begun: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The receipt after so many steps, computed again from the order alone."""
        receipt = Receipt(self.sources, begun=begun)
        for step in range(receipt.steps, steps):
            receipt.add(self.batches.batch(step))
        return receipt.told()


def never(_: int) -> bool:
    """No step."""
    return False


class Receipt:
    """A running digest over what each step of a training read.

    The digest after a step covers the digest before it, the documents and the places of each row,
    and the very tokens and targets that the network received. ``begun`` is the receipt of the steps
    before, if there were any. The digests after the steps that are ``also`` wanted are ``kept``.
    """

    def __init__(
        self,
        sources: Sources | None,
        also: Callable[[int], bool] = never,
        begun: Mapping[str, Any] | None = None,
    ) -> None:
        self._sources, self._also = sources, also
        self.steps, self.last = 0, hashlib.sha256(b"").hexdigest()
        self.links: dict[int, str] = {}
        self.kept: dict[int, str] = {}
        if begun:
            self.begin(begun)

    def begin(self, told: Mapping[str, Any]) -> None:
        """Go on from the receipt of another training, whose last step this one begins after."""
        self.steps, self.last = told["steps"], told["last"]
        self.links = {int(step): link for step, link in told.get("links", {}).items()}

    def reading(self, batches: Callable[[int], Batch]) -> Callable[[int], Batch]:
        """The same batches; the receipt takes each as it is read."""
        if self._sources is None:
            return batches

        def batch(step: int) -> Batch:
            read = batches(step)
            self.add(read)
            return read

        return batch

    def add(self, batch: Batch) -> None:
        """Take the batch of the next step."""
        assert self._sources is not None
        running = hashlib.sha256(bytes.fromhex(self.last))
        for row in batch.ids:
            named = self._sources.named(row)
            running.update(len(named).to_bytes(4, "little") + named)
        for tensor in (batch.tokens, batch.targets, batch.sources):
            if tensor is not None:
                running.update(repr(tuple(tensor.shape)).encode())
                running.update(tensor.contiguous().numpy().data)
        self.steps, self.last = self.steps + 1, running.hexdigest()
        if self.steps % EVERY == 0:
            self.links[self.steps] = self.last
        if self._also(self.steps):
            self.kept[self.steps] = self.last

    def told(self) -> dict[str, Any]:
        """The receipt as JSON: the digest after the ``last`` step and ``links`` before it, by step.

        That of a branch has the links of the training that it branched from, up to there.
        """
        links = {str(step): link for step, link in self.links.items()}
        return {"steps": self.steps, "last": self.last, "links": links}

    def notes(self) -> dict[str, Any]:
        """All that a resumed training needs to go on with the receipt."""
        return {**self.told(), "kept": {str(step): link for step, link in self.kept.items()}}

    def resume(self, notes: Mapping[str, Any]) -> None:
        """Go on from the notes of a checkpoint."""
        self.begin(notes)
        self.kept = {int(step): link for step, link in notes["kept"].items()}


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

    def draws(self, batches: Batches, first: int, last: int) -> pa.Table:
        """The documents that the steps [first, last) read, in the order of the streams."""
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
        return pa.concat_tables([counted.table(name) for name, counted in counts.items()])


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

    def table(self, corpus: str) -> pa.Table:
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


class Taught:
    """The examples behind the rows of a fine-tuning's batches."""

    def __init__(self, rows: Sequence[Pair | Labelled], asked: Callable[[int], int]) -> None:
        """``asked`` says how many targets the example of a number has."""
        self.rows, self._asked = rows, asked
        self._digests = [hashlib.sha256(canonical(row._asdict())).digest() for row in rows]

    def named(self, row: RowId) -> bytes:
        """The digest of the example."""
        assert isinstance(row, Example)
        return self._digests[row.number]

    def ranges(self, row: RowId) -> Iterator[tuple[str, str, int, int]]:
        """(``examples``, document id, the example's targets from 0 on) of what a row reads."""
        assert isinstance(row, Example)
        yield EXAMPLES, self.rows[row.number].document_id, 0, self._asked(row.number)

    def draws(self, batches: Batches, first: int, last: int) -> pa.Table:
        """The examples that the steps [first, last) read, in their order."""
        times, begun = [0] * len(self.rows), [0] * len(self.rows)
        for step in range(first, last):
            for row in batches.rows(step):
                assert isinstance(row, Example)
                begun[row.number] = begun[row.number] or step + 1
                times[row.number] += 1
        drawn = [
            Draw(EXAMPLES, row.document_id, row.id, digest, count * self._asked(number), step)
            for number, (row, digest, count, step) in enumerate(
                zip(self.rows, self._digests, times, begun, strict=True)
            )
            if count
        ]
        return pa.Table.from_pylist([one._asdict() for one in drawn], schema=draws_schema())


def joined(before: pa.Table, after: pa.Table) -> pa.Table:
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
    return pa.Table.from_pylist(list(rows.values()), schema=draws_schema())


def write_draws(making: Making, tables: Mapping[str, pa.Table]) -> None:
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


def write_receipt(making: Making, receipt: Receipt, draws: pa.Table) -> None:
    """Write the receipt of a training and the documents that its weights have read."""
    making.write(RECEIPT, receipt.told())
    write_draws(making, {DRAWS: draws})
