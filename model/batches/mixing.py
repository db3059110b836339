"""The corpus of each row of each step, and how often each corpus was drawn before a step.

Both have a closed form: no step needs the steps before it.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass

from model.batches.shuffling import key_of, permuted

_SLOTS = 1024  # slots in a block: weights are exact to 1 / 1024


class Mixture:
    """Draws corpora in proportion to their weights; ``epochs`` may limit the rows of a corpus.

    Corpora alternate in a repeating block of slots. Quotas come from the largest-remainder method,
    the order from the seed. How often a corpus was drawn before a step is therefore known without
    counting. When a limited corpus is exhausted, a new phase begins with a block of the others.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        batch_size: int,
        seed: int,
        epochs: Mapping[str, float] | None = None,
        rows: Callable[[str], int] = lambda _: 1,
    ) -> None:
        """``epochs`` limits some corpora; ``rows`` returns the number of rows in their epochs."""
        self.batch_size, self.epochs = batch_size, dict(epochs or {})
        limits = _limits(self.epochs, weights, rows)
        self._phases = list(_phases(weights, limits, seed))
        last = self._phases[-1]
        self.steps = None if last.stop is None else last.stop // batch_size
        """How many whole batches the corpora allow; None if a corpus has no limit."""

    @property
    def quotas(self) -> dict[str, int]:
        """How many slots each corpus has in the first phase's block."""
        return {corpus: len(places) for corpus, places in self._phases[0].places.items()}

    def corpora(self, first: int, last: int) -> list[str]:
        """The corpus of each row in the steps [first, last), in order."""
        self.require(last)
        start, stop = first * self.batch_size, last * self.batch_size
        names: list[str] = []
        for phase in self._phases:
            begin, end = max(start, phase.start), stop
            if phase.stop is not None:
                end = min(stop, phase.stop)
            if begin < end:
                begin, end = begin - phase.start, end - phase.start
                skipped = begin % len(phase.slots)
                ring = itertools.cycle(phase.slots)
                names += itertools.islice(ring, skipped, skipped + end - begin)
        return names

    def counts(self, steps: int) -> dict[str, int]:
        """How many rows of each corpus the first ``steps`` steps hold."""
        self.require(steps)
        draws = steps * self.batch_size
        phase = self._phases[bisect.bisect_right(self._phases, draws, key=lambda p: p.start) - 1]
        return {
            corpus: before + phase.count(corpus, draws - phase.start)
            for corpus, before in phase.before.items()
        }

    def require(self, steps: int) -> None:
        """Raises ValueError if the corpora do not last for ``steps`` steps."""
        if self.steps is not None and steps > self.steps:
            limits = " ".join(f"{corpus}={limit}" for corpus, limit in self.epochs.items())
            raise ValueError(
                f"step={steps - 1} is past the end: under the limits epochs {limits} the corpora "
                f"last for steps={self.steps}; raise a limit, add text or train for fewer steps"
            )


