"""The leaderboard: every model of a store with its scores by evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.evaluation.findings import Comparison, Evaluation

EVALUATION = "_evaluation"


class Score(NamedTuple):
    """A model's evaluation by a set: keys, figures, and our figure beside the baselines."""

    suite: str
    model: str
    evaluation: str
    figures: dict[str, float]
    comparison: Comparison


def leaderboard(store: Store) -> dict[str, list[Score]]:
    """The current scores of all models by set, the best first; equal ones by name."""
    boards: dict[str, list[Score]] = {}
    for score in sorted(_scores(store), key=lambda score: (score.suite, score.model)):
        boards.setdefault(score.suite, []).append(score)
    for scores in boards.values():
        lower = scores[0].comparison.better == "lower"
        scores.sort(key=lambda score: score.comparison.ours, reverse=not lower)
    return boards


def score_of(store: Store, key: str) -> Score | None:
    """The current score under a key; None if it is no evaluation of a model by a set.

    Raises CorruptArtefact or StoreError if it cannot be read.
    """
    record = store.current_record(key)
    if record.makes != "Evaluation" or not {"model", "items"} <= record.reads:
        return None
    suite = _key(store, record, "items").partition("/")[0]
    model = key.removesuffix(f"_{suite}{EVALUATION}")
    if model == key:  # made under other names, which decide nothing
        model = _key(store, record, "model")
    evaluation = store.current(key, Evaluation)
    return Score(suite, model, key, evaluation.figures(), evaluation.findings().comparison)


def _scores(store: Store) -> Iterator[Score]:
    keys = [key for key in store.keys() if key.endswith(EVALUATION)]  # noqa: SIM118 - a method
    for key in filter(store.references.current, keys):
        try:
            score = score_of(store, key)
        except (CorruptArtefact, StoreError):  # one damaged version must not hide the others
            continue
        if score is not None:
            yield score


def _key(store: Store, record: Record, read: str) -> str:
    """The key of an input of a record."""
    version = next(parent["version"] for parent in record.parents if parent["input"] == read)
    return store.key_of(version)
