"""Mixtures: shares by weight, limits to the row, every count known without counting."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches.mixing import Mixture

ROWS = {"a": 7, "b": 40, "c": 300, "d": 1}
WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.floats(0.05, 5), min_size=1)


@st.composite
def mixtures(draw: st.DrawFn, *, limited: bool | None = None) -> Mixture:
    """``limited``: every corpus (True), none (False), or some."""
    weights = draw(WEIGHTS)
    some = st.lists(st.sampled_from(sorted(weights)), unique=True)
    chosen = sorted(weights) if limited else [] if limited is False else draw(some)
    epochs = {corpus: draw(st.floats(1, 6)) for corpus in chosen}
    return Mixture(
        weights, draw(st.integers(1, 9)), draw(st.integers(0, 5)), epochs, ROWS.__getitem__
    )


def steps_of(mixture: Mixture) -> int:
    """All there are, or enough to pass every limit and some blocks."""
    return 600 if mixture.steps is None else min(mixture.steps, 600)


@settings(max_examples=30, deadline=None)
@given(mixtures(), st.data())
def test_counts_are_what_counting_gives(mixture, data):
    steps = steps_of(mixture)
    names = mixture.corpora(0, steps)
    assert len(names) == steps * mixture.batch_size
    for step in [0, steps, data.draw(st.integers(0, steps))]:
        counted = Counter(names[: step * mixture.batch_size])
        assert {c: n for c, n in mixture.counts(step).items() if n} == counted


@settings(max_examples=30, deadline=None)
@given(mixtures(), st.data())
def test_any_span_of_steps_is_cut_from_the_whole(mixture, data):
    steps = steps_of(mixture)
    whole = mixture.corpora(0, steps)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, steps)] * 2)))
    size = mixture.batch_size
    assert mixture.corpora(first, last) == whole[first * size : last * size]


@settings(max_examples=30, deadline=None)
@given(mixtures(limited=True))
def test_limits_hold_to_the_row(mixture):
    limits = {c: int(round(limit * ROWS[c], 6)) for c, limit in mixture.epochs.items()}
    assert mixture.steps == sum(limits.values()) // mixture.batch_size
    left = limits
    if mixture.steps:
        drawn = mixture.counts(mixture.steps)
        assert all(drawn[corpus] <= limit for corpus, limit in limits.items())
        left = {corpus: limit - drawn[corpus] for corpus, limit in limits.items()}
    assert sum(left.values()) < mixture.batch_size
    with pytest.raises(
        ValueError, match=rf"step={mixture.steps} is past the end: under the limits"
    ):
        mixture.counts(mixture.steps + 1)


@settings(max_examples=30, deadline=None)
@given(WEIGHTS, st.integers(1, 9), st.integers(0, 5))
def test_until_a_corpus_is_exhausted_limits_change_nothing(weights, size, seed):
    limited = Mixture(weights, size, seed, dict.fromkeys(weights, 3), ROWS.__getitem__)
    free = Mixture(weights, size, seed)
    assert free.steps is None
    stop = limited._phases[0].stop // size
    assert limited.corpora(0, stop) == free.corpora(0, stop)
    assert limited.counts(stop) == free.counts(stop)


def test_an_exhausted_corpus_leaves_its_share_to_the_others_by_their_weights():
    weights = {"a": 2.0, "b": 1.0, "c": 1.0}
    mixture = Mixture(weights, 1, 3, {"a": 2.5}, lambda _: 400)
    names = mixture.corpora(0, 8000)
    end = max(place for place, name in enumerate(names) if name == "a") + 1
    assert Counter(names[:end])["a"] == 1000
    assert 1900 < end < 2100
    assert names[:end] == Mixture(weights, 1, 3).corpora(0, end)
    assert Counter(names[end : end + 1024]) == {"b": 512, "c": 512}
    assert Counter(names[end + 1024 : end + 2048]) == {"b": 512, "c": 512}
    assert names[end : end + 1024] == names[end + 1024 : end + 2048]
    assert mixture.steps is None


def test_phases_follow_one_another_without_a_gap():
    mixture = Mixture({"a": 1.0, "b": 5.0, "c": 2.0}, 4, 0, {"a": 3, "b": 1, "c": 2}, lambda _: 200)
    phases = mixture._phases
    assert [sorted(phase.places) for phase in phases] == [["a", "b", "c"], ["a", "c"], ["a"]]
    assert all(earlier.stop == later.start for earlier, later in pairwise(phases))
    assert mixture.counts(300) == {"a": 600, "b": 200, "c": 400}
    assert mixture.steps == 300


def test_the_order_is_the_seeds():
    weights = {"a": 1.0, "b": 1.0}
    one, other = (Mixture(weights, 8, seed).corpora(0, 50) for seed in (0, 1))
    assert one != other
    assert one == Mixture(dict(reversed(weights.items())), 8, 0).corpora(0, 50)


def test_quotas_that_do_not_divide_go_by_largest_remainder():
    quotas = Mixture(dict.fromkeys("abc", 1.0), 1, 0).quotas
    assert sorted(quotas.values()) == [341, 341, 342]
    assert Mixture({"a": 3.0}, 1, 0).quotas == {"a": 1}


def test_a_fraction_of_an_epoch_is_meant_in_decimals():
    """0.29 * 100 is 28.999999999999996 in binary."""
    assert Mixture({"a": 1.0}, 1, 0, {"a": 0.29}, lambda _: 100).steps == 29
    assert Mixture({"a": 1.0}, 1, 0, {"a": 0.299}, lambda _: 100).steps == 29


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ({"b": 1.0}, r"epochs of corpus=b: the mixture has only \['a'\]"),
        ({"a": 0.0}, "epochs=0.0 of corpus=a must be positive"),
        ({"a": float("nan")}, "epochs=nan of corpus=a"),
        ({"a": float("inf")}, "epochs=inf of corpus=a"),
        ({"a": 0.01}, "epochs=0.01 of corpus=a allows no row of its 7"),
    ],
)
def test_limits_that_make_no_sense_are_refused(epochs, message):
    with pytest.raises(ValueError, match=message):
        Mixture({"a": 1.0}, 1, 0, epochs, ROWS.__getitem__)


def test_the_size_of_an_unlimited_corpus_is_never_asked():
    asked = []
    Mixture({"a": 1.0, "b": 1.0}, 1, 0, {"a": 1}, lambda corpus: asked.append(corpus) or 10)
    assert set(asked) == {"a"}
