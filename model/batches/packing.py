"""Whole documents packed into rows: a row begins and ends where a document does.

Letters: B batch, T context_length.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from model.batches.batching import IGNORED, Batch, TokenStream, hole_in, unread
from model.batches.mixing import mix
from model.batches.rows import Row as ReadRow
from model.batches.shuffling import key_of, permuted, permuted_all
from model.batches.streams import DocumentPiece

if TYPE_CHECKING:
    import numpy.typing as npt

    Row = npt.NDArray[Any]

_POOL_ROWS = 256  # a pool holds documents for at least so many rows
_SHUFFLED = 16  # so many pools have their rows in one seeded order


class Span(NamedTuple):
    """Targets [start, stop) of a stream; the token at ``opening`` predicts the first."""

    start: int
    stop: int
    opening: int


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of at most ``capacity``, each a list of indices into ``lengths`` (1 to capacity).

    Best-fit decreasing: it takes the longest first, and puts each into the fullest bin with room
    for it. It needs at most 11/9 of the fewest bins possible, plus a constant (Johnson 1974). Ding
    et al. 2024 use it for documents.
    """
    bins: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    rooms = 0  # bit r is set if a bin has room r; the best fit is the lowest bit from a length on
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[index]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            bins[number].append(index)
        else:
            room, number = capacity, len(bins)
            bins.append([index])
        by_room.setdefault(room - length, []).append(number)
        rooms |= 1 << room - length
    return bins


class Packed:
    """Training batches of whole documents from weighted corpora, a function of (seed, step).

    In an epoch every token of every document is a target once. The end of text that closes the
    document predicts its first token; the tokens before predict each of the others. A document
    longer than T is cut into parts of T, which count as documents. Best fit fills the rows; the
    rest of a row is padding without targets. ``Batch.documents`` separates the documents of a row.

    Corpora are mixed as in ``Windows``, with rows in place of windows. ``epochs`` needs the number
    of rows of the limited corpora, so it packs them at once, in a pass over their document lengths;
    without it, a corpus is packed a pool at a time (``PackedCorpus``).
    """

    def __init__(
        self,
        streams: Mapping[str, TokenStream],
        weights: Mapping[str, float],
        context_length: int,
        batch_size: int,
        seed: int,
        epochs: Mapping[str, float] | None = None,
    ) -> None:
        """``streams`` consist of DocumentPieces."""
        self.streams = dict(streams)
        self.context_length, self.batch_size = context_length, batch_size
        self._corpora = {
            name: PackedCorpus(name, stream, context_length, seed)
            for name, stream in streams.items()
        }
        self.mixture = mix(streams, weights, context_length, batch_size, seed, epochs, self.windows)

    @property
    def steps(self) -> int | None:
        """How many batches the corpora allow under their limits; None if one has no limit."""
        return self.mixture.steps

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0. ValueError past ``steps``."""
        shape = self.batch_size, self.context_length
        tokens = torch.zeros(shape, dtype=torch.int64)
        targets = torch.full(shape, IGNORED)
        documents = torch.zeros(shape, dtype=torch.int64)
        placed = self._placed(step)
        rows = zip(placed, tokens.numpy(), targets.numpy(), documents.numpy(), strict=True)
        for (name, spans), *row in rows:
            _fill(self.streams[name], spans, *row)
        lengths = (targets != IGNORED).sum(dim=1)  # every token of a document is a target
        tokens, targets = unread(tokens, targets, hole_in(self.streams))
        ids = tuple(_read(name, spans) for name, spans in placed)
        return Batch(tokens, targets, ids, documents=documents, lengths=lengths)

    def rows(self, step: int) -> list[ReadRow]:
        """What the rows of a step's batch read, without reading it. ValueError past ``steps``."""
        return [_read(name, spans) for name, spans in self._placed(step)]

    def _placed(self, step: int) -> list[tuple[str, list[Span]]]:
        """The corpus and the spans of each row of a step."""
        counts, placed = self.mixture.counts(step), []
        for name in self.mixture.corpora(step, step + 1):
            placed.append((name, self._corpora[name].row(counts[name])))
            counts[name] += 1
        return placed

    def windows(self, corpus: str) -> int:
        """How many rows an epoch of the corpus has; the call packs the whole corpus."""
        return self._corpora[corpus].rows

    def drawn(self, steps: int) -> dict[str, dict[str, float]]:
        """Of each corpus, the ``windows``, target ``tokens`` and ``epochs`` in ``steps`` steps."""
        totals = {}
        for corpus, count in self.mixture.counts(steps).items():
            tokens = self._corpora[corpus].tokens(count)
            epochs = tokens / len(self.streams[corpus])
            totals[corpus] = {"windows": count, "tokens": tokens, "epochs": epochs}
        return totals


