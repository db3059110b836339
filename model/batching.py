"""Batches as pure functions of (seed, step): nothing to save, nothing to replay on resume.

Letters: B batch, T context_length.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor

IGNORED = -100  # a target that is not counted; the number is cross_entropy's own default
_MASK = (1 << 64) - 1
_SLOTS = 1024  # a mixture is exact to one part in so many
_POOL = 32  # batches whose examples are sorted by length together


@dataclass(frozen=True)
class Batch:
    """What an objective sees.

    tokens (B, T) int64; targets (B, T) int64 with IGNORED where nothing is asked, or labels (B,);
    ``ids`` names each row for messages; ``last`` (B,) is the position of the last real token, set
    where labels are.
    """

    tokens: Tensor
    targets: Tensor
    ids: tuple[str, ...]
    last: Tensor | None = None

    @property
    def counted(self) -> int:
        """How many targets the mean loss is over."""
        return int((self.targets != IGNORED).sum())

    def to(self, device: torch.device | str) -> Batch:
        return replace(
            self,
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            last=None if self.last is None else self.last.to(device),
        )

    def check(self, vocab_size: int) -> None:
        """ValueError for a token id that the embedding does not have."""
        highest, lowest = int(self.tokens.max()), int(self.tokens.min())
        if lowest < 0 or highest >= vocab_size:
            wrong = highest if highest >= vocab_size else lowest
            row = int((self.tokens == wrong).any(dim=1).nonzero()[0])
            raise ValueError(
                f"token={wrong} in {self.ids[row]} is outside vocab_size={vocab_size}: "
                "the text was encoded by another tokenizer than the network's"
            )


def key_of(*parts: int | str) -> int:
    """64 bits that depend on every part, the same on every machine."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def permuted(index: int, size: int, key: int) -> int:
    """Where a permutation of range(size), chosen by ``key``, sends ``index``; O(1) memory.

    A Feistel network permutes the next even power of two; walking its cycle until the range is hit
    makes that a permutation of the range (Black & Rogaway 2002). At most about four walks.
    """
    if not 0 <= index < size:
        raise ValueError(f"index={index} is outside range({size})")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = index >> half, index & low
        for turn in range(6):
            left, right = right, left ^ (_mix(right ^ (key + turn * 0x9E3779B97F4A7C15)) & low)
        index = left << half | right
        if index < size:
            return index


def _mix(x: int) -> int:
    """splitmix64's finaliser: every input bit moves every output bit (Steele et al. 2014)."""
    x &= _MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
    return x ^ x >> 31


class TokenStream:
    """One long row of tokens over many memory-mapped pieces, copied only where it is read."""

    def __init__(self, chunks: Sequence[Tensor]) -> None:
        """``chunks``: 1-D integer tensors of any width, joined in order."""
        for number, chunk in enumerate(chunks):
            if chunk.ndim != 1 or chunk.is_floating_point():
                raise ValueError(
                    f"chunk {number} has shape={tuple(chunk.shape)} dtype={chunk.dtype}: "
                    "give one row of token ids"
                )
        self._chunks = [chunk for chunk in chunks if len(chunk)]
        self._ends = list(itertools.accumulate(len(chunk) for chunk in self._chunks))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, start: int, stop: int) -> Tensor:
        """Tokens [start, stop) as int64."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"start={start} stop={stop} is outside a stream of {len(self)} tokens")
        pieces = []
        number = bisect.bisect_right(self._ends, start)
        while start < stop:
            chunk = self._chunks[number]
            begin = self._ends[number] - len(chunk)
            end = min(stop, self._ends[number])
            pieces.append(chunk[start - begin : end - begin].to(torch.int64))
            start, number = end, number + 1
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.int64)

    def read_ring(self, start: int, length: int) -> Tensor:
        """``length`` tokens from ``start``, the stream's beginning following its end."""
        start %= len(self)
        head = self.read(start, min(start + length, len(self)))
        return torch.cat([head, self.read(0, length - len(head))])


