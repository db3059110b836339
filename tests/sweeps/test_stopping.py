"""Forecasts and stopping: pure functions of curves, which keep the best of a constructed set."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipelines.sweeps.stopping import SEEDS_DIFFER, WIDTH, Start, compared, forecast

STEPS = 400


def start(
    final: float, step: int = 100, *, slope: float = 0.2, noise: float = 0.0, seed: int = 0
) -> Start:
    """A training whose loss is a power law of the step that ends at ``final``, up to a step."""
    drawn = random.Random(seed)
    curve = [
        [s, final * (s / STEPS) ** -slope * math.exp(noise * drawn.gauss(0, 1))]
        for s in range(1, step + 1)
    ]
    return Start(curve[9::10], curve, step, STEPS)


def stopped_of(finals: Mapping[str, float], keep: int = 1, step: int = 100) -> tuple[str, ...]:
    return compared({name: [start(final, step)] for name, final in finals.items()}, keep).stopped


def test_a_power_law_is_forecast_where_it_ends() -> None:
    found = forecast({"a": [start(2.0)], "b": [start(3.0)]})
    assert found["a"].loss == pytest.approx(2.0, rel=0.01)
    assert found["b"].loss == pytest.approx(3.0, rel=0.01)
    for one in found.values():
        assert one.low < one.loss < one.high


def test_hopeless_choices_are_stopped_and_near_ones_go_on() -> None:
    assert stopped_of({"best": 2.0, "near": 2.05, "far": 4.0, "farther": 5.0}) == ("far", "farther")


def test_as_many_as_are_to_be_kept_go_on_however_bad() -> None:
    finals = {"best": 2.0, "far": 4.0, "farther": 5.0}
    assert stopped_of(finals, keep=2) == ("farther",)
    assert stopped_of(finals, keep=3) == ()
    assert stopped_of(finals, keep=9) == ()


def test_a_later_comparison_is_surer() -> None:
    finals = {"best": 2.0, "worse": 2.12}
    assert stopped_of(finals, step=100) == ()
    assert stopped_of(finals, step=380) == ("worse",)


def test_seeds_that_differ_widen_the_band() -> None:
    def starts(spread: float) -> dict[str, Sequence[Start]]:
        return {
            name: [start(final * (1 - spread)), start(final * (1 + spread))]
            for name, final in {"best": 2.0, "worse": 3.0}.items()
        }

    assert compared(starts(0.001), 1).stopped == ("worse",)
    assert compared(starts(0.3), 1).stopped == ()


def test_one_seed_has_the_noise_of_most_trainings() -> None:
    last = forecast({"a": [start(2.0, STEPS)]})["a"]  # nothing is left to gain
    assert math.log(last.high / last.loss) == pytest.approx(WIDTH * SEEDS_DIFFER)


finals = some.dictionaries(
    some.text("abcdef", min_size=1, max_size=3), some.floats(0.5, 9), min_size=1, max_size=12
)


@given(finals, some.integers(1, 4), some.randoms())
def test_the_decision_depends_on_the_curves_alone(
    ends: dict[str, float], keep: int, order: random.Random
) -> None:
    """Not on their order; the best ``keep`` always go on; and nothing equal to the best stops."""
    first = stopped_of(ends, keep)
    shuffled = list(ends.items())
    order.shuffle(shuffled)
    assert set(stopped_of(dict(shuffled), keep)) == set(first)
    best = sorted(ends, key=lambda name: (ends[name], name))
    assert not {*best[:keep]} & {*first}
    assert not [name for name in first if ends[name] == ends[best[0]]]


@pytest.mark.parametrize("seed", range(20))
def test_a_constructed_sweep_keeps_its_best(seed: int) -> None:
    """Twelve choices, noisy curves, gains that differ as much as the band allows."""
    drawn = random.Random(seed)
    made = {
        f"choice {number}": (2.0 * math.exp(0.06 * number), 0.2 * math.exp(drawn.gauss(0, 0.2)))
        for number in range(12)
    }
    starts = {
        name: [start(final, slope=slope, noise=0.01, seed=number) for number in (1, 2)]
        for name, (final, slope) in made.items()
    }
    stopped = compared(starts, 2).stopped
    assert "choice 0" not in stopped
    assert len(stopped) >= 3
