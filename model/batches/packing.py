"""Whole documents packed into rows, so that no window begins or ends where a document does not.

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

from model.batches.batching import IGNORED, Batch, TokenStream
from model.batches.mixing import mix
from model.batches.shuffling import key_of, permuted, permuted_all
from model.batches.streams import DocumentPiece

if TYPE_CHECKING:
    import numpy.typing as npt

    Row = npt.NDArray[Any]

_POOL_ROWS = 256  # documents for at least so many rows are packed together
_SHUFFLED = 16  # pools whose rows are taken in one seeded order


class Span(NamedTuple):
    """Targets [start, stop) of a stream; the first is asked from the token at ``opening``."""

    start: int
    stop: int
    opening: int


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of at most ``capacity``, each a list of indices into ``lengths`` (1 to capacity).

    Best-fit decreasing: the longest first, each into the fullest bin that has room for it, which
    takes at most 11/9 of the fewest bins possible and a constant (Johnson 1974); for documents,
    Ding et al. 2024.
    """
    bins: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    rooms = 0  # bit r is set where a bin has room for r: the lowest bit from a length on is the fit
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
    """Training batches of whole documents from weighted corpora; pure in (seed, step).

    Each document is asked for once an epoch, every token of it: the first from the end of text that
    closes the document, the others from those before them. Documents longer than T are cut into
    parts of T, asked for as if each were a document. Rows are filled best-fit; the rest is padding
    that asks nothing. ``Batch.documents`` keeps the documents of a row apart.

    Corpora are mixed as in ``Windows``; a row takes the place of a window. With ``epochs``, the
    limited corpora are packed at once, a pass over their document lengths; without, a pool of rows
    at a time (``PackedCorpus``).
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
        """Batches until the limits exhaust every corpus; None where one has no limit."""
        return self.mixture.steps

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0. ValueError past ``steps``."""
        names = self.mixture.corpora(step, step + 1)
        counts = self.mixture.counts(step)
        shape = self.batch_size, self.context_length
        tokens = torch.zeros(shape, dtype=torch.int64)
        targets = torch.full(shape, IGNORED)
        documents = torch.zeros(shape, dtype=torch.int64)
        ids = []
        rows = zip(names, tokens.numpy(), targets.numpy(), documents.numpy(), strict=True)
        for name, *row in rows:
            spans = self._corpora[name].row(counts[name])
            _fill(self.streams[name], spans, *row)
            counts[name] += 1
            ids.append(name + "".join(f"[{span.start}:{span.stop}]" for span in spans))
        return Batch(tokens, targets, tuple(ids), documents=documents)

    def windows(self, corpus: str) -> int:
        """Rows in an epoch of the corpus; asking for it packs all of the corpus."""
        return self._corpora[corpus].rows

    def drawn(self, steps: int) -> dict[str, dict[str, float]]:
        """What so many steps read of each corpus: ``windows``, ``tokens`` asked, ``epochs``."""
        found = {}
        for corpus, count in self.mixture.counts(steps).items():
            tokens = self._corpora[corpus].tokens(count)
            epochs = tokens / len(self.streams[corpus])
            found[corpus] = {"windows": count, "tokens": tokens, "epochs": epochs}
        return found


def _fill(
    stream: TokenStream, spans: Sequence[Span], tokens: Row, targets: Row, documents: Row
) -> None:
    """Lay the spans side by side; what is behind them is another document, and stays unasked."""
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
    """Spans that were packed together, and which of them each row holds."""

    starts: list[int]
    stops: list[int]
    openings: list[int]
    rows: list[list[int]]

    def row(self, number: int) -> list[Span]:
        return [Span(self.starts[i], self.stops[i], self.openings[i]) for i in self.rows[number]]