class Windows:
    """Training batches from weighted corpora; ``batch(step)`` is pure in (seed, step).

    A corpus is a ring. Each epoch cuts it into windows of T targets from a seeded starting point,
    so that windows differ between epochs, and takes them in a seeded order, each once; the
    remainder below T tokens is skipped, another one each epoch.

    Corpora alternate in a repeating block of slots: quotas by largest remainder, order by the
    seed. How often a corpus was drawn before any step is therefore known without counting.
    """

    def __init__(
        self,
        streams: Mapping[str, TokenStream],
        weights: Mapping[str, float],
        context_length: int,
        batch_size: int,
        seed: int,
    ) -> None:
        _check_sizes(context_length, batch_size)
        if set(streams) != set(weights) or not streams:
            raise ValueError(f"corpora={sorted(streams)} weights={sorted(weights)}: name the same")
        self.streams, self.seed = dict(streams), seed
        self.context_length, self.batch_size = context_length, batch_size
        self.quotas = _quotas(weights, 1 if len(weights) == 1 else _SLOTS)
        slots = [corpus for corpus, quota in self.quotas.items() for _ in range(quota)]
        order = key_of("slots", seed)
        self._slots = [slots[permuted(i, len(slots), order)] for i in range(len(slots))]
        seen = dict.fromkeys(self.quotas, 0)
        self._earlier = []  # per slot: draws of its corpus earlier in the block
        for corpus in self._slots:
            self._earlier.append(seen[corpus])
            seen[corpus] += 1
        for corpus, stream in streams.items():
            share = -(
                -batch_size * self.quotas[corpus] // len(slots)
            )  # rows of a batch, rounded up
            needed = share * context_length + 1
            if len(stream) < needed:
                raise ValueError(
                    f"corpus={corpus} tokens={len(stream)} is shorter than its share of one batch, "
                    f"{needed}: add text, or lower batch_size={batch_size} or "
                    f"context_length={context_length}"
                )

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0."""
        draws = range(step * self.batch_size, (step + 1) * self.batch_size)
        places = [self._place(draw) for draw in draws]
        rows = torch.stack(
            [self.streams[name].read_ring(at, self.context_length + 1) for name, at in places]
        )
        ids = tuple(f"{name}[{at}:{at + self.context_length + 1}]" for name, at in places)
        return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), ids)

    def windows(self, corpus: str) -> int:
        """Windows in an epoch of the corpus."""
        return len(self.streams[corpus]) // self.context_length

    def epochs(self, steps: int) -> dict[str, float]:
        """How often each corpus was gone through after so many steps."""
        block, rest = divmod(steps * self.batch_size, len(self._slots))
        draws = {corpus: block * quota for corpus, quota in self.quotas.items()}
        for corpus in self._slots[:rest]:
            draws[corpus] += 1
        return {corpus: count / self.windows(corpus) for corpus, count in draws.items()}

    def _place(self, draw: int) -> tuple[str, int]:
        """Corpus and first token of a draw."""
        block, slot = divmod(draw, len(self._slots))
        corpus = self._slots[slot]
        count = block * self.quotas[corpus] + self._earlier[slot]
        size = self.windows(corpus)
        epoch, index = divmod(count, size)
        tokens = len(self.streams[corpus])
        origin = key_of("origin", self.seed, corpus, epoch) % tokens
        window = permuted(index, size, key_of("order", self.seed, corpus, epoch))
        return corpus, (origin + window * self.context_length) % tokens


def _quotas(weights: Mapping[str, float], slots: int) -> dict[str, int]:
    """Whole slots in proportion to the weights, by largest remainder."""
    for corpus, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(
                f"weight={weight} of corpus={corpus} must be positive: or leave it out"
            )
    total = sum(weights.values())
    exact = {corpus: weight / total * slots for corpus, weight in sorted(weights.items())}
    quotas = {corpus: int(share) for corpus, share in exact.items()}
    by_remainder = sorted(exact, key=lambda corpus: quotas[corpus] - exact[corpus])
    for corpus in by_remainder[: slots - sum(quotas.values())]:
        quotas[corpus] += 1
    for corpus, quota in quotas.items():
        if not quota:
            raise ValueError(
                f"weight={weights[corpus]} of corpus={corpus} is below 1/{slots} of all: raise it"
            )
    return quotas


def in_order(stream: TokenStream, context_length: int, batch_size: int) -> Iterator[Batch]:
    """Batches in which each token but the first is a target exactly once; for evaluation.

    The last window is filled up with token 0 and IGNORED targets.
    """
    _check_sizes(context_length, batch_size)
    targets = len(stream) - 1
    if targets < 1:
        raise ValueError(f"tokens={len(stream)}: a loss needs a stream of two tokens or more")
    for first in range(0, targets, context_length * batch_size):
        starts = range(first, min(first + context_length * batch_size, targets), context_length)
        rows = [stream.read(s, min(s + context_length + 1, len(stream))) for s in starts]
        tokens = _pad([row[:-1] for row in rows], 0, context_length)
        asked = _pad([row[1:] for row in rows], IGNORED, context_length)
        ids = tuple(f"tokens[{s}:{s + len(row)}]" for s, row in zip(starts, rows, strict=True))
        yield Batch(tokens, asked, ids)


class Examples:
    """Batches of whole examples, padded on the right; ``batch(step)`` is pure in (seed, step).

    With ``counted`` (per token: is it to be learned?) each example asks for its counted tokens,
    each from the tokens before it; with ``labels`` each example asks for its label, read at its
    last token. An epoch takes every example once in a seeded order; its last batch may be short.
    Batches are cut from pools sorted by length, so that little is padding.
    """

    def __init__(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        counted: Sequence[Sequence[bool]] | None = None,
        labels: Sequence[int] | None = None,
        pad: int,
        context_length: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        _check_sizes(context_length, batch_size)
        if (counted is None) == (labels is None):
            raise ValueError("give either counted or labels")
        if not tokens:
            raise ValueError("examples=0: there is nothing to batch")
        answers: Sequence[object] = counted if counted is not None else labels or ()
        if len(answers) != len(tokens):
            raise ValueError(f"examples={len(tokens)} answers={len(answers)}: give one each")
        self.pad, self.batch_size, self.seed = pad, batch_size, seed
        self._tokens = [torch.as_tensor(row, dtype=torch.int64) for row in tokens]
        self._labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self._counted = (
            None if counted is None else [torch.as_tensor(row, dtype=torch.bool) for row in counted]
        )
        longest = context_length + (labels is None)  # the last token of all is only ever a target
        for index, row in enumerate(self._tokens):
            if not 0 < len(row) <= longest:
                raise ValueError(
                    f"example {index} has tokens={len(row)}: drop it or cut it to {longest}"
                )
            if self._counted is None:
                continue
            if len(self._counted[index]) != len(row):
                raise ValueError(
                    f"example {index} has tokens={len(row)} counted={len(self._counted[index])}"
                )
            if not self._counted[index][1:].any():
                raise ValueError(f"example {index} is fully masked, nothing to learn: drop it")
        self._pools = functools.lru_cache(maxsize=2)(self._sort_pool)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self._tokens) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        pool, row = divmod(place, _POOL)
        return self._collate(self._pools(epoch, pool)[row])

    def in_order(self) -> Iterator[Batch]:
        """Every example once, in the order given; for evaluation."""
        for first in range(0, len(self._tokens), self.batch_size):
            yield self._collate(range(len(self._tokens))[first : first + self.batch_size])

    def _sort_pool(self, epoch: int, pool: int) -> list[list[int]]:
        """The batches of a pool: its draws sorted by length and cut, the cuts in a seeded order."""
        size = len(self._tokens)
        order = key_of("examples", self.seed, epoch)
        draws = range(size)[pool * _POOL * self.batch_size : (pool + 1) * _POOL * self.batch_size]
        chosen = sorted(
            (permuted(draw, size, order) for draw in draws), key=lambda i: len(self._tokens[i])
        )
        cuts = [chosen[i : i + self.batch_size] for i in range(0, len(chosen), self.batch_size)]
        shuffle = key_of("pool", self.seed, epoch, pool)
        return [cuts[permuted(i, len(cuts), shuffle)] for i in range(len(cuts))]

    def _collate(self, indices: Sequence[int]) -> Batch:
        rows = [self._tokens[i] for i in indices]
        ids = tuple(f"example {i}" for i in indices)
        width = max(len(row) for row in rows)
        if self._labels is not None:
            last = torch.tensor([len(row) - 1 for row in rows])
            labels = self._labels[torch.as_tensor(list(indices))]
            return Batch(_pad(rows, self.pad, width), labels, ids, last)
        assert self._counted is not None
        targets = [torch.where(self._counted[i], self._tokens[i], IGNORED)[1:] for i in indices]
        tokens = _pad([row[:-1] for row in rows], self.pad, width - 1)
        return Batch(tokens, _pad(targets, IGNORED, width - 1), ids)


def _pad(rows: Sequence[Tensor], value: int, width: int) -> Tensor:
    """(B, width), each row followed by ``value``."""
    padded = torch.full((len(rows), width), value, dtype=torch.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def _check_sizes(context_length: int, batch_size: int) -> None:
    if context_length < 1 or batch_size < 1:
        raise ValueError(
            f"context_length={context_length} batch_size={batch_size} must be 1 or more"
        )