def mix(
    streams: Mapping[str, Sized],
    weights: Mapping[str, float],
    context_length: int,
    batch_size: int,
    seed: int,
    epochs: Mapping[str, float] | None,
    rows: Callable[[str], int],
) -> Mixture:
    """The mixture of the streams. Raises ValueError for one too short for its rows of a batch."""
    check_sizes(context_length, batch_size)
    if set(streams) != set(weights) or not streams:
        raise ValueError(
            f"corpora={sorted(streams)} weights={sorted(weights)}: name the same corpora"
        )
    for corpus, stream in streams.items():
        if len(stream) <= context_length:
            raise ValueError(
                f"corpus={corpus} tokens={len(stream)} does not fill one window: add text, or lower"
                f" context_length={context_length}"
            )
    mixture = Mixture(weights, batch_size, seed, epochs, rows)
    slots = sum(mixture.quotas.values())
    for corpus, quota in mixture.quotas.items():
        share = -(-batch_size * quota // slots)  # rows in a batch, rounded up
        tokens, needed = len(streams[corpus]), share * context_length + 1
        if tokens < needed:
            raise ValueError(
                f"corpus={corpus} tokens={tokens} is shorter than its share of one batch, "
                f"{needed}: add text, or lower batch_size={batch_size} or "
                f"context_length={context_length}"
            )
    return mixture


def check_sizes(context_length: int, batch_size: int) -> None:
    """Raises ValueError if one is not positive."""
    if context_length < 1 or batch_size < 1:
        raise ValueError(
            f"context_length={context_length} batch_size={batch_size} must be 1 or more"
        )


@dataclass(frozen=True)
class _Phase:
    """Draws [start, stop) repeat ``slots``; ``places`` holds each corpus's indices in ``slots``."""

    start: int
    stop: int | None
    before: dict[str, int]
    slots: list[str]
    places: dict[str, list[int]]

    def count(self, corpus: str, draws: int) -> int:
        """How often the corpus is among the phase's first ``draws`` draws."""
        places = self.places.get(corpus, [])
        blocks, rest = divmod(draws, len(self.slots))
        return blocks * len(places) + bisect.bisect_left(places, rest)

    def draws(self, corpus: str, count: int) -> int:
        """How many draws of the phase hold the corpus ``count`` times."""
        places = self.places[corpus]
        blocks, rest = divmod(count - 1, len(places))
        return blocks * len(self.slots) + places[rest] + 1


def _phases(weights: Mapping[str, float], limits: Mapping[str, int], seed: int) -> Iterator[_Phase]:
    """The phases: each ends with the draw that exhausts a corpus; the last may have no end."""
    before, start = dict.fromkeys(sorted(weights), 0), 0
    remaining = dict(weights)
    for number in range(len(weights)):
        quotas = _quotas(remaining, 1 if len(remaining) == 1 else _SLOTS)
        order = key_of("slots", seed, number) if number else key_of("slots", seed)
        slots = [corpus for corpus, quota in quotas.items() for _ in range(quota)]
        slots = [slots[permuted(i, len(slots), order)] for i in range(len(slots))]
        places: dict[str, list[int]] = {corpus: [] for corpus in quotas}
        for place, corpus in enumerate(slots):
            places[corpus].append(place)
        phase = _Phase(start, None, dict(before), slots, places)
        ends = {c: phase.draws(c, limits[c] - before[c]) for c in quotas if c in limits}
        if not ends:
            yield phase
            return
        exhausted = min(ends, key=lambda corpus: ends[corpus])
        draws = ends[exhausted]
        yield _Phase(start, start + draws, dict(before), slots, places)
        before = {corpus: n + phase.count(corpus, draws) for corpus, n in before.items()}
        start += draws
        del remaining[exhausted]


def _quotas(weights: Mapping[str, float], slots: int) -> dict[str, int]:
    """Whole slots in proportion to the weights, by largest remainder."""
    for corpus, weight in weights.items():
        if not 0 < weight < math.inf:
            raise ValueError(
                f"weight={weight} of corpus={corpus} must be positive: raise it or drop the corpus"
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


def _limits(
    epochs: Mapping[str, float], weights: Mapping[str, float], rows: Callable[[str], int]
) -> dict[str, int]:
    """How many rows each limited corpus may give."""
    limits = {}
    for corpus, limit in epochs.items():
        if corpus not in weights:
            raise ValueError(f"epochs of corpus={corpus}: the mixture has only {sorted(weights)}")
        if not 0 < limit < math.inf:
            raise ValueError(f"epochs={limit} of corpus={corpus} must be positive: raise it")
        # 0.29 * 100 is 28.999999999999996 in binary, and must give 29.
        limits[corpus] = math.floor(round(limit * rows(corpus), 6))
        if not limits[corpus]:
            raise ValueError(
                f"epochs={limit} of corpus={corpus} allows no row of its {rows(corpus)}: raise it"
            )
    return limits
