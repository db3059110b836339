"""Intervals: they hold what they should as often as they say, and are equal for equal rows."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation import intervals
from pipelines.evaluation.intervals import (
    bounds,
    of_difference,
    of_mean,
    of_ratio,
    of_statistic,
)


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    """For many rows the bootstrap and 1.96 standard errors agree."""
    values = np.random.default_rng(3).exponential(2.0, 2000)
    low, high = of_mean(values)
    error = values.std() / len(values) ** 0.5
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_true_mean_is_inside_as_often_as_said() -> None:
    """Of 300 samples with a known mean 95 in 100 hold it; 4 standard errors of that are allowed."""
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        low, high = of_mean(generator.random(60) < 0.3)
        inside += low <= 0.3 <= high
    assert 0.90 < inside / 300 < 0.99


def test_equal_rows_have_an_equal_interval() -> None:
    values = np.random.default_rng(1).random(500)
    assert of_mean(values) == of_mean(values.copy())
    assert of_mean(values) != of_mean(values[:-1])


def test_the_interval_does_not_depend_on_how_many_draws_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).random(50)
    whole = of_mean(values)
    monkeypatch.setattr(intervals, "_AT_ONCE", 64)
    assert of_mean(values) == pytest.approx(whole, abs=1e-12)


def test_pairs_are_drawn_for_a_difference() -> None:
    """Rows that are hard for both do not matter: the interval is that of the differences alone."""
    hard = np.random.default_rng(2).normal(0, 10, 400)
    better = hard + 0.5
    assert of_difference(better, hard) == pytest.approx((0.5, 0.5))
    wide = of_mean(better)
    assert wide.high - wide.low > 1


def test_a_ratio_weighs_rows_by_their_size() -> None:
    totals, sizes = [1.0, 100.0], [1.0, 10.0]
    low, high = of_ratio(totals, sizes)
    assert (low, high) == (1.0, 10.0)
    assert of_ratio([3.0] * 9, [2.0] * 9) == (1.5, 1.5)


def test_any_statistic_has_an_interval() -> None:
    values = np.random.default_rng(7).random(200)
    by_hand = of_statistic(200, lambda rows: float(values[rows].mean()))
    assert by_hand == pytest.approx(of_mean(values))
    median = of_statistic(200, lambda rows: float(np.median(values[rows])))
    assert median.low < np.median(values) < median.high


def test_bounds_are_figures_of_their_own() -> None:
    assert bounds("f1", of_mean([1.0, 1.0])) == {"f1_low": 1.0, "f1_high": 1.0}


def test_nothing_has_no_interval() -> None:
    for wrong in (
        lambda: of_mean([]),
        lambda: of_statistic(0, lambda _: 0.0),
        lambda: of_difference([], []),
    ):
        with pytest.raises(ValueError, match="rows=0"):
            wrong()
    with pytest.raises(ValueError, match="row 1 is no finite number"):
        of_mean([1.0, float("nan")])
    with pytest.raises(ValueError, match="ours=2 theirs=1"):
        of_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="each above 0"):
        of_ratio([1.0], [0.0])
