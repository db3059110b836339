"""Intervals of figures, by the percentile bootstrap over the rows that a figure is measured on.

The rows are drawn again and again, with replacement and as many as there are. The interval is where
the figure of 95 in 100 such draws lies (Efron 1979; Koehn 2004 for the difference of two systems).
All draws come from a seeded generator, so equal rows have an equal interval.

Letters: N rows, R draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""The share of the draws whose figure lies in the interval."""
DRAWS, SEED = 1000, 0
_AT_ONCE = 1 << 22  # row numbers in memory

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class Interval(NamedTuple):
    """Two bounds, ``low`` at most ``high``."""

    low: float
    high: float


def of_mean(values: Sequence[float] | Floats) -> Interval:
    """The interval of the mean of some values (N,). Raises ValueError without a value."""
    return of_ratio(values, np.ones(len(values)))


def of_difference(ours: Sequence[float] | Floats, theirs: Sequence[float] | Floats) -> Interval:
    """The interval of the mean of ``ours`` minus that of ``theirs``, both (N,) of the same rows.

    Pairs are drawn, so what makes a row hard for both does not widen the interval. Raises
    ValueError without a row, or if the lengths differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"ours={len(ours)} theirs={len(theirs)}: give both a value for each row")
    return of_mean(_checked(ours) - _checked(theirs))


def of_ratio(totals: Sequence[float] | Floats, sizes: Sequence[float] | Floats) -> Interval:
    """The interval of the sum of ``totals`` over the sum of ``sizes``, both (N,).

    So is the loss of texts, whose nats are summed and divided by their tokens. Raises ValueError
    without a row, for another number of sizes, or a size that is not above 0.
    """
    above, below = _checked(totals), _checked(sizes)
    if len(above) != len(below) or not (below > 0).all():
        raise ValueError(
            f"totals={len(above)} sizes={len(below)}: give each row a size, and each above 0"
        )
    parts = [above[rows].sum(1) / below[rows].sum(1) for rows in _draws(len(above), DRAWS)]
    return _bounds(np.concatenate(parts))


def of_statistic(size: int, statistic: Callable[[Rows], float], draws: int = DRAWS) -> Interval:
    """The interval of any figure of ``size`` rows, such as macro F1.

    ``statistic`` is called with the numbers (N,) of the drawn rows and returns their figure. For a
    difference it returns that of both systems on these rows. Raises ValueError without a row.
    """
    if size < 1:
        raise ValueError(f"rows={size}: an interval needs at least one")
    return _bounds(np.array([statistic(row) for rows in _draws(size, draws) for row in rows]))


def bounds(name: str, interval: Interval) -> dict[str, float]:
    """The bounds of a figure as figures: ``<name>_low`` and ``<name>_high``."""
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def _checked(values: Sequence[float] | Floats) -> Floats:
    array: Floats = np.asarray(values, np.float64)
    if not len(array):
        raise ValueError("rows=0: an interval needs at least one")
    if not np.isfinite(array).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(array))[0])} is no finite number")
    return array


def _draws(size: int, draws: int) -> Iterator[Rows]:
    """The numbers of the drawn rows, some draws (R, N) at a time."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    together = max(1, _AT_ONCE // size)
    for first in range(0, draws, together):
        yield generator.integers(0, size, (min(together, draws - first), size))


def _bounds(figures: NDArray[Any]) -> Interval:
    low, high = np.quantile(figures, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
