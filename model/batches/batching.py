"""Batches as pure functions of (seed, step): nothing to save, nothing to replay on resume.

Letters: B batch, T context_length.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.batches.mixing import check_sizes, mix
from model.batches.shuffling import key_of, permuted_all
from model.batches.streams import DocumentPiece, Piece, TokenStream

__all__ = [
    "IGNORED",
    "Batch",
    "DocumentPiece",
    "Piece",
    "TokenStream",
    "Windows",
    "in_order",
    "key_of",
    "spread",
]

IGNORED = -100  # a target that is not counted; the number is cross_entropy's own default
_DRAWS = 1 << 14  # windows whose places are computed together


@dataclass(frozen=True)
class Batch:
    """What an objective sees.

    tokens (B, T) int64; targets (B, T) int64 with IGNORED where nothing is asked, or labels (B,);
    ``ids`` names each row for messages; ``last`` (B,) is the position of the last real token, set
    where labels are; ``documents`` (B, T) int64 numbers the documents of a row, set where a row
    holds several that may not read one another; ``sources`` (B, S) int64 is what an encoder reads
    beside, IGNORED where a row has no more.
    """

    tokens: Tensor
    targets: Tensor
    ids: tuple[str, ...]
    last: Tensor | None = None
    documents: Tensor | None = None
    sources: Tensor | None = None

    @property
    def counted(self) -> int:
        """How many targets the mean loss is over."""
        return int((self.targets != IGNORED).sum())

    def to(self, device: torch.device | str) -> Batch:
        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            last=moved(self.last),
            documents=moved(self.documents),
            sources=moved(self.sources),
        )

    def check(self, vocab_size: int) -> None:
        """ValueError for a token id that the embedding does not have."""
        self._check(self.tokens, vocab_size)
        if self.sources is not None:
            self._check(self.sources.where(self.sources != IGNORED, 0), vocab_size)

    def _check(self, tokens: Tensor, vocab_size: int) -> None:
        highest, lowest = int(tokens.max()), int(tokens.min())
        if lowest < 0 or highest >= vocab_size:
            wrong = highest if highest >= vocab_size else lowest
            row = int((tokens == wrong).any(dim=1).nonzero()[0])
            raise ValueError(
                f"token={wrong} in {self.ids[row]} is outside vocab_size={vocab_size}: "
                "the text was encoded by another tokenizer than the network's"
            )


class Windows:
    """Training batches from weighted corpora; ``batch(step)`` is pure in (seed, step).

    A corpus is a ring. Each epoch cuts it into windows of T targets from a seeded starting point,
    so that windows differ between epochs, and takes them in a seeded order, each once; the
    remainder below T tokens is skipped, another one each epoch. ``epochs`` limits how often a
    corpus is gone through: once that is reached, the others take its share (``Mixture``).
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
        """Batches until the limits exhaust every corpus; None where one has no limit."""
        return self.mixture.steps

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0. ValueError past ``steps``."""
        self.mixture.require(step + 1)
        block, index = divmod(step, self._steps_together)
        places = self._places(block)[index * self.batch_size : (index + 1) * self.batch_size]
        width = self.context_length + 1
        rows = torch.empty(self.batch_size, width, dtype=torch.int64).numpy()  # for cheap slices
        for row, (corpus, start, piece, offset) in zip(rows, places, strict=True):
            part = self.streams[corpus].view(piece)[offset : offset + width]
            if len(part) == width:
                row[:] = part
            else:
                self.streams[corpus].copy(start, row)
        ids = tuple(f"{corpus}[{start}:{start + width}]" for corpus, start, *_ in places)
        return Batch(torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:]), ids)

    def windows(self, corpus: str) -> int:
        """Windows in an epoch of the corpus."""
        return len(self.streams[corpus]) // self.context_length

    def drawn(self, steps: int) -> dict[str, dict[str, float]]:
        """What so many steps read of each corpus: ``windows``, ``tokens`` asked, ``epochs``."""
        return {
            corpus: {
                "windows": count,
                "tokens": count * self.context_length,
                "epochs": count / self.windows(corpus),
            }
            for corpus, count in self.mixture.counts(steps).items()
        }

    def _locate(self, block: int) -> list[tuple[str, int, int, int]]:
        """For each window of a block of steps: its corpus and start, and the start's piece."""
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
        """Where the corpus's ``count`` windows after the first ``before`` start.

        First token, piece and offset in the piece: found together, a fifth of the time of a batch.
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


def spread(size: int, count: int | None) -> Sequence[int]:
    """``count`` of range(size), evenly spaced from the first on; all where count is None or more.

    Of parts that lie end to end each gets its share.
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

    With ``windows`` only so many windows of T targets, spread evenly over the stream. A
    ``beginning`` takes the first place of each window, unless the window asks for one: a network
    that always read it before a text is at a loss without. It is no target: nothing foretells it.
    The last window of the stream is filled up with token 0 and IGNORED targets.
    """
    check_sizes(context_length, batch_size)
    stream = TokenStream(stream.pieces, keep=1)  # it is passed through once
    targets = len(stream) - 1
    if targets < 1:
        raise ValueError(f"tokens={len(stream)}: a loss needs a stream of two tokens or more")
    chosen = spread(-(-targets // context_length), windows)
    for first in range(0, len(chosen), batch_size):
        starts = [window * context_length for window in chosen[first : first + batch_size]]
        rows = [stream.read(s, min(s + context_length + 1, len(stream))) for s in starts]
        tokens = pad([row[:-1] for row in rows], 0, context_length)
        asked = pad([row[1:] for row in rows], IGNORED, context_length)
        if beginning is not None:
            tokens[asked[:, 0] != beginning, 0] = beginning
            asked[asked == beginning] = IGNORED
        ids = tuple(f"tokens[{s}:{s + len(row)}]" for s, row in zip(starts, rows, strict=True))
        yield Batch(tokens, asked, ids)


def pad(rows: Sequence[Tensor], value: int, width: int) -> Tensor:
    """(B, width), each row followed by ``value``."""
    padded = torch.full((len(rows), width), value, dtype=torch.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
