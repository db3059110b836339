"""Batches of whole examples, padded on the right: functions of (seed, step) alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.batches.batching import IGNORED, Batch, pad, spread
from model.batches.mixing import check_sizes
from model.batches.rows import Example
from model.batches.shuffling import key_of, permuted

_POOL = 32  # batches in a pool, whose examples are sorted by length


class Examples:
    """Batches of whole examples, padded on the right; ``batch`` depends on (seed, step) alone.

    With ``counted`` (one bool per token) the targets of an example are its counted tokens, each
    predicted from the tokens before it. With ``labels`` the target is the label, predicted at the
    last token. ``sources`` are the encoder's inputs, one per example. An epoch takes every example
    once in a seeded order, and the next epoch fills its last batch: all batches are full, so all
    examples have equal weight. Batches are cut from pools of draws sorted by length, so that there
    is little padding.
    """

    ROWS = 1
    """How many rows of a batch an example has."""

    def __init__(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        counted: Sequence[Sequence[bool]] | None = None,
        labels: Sequence[int] | None = None,
        sources: Sequence[Sequence[int]] | None = None,
        pad: int,
        context_length: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        check_sizes(context_length, batch_size)
        if (counted is None) == (labels is None):
            raise ValueError("give either counted or labels, and not both")
        if not tokens:
            raise ValueError("examples=0: give at least one example")
        answers: Sequence[object] = counted if counted is not None else labels or ()
        if len(answers) != len(tokens):
            raise ValueError(f"examples={len(tokens)} answers={len(answers)}: give one per example")
        self.pad, self.batch_size, self.seed = pad, batch_size, seed
        self._tokens = [torch.as_tensor(row, dtype=torch.int64) for row in tokens]
        self._labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self._counted = (
            None if counted is None else [torch.as_tensor(row, dtype=torch.bool) for row in counted]
        )
        self._sources: list[Tensor] | None = None
        if sources is not None:
            self._sources = [torch.as_tensor(row, dtype=torch.int64) for row in sources]
            self._check_sources(self._sources, context_length)
        longest = context_length + (labels is None)  # the last token is a target and no input
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
                raise ValueError(f"example {index} has no counted token after its first: drop it")
        self.count = len(self._tokens) // self.ROWS
        """How many examples there are."""
        # A pool is at most an epoch: otherwise a batch would hold one example many times.
        self._batches_a_pool = max(1, min(_POOL, self.count // batch_size))
        self._pools = functools.lru_cache(maxsize=2)(self._sort_pool)

    def _check_sources(self, sources: Sequence[Tensor], context_length: int) -> None:
        if len(sources) != len(self._tokens):
            raise ValueError(
                f"examples={len(self._tokens)} sources={len(sources)}: give one per example"
            )
        for index, row in enumerate(sources):
            if not 0 < len(row) <= context_length:
                raise ValueError(
                    f"example {index} has source tokens={len(row)}: drop it or cut it to "
                    f"{context_length}"
                )

    @property
    def mean_tokens(self) -> float:
        """Mean number of tokens that a network reads per example, with sources, without padding."""
        total = sum(len(row) for row in (*self._tokens, *(self._sources or ())))
        if self._labels is None:  # the last token is a target and no input
            total -= len(self._tokens)
        return total / self.count

    def inputs(self, number: int) -> Tensor:
        """The tokens that the network reads of the example of that number."""
        row = self._tokens[number]
        return row if self._counted is None else row[:-1]

    def asked(self, number: int) -> int:
        """How many targets the example of that number has."""
        if self._counted is None:
            return 1
        return sum(int(self._counted[row][1:].sum()) for row in self._rows_of(number))

    def unfinished(self, end: int) -> int:
        """How many examples do not end with the token ``end`` because they were cut to fit."""
        return sum(int(row[-1]) != end for row in self._tokens)

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0: always ``batch_size`` examples."""
        return self._collate([row.number for row in self.rows(step)])

    def rows(self, step: int) -> list[Example]:
        """The examples of a step's batch, without reading them."""
        pool, row = divmod(step, self._batches_a_pool)
        return [Example(number) for number in self._pools(pool)[row]]

    def in_order(self, count: int | None = None) -> Iterator[Batch]:
        """Every example once, in the order given; for evaluation.

        ``count`` limits the examples to so many, spread evenly and sorted by length.
        """
        indices = spread(self.count, count)
        if len(indices) < self.count:
            indices = sorted(indices, key=self._length)
        for first in range(0, len(indices), self.batch_size):
            yield self._collate(indices[first : first + self.batch_size])

    def _sort_pool(self, pool: int) -> list[list[int]]:
        """The batches of a pool: its draws sorted by length and cut, in a seeded order."""
        first, size = pool * self._batches_a_pool * self.batch_size, self.count
        draws = range(first, first + self._batches_a_pool * self.batch_size)
        indices = sorted(map(self._drawn, draws), key=self._length)
        cuts = [indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size)]
        shuffle = key_of("pool", self.seed, first // size, pool)
        return [cuts[permuted(i, len(cuts), shuffle)] for i in range(len(cuts))]

    def _drawn(self, draw: int) -> int:
        """The example of that draw, counted over all epochs."""
        epoch, place = divmod(draw, self.count)
        return permuted(place, self.count, key_of("examples", self.seed, epoch))

    def _rows_of(self, number: int) -> range:
        return range(number * self.ROWS, (number + 1) * self.ROWS)

    def _length(self, number: int) -> tuple[int, int]:
        longest = max(len(self._tokens[row]) for row in self._rows_of(number))
        return longest, len(self._sources[number]) if self._sources else 0

    def _collate(self, numbers: Sequence[int]) -> Batch:
        ids = tuple(Example(number) for number in numbers)
        indices = [row for number in numbers for row in self._rows_of(number)]
        rows = [self._tokens[i] for i in indices]
        width = max(len(row) for row in rows)
        if self._labels is not None:
            last = torch.tensor([len(row) - 1 for row in rows])
            labels = self._labels[torch.as_tensor(list(indices))]
            return Batch(pad(rows, self.pad, width), labels, ids, last, lengths=last + 1)
        assert self._counted is not None
        targets = [torch.where(self._counted[i], self._tokens[i], IGNORED)[1:] for i in indices]
        tokens = pad([row[:-1] for row in rows], self.pad, width - 1)
        sources = None
        if self._sources is not None:
            source_rows = [self._sources[i] for i in indices]
            sources = pad(source_rows, IGNORED, max(len(row) for row in source_rows))
        lengths = torch.tensor([len(row) - 1 for row in rows])
        targets_padded = pad(targets, IGNORED, width - 1)
        return Batch(tokens, targets_padded, ids, sources=sources, lengths=lengths)


class Preferences(Examples):
    """Batches of pairs of replies to the same turns, for the objective ``preference``.

    The rows 2i and 2i + 1 of ``tokens`` and ``counted`` are the chosen and the rejected reply of
    pair i, with the turns before it. ``reference`` has the nats of each row's counted tokens under
    the network that training begins from. A batch has ``batch_size`` pairs.
    """

    ROWS = 2

    def __init__(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        counted: Sequence[Sequence[bool]],
        reference: Sequence[float],
        beta: float,
        pad: int,
        context_length: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        super().__init__(
            tokens,
            counted=counted,
            pad=pad,
            context_length=context_length,
            batch_size=batch_size,
            seed=seed,
        )
        if not len(tokens) == len(reference) == 2 * self.count:
            raise ValueError(
                f"rows={len(tokens)} reference={len(reference)}: give two rows a pair, and the nats"
                " of each"
            )
        if not beta > 0:
            raise ValueError(f"beta={beta} must be above 0")
        self._reference, self._beta = torch.tensor(reference, dtype=torch.float64), beta

    def _collate(self, numbers: Sequence[int]) -> Batch:
        rows = [row for number in numbers for row in self._rows_of(number)]
        return replace(super()._collate(numbers), reference=self._reference[rows], beta=self._beta)