class PackedCorpus:
    """A corpus as rows of whole documents in a seeded order, each document once an epoch.

    Consecutive pieces make up pools; a pool is packed by itself, the same way every epoch, when it
    is first needed. An epoch takes the pools in a seeded order and the rows of 16 of them at a time
    in another, so that only those are held. Which pool a row is in is known once those before it in
    the epoch are packed; their row counts are kept.
    """

    def __init__(self, name: str, stream: TokenStream, context_length: int, seed: int) -> None:
        self.name, self.stream, self.seed = name, stream, seed
        self.context_length = context_length
        self._pools = list(self._cut_into_pools())
        self._groups = range(-(-len(self._pools) // _SHUFFLED))
        self._counts: dict[int, int] = {}
        self._packed = functools.lru_cache(2 * _SHUFFLED)(self._pack)
        self._group = functools.lru_cache(2)(self._shuffle)
        self._ends = functools.lru_cache(3)(lambda _epoch: [0])  # rows before each mapped group

    @functools.cached_property
    def rows(self) -> int:
        """Rows in an epoch; this packs every pool that has not been packed."""
        return sum(map(self._count, range(len(self._pools))))

    def row(self, count: int) -> list[Span]:
        """What the row after ``count`` others holds."""
        epoch, group, index = self._place(count)
        pools, ends, order = self._group(epoch, group)
        place = order[index]
        which = bisect.bisect_right(ends, place)
        return self._packed(pools[which]).row(place - ends[which])  # from the end, as lists count

    def tokens(self, count: int) -> int:
        """Targets that the first so many rows ask for."""
        epoch, group, index = self._place(count)
        pools = [pool for earlier in range(group) for pool in self._choose(epoch, earlier)]
        pieces = (self.stream.pieces[number] for pool in pools for number in self._pools[pool])
        whole = epoch * len(self.stream) + sum(piece.length for piece in pieces)
        rows = (self.row(before) for before in range(count - index, count))
        return whole + sum(span.stop - span.start for row in rows for span in row)

    def _place(self, count: int) -> tuple[int, int, int]:
        """Epoch, group and row in the group; only the pools up to there are packed."""
        epoch = 0
        if self._reach(0, count) <= count:
            epoch, count = divmod(count, self.rows)
            self._reach(epoch, count)
        ends = self._ends(epoch)
        group = bisect.bisect_right(ends, count) - 1
        return epoch, group, count - ends[group]

    def _reach(self, epoch: int, count: int) -> int:
        """Map groups of the epoch until one holds row ``count``; how many rows are mapped."""
        ends = self._ends(epoch)
        while ends[-1] <= count and len(ends) <= len(self._groups):
            group = self._choose(epoch, len(ends) - 1)
            ends.append(ends[-1] + sum(map(self._count, group)))
        return ends[-1]

    def _choose(self, epoch: int, group: int) -> list[int]:
        """Pools whose rows are shuffled together."""
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
        """Start, stop and opening of a piece's documents, longer ones in parts, the last shorter.

        A document opens with its own end of text, which closed the one before it too.
        """
        bounds, length = self._bounds(number), self.context_length
        parts = (bounds.diff() + length - 1) // length
        document = torch.repeat_interleave(parts)
        part = torch.arange(len(document)) - (parts.cumsum(0) - parts)[document]
        starts, ends = bounds[:-1][document] + part * length, bounds[1:][document]
        openings = torch.where(part == 0, ends - 1, starts - 1)
        return starts, torch.minimum(starts + length, ends), openings

    def _bounds(self, number: int) -> Tensor:
        """Where a piece's documents start in the stream, and the end of the last."""
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
        """Consecutive pieces, each time enough for 256 rows."""
        first, tokens = 0, 0
        for number, piece in enumerate(self.stream.pieces):
            if not isinstance(piece, DocumentPiece):
                raise ValueError(
                    f"piece {number} of corpus={self.name} does not say where its documents are: "
                    "give DocumentPiece, or train on windows"
                )
            tokens += piece.length
            if tokens >= _POOL_ROWS * self.context_length:
                yield range(first, number + 1)
                first, tokens = number + 1, 0
        if tokens:
            yield range(first, len(self.stream.pieces))
