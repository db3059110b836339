"""Batches as pure functions of (seed, step): a resumed run needs no saved data position.

Letters: B batch, T context_length.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.batches.mixing import check_sizes, mix
from model.batches.rows import Row, RowId
from model.batches.shuffling import key_of, permuted_all
from model.batches.streams import DocumentPiece, Hole, Piece, TokenStream

__all__ = [
    "IGNORED",
    "Batch",
    "DocumentPiece",
    "Hole",
    "Piece",
    "TokenStream",
    "Windows",
    "in_order",
    "key_of",
    "spread",
]

IGNORED = -100  # a target that does not count; the default of torch's cross_entropy
_DRAWS = 1 << 14  # so many windows are located together


@dataclass(frozen=True)
class Batch:
    """The input of an objective.

    ``tokens`` (B, T) int64. ``targets`` (B, T) int64, IGNORED where a target does not count, or
    labels (B,). ``ids`` says what each row reads, and names it in messages. ``last`` (B,) is the
    position of the last token before the padding; it is set with labels. ``documents`` (B, T) int64
    numbers the documents of a row; it is set where a row holds several, which may not read one
    another.
    ``sources`` (B, S) int64 are the inputs of an encoder, padded with IGNORED. ``lengths`` (B,)
    counts the tokens of each row before its padding; without it no row has padding. ``begun``
    (B, T, D) is what the frozen blocks of a network make of the tokens (model/training/prefix.py).

    Of pairs of replies the rows 2i and 2i + 1 are the chosen and the rejected reply of the pair
    that ``ids[i]`` names. ``reference`` (B,) float64 are the nats of each row's targets under the
    network that training began from, and ``beta`` is DPO's.
    """

    tokens: Tensor
    targets: Tensor
    ids: Sequence[RowId]
    last: Tensor | None = None
    documents: Tensor | None = None
    sources: Tensor | None = None
    lengths: Tensor | None = None
    begun: Tensor | None = None
    reference: Tensor | None = None
    beta: float = 0.1

    @property
    def size(self) -> int:
        """How many tokens the network reads, with sources and padding."""
        return self.tokens.numel() + (0 if self.sources is None else self.sources.numel())

    @property
    def filled(self) -> int:
        """How many tokens the network reads, with sources and without padding."""
        tokens = self.tokens.numel() if self.lengths is None else int(self.lengths.sum())
        return tokens + (0 if self.sources is None else int((self.sources != IGNORED).sum()))

    @property
    def counted(self) -> int:
        """How many targets count in the mean loss; of pairs of replies, how many pairs."""
        if self.reference is not None:
            return len(self.ids)
        return int((self.targets != IGNORED).sum())

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on ``device``."""
        return self._map(lambda tensor: tensor.to(device))

    def rows(self, chosen: slice) -> Batch:
        """Some of the rows, or of the pairs of rows, as a batch."""
        each = self._rows_each

        def rows_of(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (-1, each))[chosen].flatten(0, 1)

        return replace(self._map(rows_of), ids=self.ids[chosen])

    @property
    def _rows_each(self) -> int:
        """How many rows each of ``ids`` names."""
        return 1 if self.reference is None else 2

    def split(self, parts: int) -> list[Batch]:
        """The rows in at most ``parts`` consecutive batches, as equal in size as possible.

        A pair of rows is not parted.
        """
        size = len(self.ids)
        cuts = [part * size // parts for part in range(parts + 1)]
        return [self.rows(slice(a, b)) for a, b in itertools.pairwise(cuts) if a < b]

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        def changed(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else change(tensor)

        return replace(
            self,
            tokens=change(self.tokens),
            targets=change(self.targets),
            last=changed(self.last),
            documents=changed(self.documents),
            sources=changed(self.sources),
            lengths=changed(self.lengths),
            begun=changed(self.begun),
            reference=changed(self.reference),
        )

    def check(self, vocab_size: int, padding: int | None = None) -> None:
        """Raises ValueError for a token id that is outside the vocabulary and not ``padding``."""
        tokens = self.tokens if padding is None else self.tokens.where(self.tokens != padding, 0)
        self._check(tokens, vocab_size)
        if self.sources is not None:
            self._check(self.sources.where(self.sources != IGNORED, 0), vocab_size)

    def _check(self, tokens: Tensor, vocab_size: int) -> None:
        highest, lowest = int(tokens.max()), int(tokens.min())
        if lowest < 0 or highest >= vocab_size:
            wrong = highest if highest >= vocab_size else lowest
            row = int((tokens == wrong).any(dim=1).nonzero()[0])
            raise ValueError(
                f"token={wrong} in {self.ids[row // self._rows_each]} is outside"
                f" vocab_size={vocab_size}: encode the text with the network's own tokenizer"
            )


class Windows:
    """Training batches from weighted corpora; ``batch(step)`` depends on (seed, step) alone.

    A corpus is a ring. Each epoch cuts it into windows of T targets from a seeded starting point,
    so that windows differ between epochs. It takes every window once, in a seeded order. It skips
    the remainder of fewer than T tokens, a different one each epoch. ``epochs`` limits the epochs
    of a corpus; after that the other corpora take its share (``Mixture``).
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
        self.streams, self.seed = dict(streams), seed
        self.context_length, self.batch_size = context_length, batch_size
        self.mixture = mix(streams, weights, context_length, batch_size, seed, epochs, self.windows)
        self._steps_together = max(1, _DRAWS // batch_size)
        self._places = functools.lru_cache(maxsize=2)(self._locate)

    @property
    def steps(self) -> int | None:
        """How many batches the corpora allow under their limits; None if one has no limit."""
        return self.mixture.steps

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0. ValueError past ``steps``."""
        places = self._placed(step)
        width = self.context_length + 1
        rows = torch.empty(self.batch_size, width, dtype=torch.int64).numpy()  # cheap slices
        for row, (corpus, start, piece, offset) in zip(rows, places, strict=True):
            part = self.streams[corpus].view(piece)[offset : offset + width]
            if len(part) == width:
                row[:] = part
            else:
                self.streams[corpus].copy(start, row)
        tokens, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
        tokens, targets = unread(tokens, targets, hole_in(self.streams))
        return Batch(tokens, targets, tuple(self.rows(step)))

    def rows(self, step: int) -> list[Row]:
        """What the rows of a step's batch read, without reading it. ValueError past ``steps``."""
        width = self.context_length + 1
        places = self._placed(step)
        return [Row(corpus, ((start, start + width),), 1) for corpus, start, *_ in places]

    def _placed(self, step: int) -> list[tuple[str, int, int, int]]:
        self.mixture.require(step + 1)
        block, index = divmod(step, self._steps_together)
        return self._places(block)[index * self.batch_size : (index + 1) * self.batch_size]

    def windows(self, corpus: str) -> int:
        """How many windows an epoch of the corpus has."""
        return len(self.streams[corpus]) // self.context_length

    def drawn(self, steps: int) -> dict[str, dict[str, float]]:
        """Of each corpus, the ``windows``, target ``tokens`` and ``epochs`` in ``steps`` steps."""
        return {
            corpus: {
                "windows": count,
                "tokens": count * self.context_length,
                "epochs": count / self.windows(corpus),
            }
            for corpus, count in self.mixture.counts(steps).items()
        }

    def _locate(self, block: int) -> list[tuple[str, int, int, int]]:
        """For each window of a block of steps: corpus, start, and the start's piece and offset."""
        first = block * self._steps_together
        last = first + self._steps_together
        if self.steps is not None:
            last = min(last, self.steps)
        names = self.mixture.corpora(first, last)
        before = self.mixture.counts(first)
        places = {
            corpus: iter(self._starts(corpus, before[corpus], count))
            for corpus, count in Counter(names).items()
        }
        return [(corpus, *next(places[corpus])) for corpus in names]

    def _starts(self, corpus: str, before: int, count: int) -> Iterable[tuple[int, int, int]]:
        """The starts of the corpus's ``count`` windows after the first ``before``.

        Each start is a first token, its piece and its offset in the piece. To locate all together
        takes a fifth of the time of a batch.
        """
        size, tokens = self.windows(corpus), len(self.streams[corpus])
        draws = torch.arange(before, before + count)
        epochs, ordinal = torch.unique_consecutive(draws // size, return_inverse=True)

        def keys(what: str) -> list[int]:
            return [key_of(what, self.seed, corpus, epoch) for epoch in epochs.tolist()]

        origins = torch.tensor([key % tokens for key in keys("origin")])
        window = permuted_all(draws % size, size, keys("order"), ordinal)
        starts = (origins[ordinal] + window * self.context_length) % tokens
        return zip(starts.tolist(), *self.streams[corpus].find(starts), strict=True)


def hole_in(streams: Mapping[str, TokenStream]) -> Hole | None:
    """How forgotten documents are marked in some streams of one tokenizer; None without any."""
    return next((stream.hole for stream in streams.values() if stream.hole), None)


def unread(tokens: Tensor, targets: Tensor, hole: Hole | None) -> tuple[Tensor, Tensor]:
    """The same with forgotten tokens neither read nor asked.

    The filler is read in their place, and their targets do not count.
    """
    if hole is None:
        return tokens, targets
    kept = tokens.where(tokens != hole.mark, hole.filler)
    return kept, targets.where(targets != hole.mark, IGNORED)


def spread(size: int, count: int | None) -> Sequence[int]:
    """``count`` of range(size), evenly spaced from the first on; all if count is None or larger.

    If the range consists of consecutive parts, each part gets its share.
    """
    if count is None or count >= size:
        return range(size)
    return [place * size // count for place in range(count)]


def in_order(
    stream: TokenStream,
    context_length: int,
    batch_size: int,
    *,
    windows: int | None = None,
    beginning: int | None = None,
) -> Iterator[Batch]:
    """Batches in which each token but the first is a target exactly once; for evaluation.

    ``windows`` limits the batches to so many windows of T targets, spread evenly over the stream.
    The token ``beginning`` replaces the first token of each window, unless it is the first target:
    a network that was trained with it before every text is worse without it. It never counts as a
    target, because nothing predicts it. The last window is padded with token 0 and IGNORED targets.
    """
    check_sizes(context_length, batch_size)
    stream = TokenStream(stream.pieces, keep=1, hole=stream.hole)  # it is read once
    n_targets = len(stream) - 1
    if n_targets < 1:
        raise ValueError(f"tokens={len(stream)}: a loss needs at least two tokens")
    indices = spread(-(-n_targets // context_length), windows)
    for first in range(0, len(indices), batch_size):
        starts = [window * context_length for window in indices[first : first + batch_size]]
        rows = [stream.read(s, min(s + context_length + 1, len(stream))) for s in starts]
        tokens = pad([row[:-1] for row in rows], 0, context_length)
        targets = pad([row[1:] for row in rows], IGNORED, context_length)
        tokens, targets = unread(tokens, targets, stream.hole)
        if beginning is not None:
            tokens[targets[:, 0] != beginning, 0] = beginning
            targets[targets == beginning] = IGNORED
        ids = tuple(f"tokens[{s}:{s + len(row)}]" for s, row in zip(starts, rows, strict=True))
        yield Batch(tokens, targets, ids)


def pad(rows: Sequence[Tensor], value: int, width: int) -> Tensor:
    """The rows as one tensor (B, width) int64, padded with ``value``."""
    padded = torch.full((len(rows), width), value, dtype=torch.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
