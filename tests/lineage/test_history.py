"""The versions of an asset over time, and why each differs from the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.lineage.history import before, changes, history
from tests.conftest import Place


def record(**decides: Any) -> Record:
    decided = {"inputs": {}, "recipe": {}, "code": "c", "libraries": {}, **decides}
    return Record("0" * 64, "Artefact", decided, (), {})


def test_each_difference_has_its_words() -> None:
    old = record(
        inputs={"tokenizer": "a" * 64, "documents/sms": "b" * 64},
        recipe={"training": {"steps": 10, "seed": 1}},
        libraries={"torch": "2.12.0"},
    )
    new = record(
        inputs={"tokenizer": "c" * 64, "documents/news": "d" * 64},
        recipe={"training": {"steps": 20, "seed": 1}},
        libraries={"torch": "2.13.0"},
        code="d",
        observed={"files": 2},
    )
    assert changes(old, old) == []
    assert changes(old, new) == [
        f"input tokenizer: {'a' * 12} -> {'c' * 12}",
        "input documents/news is new",
        "input documents/sms is gone",
        "training.steps: 10 -> 20",
        "the code",
        "library torch: 2.12.0 -> 2.13.0",
        "what was read outside the recipe",
    ]


def test_a_second_making_says_what_changed(place: Place, recipe_file: Callable[..., Path]) -> None:
    key = "smaller/tokenizer"
    first = recipe_file()
    assert place.dragon("run", str(first), "--select", key).code == 0
    assert history(Store(place.root), key)[0].changes == ()
    second = recipe_file(("vocab_size: 300", "vocab_size: 310"))
    assert place.dragon("run", str(second), "--select", key).code == 0
    store = Store(place.root)
    newest, oldest = history(store, key)
    assert newest.changes == ("vocab_size: 300 -> 310",)
    assert oldest.changes == ()
    assert newest.finished >= oldest.finished
    assert before(store, key, newest.record) == oldest.record
    assert before(store, key, oldest.record) is None
