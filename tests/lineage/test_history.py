"""The versions of an asset over time, and why each differs from the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.lineage.history import before, changes, history, reasons
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


def settings(**recipe: Any) -> Record:
    return record(recipe=recipe)


def test_the_entries_of_lists_are_told_by_their_names() -> None:
    old = settings(cleaning=[{"step": "length", "least": 20}, {"step": "duplicates"}])
    new = settings(
        cleaning=[{"step": "length", "least": 30}, {"step": "gopher", "least": 1, "most": 2}]
    )
    assert changes(old, new) == [
        "cleaning.length.least: 20 -> 30",
        "cleaning.gopher is new",
        "cleaning.duplicates is gone",
    ]
    twice = settings(cleaning=[{"step": "length", "least": 1}, {"step": "length", "least": 2}])
    other = settings(cleaning=[{"step": "length", "least": 1}, {"step": "length", "least": 3}])
    assert changes(twice, other) == ["cleaning.2.least: 2 -> 3"]
    pairs = settings(weights=[["sms", 1.0], ["news", 2.0]])
    turned = settings(weights=[["news", 2.0], ["sms", 1.0]])
    assert changes(pairs, settings(weights=[["sms", 1.0], ["news", 3.0]])) == [
        "weights.news: 2.0 -> 3.0"
    ]
    assert changes(pairs, turned) == ["the order of its settings"]
    words = settings(samples=["A: hello\nB:", "C"]), settings(samples=[])
    assert changes(*words) == ["samples: A: hello B:, C -> none"]


def test_the_first_entry_of_a_mapping_is_told_alone() -> None:
    old, new = settings(epochs=[]), settings(epochs=[["chitchat", 4.0]])
    assert changes(old, new) == ["epochs.chitchat: none -> 4.0"]
    assert changes(new, old) == ["epochs.chitchat: 4.0 -> none"]


def test_a_report_says_once_what_changed() -> None:
    def report(version: str, steps: int, samples: int) -> Record:
        parts = [
            {"title": "foundation", "reads": [], "settings": f'{{"training":{{"steps":{steps}}}}}'},
            {"title": "sms/documents", "reads": [], "settings": f'{{"samples":{samples}}}'},
        ]
        inputs = {"artefacts/foundation": version, "artefacts/sms/documents": "d" * 64}
        return record(inputs=inputs, recipe={"description": "a", "parts": parts})

    told = f"input artefacts/foundation: {'a' * 12} -> {'b' * 12}"
    assert changes(report("a" * 64, 10, 1), report("b" * 64, 20, 1)) == [told]
    # Settings that gave the same bytes are told by the report alone.
    assert changes(report("a" * 64, 10, 1), report("a" * 64, 20, 2)) == [
        "parts.foundation.settings.training.steps: 10 -> 20",
        "parts.sms/documents.settings.samples: 1 -> 2",
    ]


def test_what_is_made_again_alike_was_gone() -> None:
    assert reasons(settings(a=1), settings(a=1)) == ["its version was no longer in the store"]
    assert reasons(settings(a=1), settings(a=2)) == ["a: 1 -> 2"]


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
