"""A report as somebody looks at it: what the records add, and what changed since the one before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.core.store import Store
from pipelines.lineage.presented import presented, times
from pipelines.report.artefacts import Report
from tests.conftest import Chain, Place


def changes(page: str) -> str:
    return page.split('id="changes"')[1].split('id="lineage"')[0]


def test_the_records_fill_the_marks(chain: Chain) -> None:
    report = chain.store.current("tiny/report", Report)
    page, record = presented(chain.store, report), chain.store.current_record("tiny/foundation")
    assert "<title>tiny: report</title>" in page
    assert "data-mark" not in page
    assert "<!--" not in page
    assert record.made["cpu"] in page
    assert str(record.made["git_commit"] or "none")[:12] in page
    assert "first report of the recipe" in changes(page)
    for key in set(chain.store.keys()) - {report.key}:
        assert f"<code>{key}</code>" in page.split('id="times"')[1]


def test_a_report_without_its_records_is_still_shown(copy: Chain) -> None:
    report = copy.store.current("tiny/report", Report)
    for path in (copy.root / "records").glob("*.json"):
        path.unlink()
    page = presented(Store(copy.root), report)
    assert "dragon run and dragon ui show this page with it" in page
    assert "<h1>tiny: " in page


def test_a_change_is_told_with_its_reason(place: Place, recipe_file: Callable[..., Path]) -> None:
    assert place.dragon("run", str(recipe_file())).code == 0
    changed = recipe_file(("steps: 12", "steps: 14"))
    assert place.dragon("run", str(changed)).code == 0
    store = Store(place.root)
    page = presented(store, store.current("smaller/report", Report))
    told = changes(page)
    assert "training.steps: 12 -&gt; 14" in told
    assert "its inputs foundation" in told
    assert "Foundation model" in told
    assert "Evaluation of the foundation model" in told
    assert "bits per byte" in told, "what it did to the figure"
    assert "Tokenizer" not in told
    # A damaged version of before hides its own figure only.
    (old,) = {*store.versions("smaller/foundation_evaluation")} - {
        store.current_record("smaller/foundation_evaluation").version
    }
    findings = store.folder(old) / "comparison.json"
    findings.chmod(0o644)
    findings.write_text("{}")
    told = changes(presented(store, store.current("smaller/report", Report)))
    assert "training.steps: 12 -&gt; 14" in told
    assert "bits per byte" not in told


def test_only_what_is_known_of_a_making_is_told() -> None:
    page = times({"a": {}, "b": {"seconds": 75, "device": "cuda", "git_commit": "c" * 40}})
    assert "1 min 15 s" in page
    assert "cuda" in page
    assert f"{'c' * 12}<" in page
    assert times({}) != page