def _read(corpus: str, spans: Sequence[Span]) -> ReadRow:
    """What a row reads; the opening of a span is a token of the same document."""
    return ReadRow(corpus, tuple((span.start, span.stop) for span in spans), 0)


def _fill(
    stream: TokenStream, spans: Sequence[Span], tokens: Row, targets: Row, documents: Row
) -> None:
    """Lays the spans side by side; the padding after them is one more document, no target."""
    column = 0
    for number, span in enumerate(spans):
        end = column + span.stop - span.start
        stream.copy(span.start, targets[column:end])
        stream.copy(span.opening, tokens[column : column + 1])
        tokens[column + 1 : end] = targets[column : end - 1]
        documents[column:end] = number
        column = end
    documents[column:] = len(spans)


class _Pool(NamedTuple):
    """Spans that are packed together, and the indices of the spans in each row."""

    starts: list[int]
    stops: list[int]
    openings: list[int]
    rows: list[list[int]]

    def row(self, number: int) -> list[Span]:
        return [Span(self.starts[i], self.stops[i], self.openings[i]) for i in self.rows[number]]


class PackedCorpus:
    """A corpus as rows of whole documents in a seeded order, each document once an epoch.

    Consecutive pieces make a pool. A pool is packed by itself, the same way every epoch, when it is
    first needed. An epoch takes the pools in a seeded order, and the rows of 16 pools at a time in
    another, so that only those pools are in memory. To locate a row, all pools before it in the
    epoch must be packed; the row counts of the pools are kept.
    """

    def __init__(self, name: str, stream: TokenStream, context_length: int, seed: int) -> None:
        self.name, self.stream, self.seed = name, stream, seed
        self.context_length = context_length
        self._pools = list(self._cut_into_pools())
        self._groups = range(-(-len(self._pools) // _SHUFFLED))
        self._counts: dict[int, int] = {}
        self._packed = functools.lru_cache(2 * _SHUFFLED)(self._pack)
        self._group = functools.lru_cache(2)(self._shuffle)
        self._ends = functools.lru_cache(3)(lambda _epoch: [0])  # rows before each located group

    @functools.cached_property
    def rows(self) -> int:
        """How many rows an epoch has; this packs every pool that is not packed yet."""
        return sum(map(self._count, range(len(self._pools))))

    def row(self, count: int) -> list[Span]:
        """The spans of the row after the first ``count`` rows."""
        epoch, group, index = self._place(count)
        pools, ends, order = self._group(epoch, group)
        place = order[index]
        which = bisect.bisect_right(ends, place)
        return self._packed(pools[which]).row(place - ends[which])  # from the pool's end

    def tokens(self, count: int) -> int:
        """How many targets the first ``count`` rows have."""
        epoch, group, index = self._place(count)
        pools = [pool for earlier in range(group) for pool in self._choose(epoch, earlier)]
        pieces = (self.stream.pieces[number] for pool in pools for number in self._pools[pool])
        whole = epoch * len(self.stream) + sum(piece.length for piece in pieces)
        rows = (self.row(before) for before in range(count - index, count))
        return whole + sum(span.stop - span.start for row in rows for span in row)

    def _place(self, count: int) -> tuple[int, int, int]:
        """The epoch, the group and the row in the group; packs the pools up to there alone."""
        epoch = 0
        if self._reach(0, count) <= count:
            epoch, count = divmod(count, self.rows)
            self._reach(epoch, count)
        ends = self._ends(epoch)
        group = bisect.bisect_right(ends, count) - 1
        return epoch, group, count - ends[group]

    def _reach(self, epoch: int, count: int) -> int:
        """Locates groups of the epoch until one holds row ``count``; returns the rows located."""
        ends = self._ends(epoch)
        while ends[-1] <= count and len(ends) <= len(self._groups):
            group = self._choose(epoch, len(ends) - 1)
            ends.append(ends[-1] + sum(map(self._count, group)))
        return ends[-1]

    def _choose(self, epoch: int, group: int) -> list[int]:
        """The pools of a group, whose rows are shuffled together."""
        size, key = len(self._pools), key_of("pools", self.seed, self.name, epoch)
        ordinals = range(size)[group * _SHUFFLED : (group + 1) * _SHUFFLED]
        return [permuted(ordinal, size, key) for ordinal in ordinals]

    def _shuffle(self, epoch: int, group: int) -> tuple[list[int], list[int], list[int]]:
        """The pools of a group, the rows up to the end of each, and the order of all its rows."""
        pools = self._choose(epoch, group)
        ends = list(itertools.accumulate(map(self._count, pools)))
        keys = [key_of("rows", self.seed, self.name, epoch, group)]
        rows = torch.arange(ends[-1])
        return pools, ends, permuted_all(rows, ends[-1], keys, torch.zeros_like(rows)).tolist()

    def _count(self, pool: int) -> int:
        if pool not in self._counts:
            self._counts[pool] = len(self._packed(pool).rows)
        return self._counts[pool]

    def _pack(self, pool: int) -> _Pool:
        parts = [self._cut(number) for number in self._pools[pool]]
        starts, stops, openings = (torch.cat(part) for part in zip(*parts, strict=True))
        rows = best_fit((stops - starts).tolist(), self.context_length)
        return _Pool(starts.tolist(), stops.tolist(), openings.tolist(), rows)

    def _cut(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Start, stop and opening of a piece's documents; those longer than T are cut into parts.

        A document opens with its own end of text, since the one before it closed with the same.
        """
        bounds, length = self._bounds(number), self.context_length
        parts = (bounds.diff() + length - 1) // length
        document = torch.repeat_interleave(parts)
        part = torch.arange(len(document)) - (parts.cumsum(0) - parts)[document]
        starts, ends = bounds[:-1][document] + part * length, bounds[1:][document]
        openings = torch.where(part == 0, ends - 1, starts - 1)
        return starts, torch.minimum(starts + length, ends), openings

    def _bounds(self, number: int) -> Tensor:
        """The starts of a piece's documents in the stream, and the end of the last one."""
        piece = self.stream.pieces[number]
        assert isinstance(piece, DocumentPiece)
        bounds = piece.bounds().to(torch.int64)
        ends = bounds[[0, -1]].tolist() if len(bounds) else []
        if ends != [0, piece.length] or (bounds.diff() < 0).any():
            raise ValueError(
                f"piece {number} of corpus={self.name} has bounds from and to {ends}: they must "
                f"rise from 0 to length={piece.length}"
            )
        return bounds + self.stream.starts()[number]

    def _cut_into_pools(self) -> Iterator[range]:
        """Ranges of consecutive pieces, each with tokens for at least 256 rows."""
        first, tokens = 0, 0
        for number, piece in enumerate(self.stream.pieces):
            if not isinstance(piece, DocumentPiece):
                raise ValueError(
                    f"piece {number} of corpus={self.name} has no document bounds: "
                    "give a DocumentPiece, or train on windows"
                )
            tokens += piece.length
            if tokens >= _POOL_ROWS * self.context_length:
                yield range(first, number + 1)
                first, tokens = number + 1, 0
        if tokens:
            yield range(first, len(self.stream.pieces))
