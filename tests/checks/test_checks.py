"""What must hold of artefacts: each check is one file, and stands at every asset that it is for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from pipelines.checks import Applied, Check, Outcome, catalogue, checks_of
from pipelines.core.artefact import build_manifest, read_manifest
from pipelines.core.declaration import Declaration
from pipelines.core.identity import file_digest
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT, Project
from pipelines.evaluation.findings import Comparison, Evaluation, Findings
from pipelines.evaluation.labels import scores
from pipelines.orchestration.assets import assets_of
from pipelines.orchestration.checks import result_of, spec_of, stopping
from pipelines.recipe.loading import load_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare
from pipelines.tasks.classifier.evaluation import findings as classifier_findings

SHIPPED = load_recipes(CHECKOUT / "recipes")
TINY = yaml.safe_load((CHECKOUT / "recipes" / "tiny.yaml").read_text())
SWEPT = {**TINY, "name": "swept", "sweep": {"points": {"training.batch_size": [4, 8]}}}
DECLARED = declare([*SHIPPED.values(), Recipe.model_validate(SWEPT)])
BEATS = "beats_every_baseline"


def an_evaluation(key: str) -> Declaration:
    """A declaration of an evaluation."""
    return Declaration(key=key, makes=Evaluation, making="x:y", group="x")


def evaluation_in(folder: Path, findings: Findings) -> Evaluation:
    """An evaluation that found this."""
    folder.mkdir()
    findings.write(Making("x/foundation_evaluation", folder, Project.here()))
    manifest = folder / "manifest.json"
    manifest.write_bytes(build_manifest(folder))
    version = file_digest(manifest)
    key = "x/foundation_evaluation"
    return Evaluation(key, version, "", folder, read_manifest(folder, version))


def beats_in_dagster(evaluation: Evaluation) -> dg.AssetCheckResult:
    """The check of an evaluation, as Dagster calls it."""
    return result_of(Applied(catalogue()[BEATS], an_evaluation(evaluation.key), ()), evaluation, {})


FINDINGS = Findings(
    figures={"loss": 1.0},
    comparison=Comparison(
        measure="nats", better="lower", ours=1.0, baselines={"counting": 1.5, "chance": 3.0}
    ),
)


def compared(better: str, ours: float) -> Findings:
    """Findings whose figure is compared with 1.5 and 3."""
    comparison = replace(FINDINGS.comparison, better=better, ours=ours)  # type: ignore[arg-type]
    return replace(FINDINGS, comparison=comparison)


# The assets that have checks


def test_every_evaluation_of_every_recipe_has_its_check() -> None:
    evaluations = {one.key for one in DECLARED if issubclass(one.makes, Evaluation)}
    makings = (one.making.split(":")[0] for one in DECLARED if one.key in evaluations)
    assert {making.removesuffix(".evaluation").rpartition(".")[2] for making in makings} == {
        *("foundation", "assistant", "classifier", "translation", "domain", "preference"),
        *("word_vectors", "attention_ladder"),
    }
    checked = {
        spec.asset_key.to_user_string()
        for one in assets_of(DECLARED)
        for spec in one.check_specs
        if spec.name == BEATS
    }
    assert checked == evaluations


def test_a_check_is_declared_for_what_is_read_through_its_view() -> None:
    views = {one.key: one.makes for one in DECLARED}
    for name, check in catalogue().items():
        keys = {one.key for one in checks_of(DECLARED) if one.check.name == name}
        sweeps = {one.key for one in DECLARED if one.points and check.recomputes}
        assert keys == {k for k, view in views.items() if issubclass(view, check.view)} - sweeps
        assert keys, f"{name} is for no asset"


def test_a_check_knows_who_reads_its_asset() -> None:
    for applied in checks_of(DECLARED):
        keys = {one.key for one in DECLARED if applied.key in one.upstream()}
        assert {one.key for one in applied.readers} == keys


@pytest.mark.parametrize("blocking", [False, True])
def test_what_does_not_block_warns(blocking: bool, tmp_path: Path) -> None:
    check = Check(
        name="never",
        view=Evaluation,
        description="",
        look=lambda *_: Outcome(False, {"loss": 1.0}),
        blocking=blocking,
    )
    applied = Applied(check, an_evaluation("x/foundation_evaluation"), ())
    result = result_of(applied, evaluation_in(tmp_path / "x", FINDINGS), {})
    assert not result.passed
    assert result.severity.name == ("ERROR" if blocking else "WARN")
    assert spec_of(applied).blocking is blocking
    told = "never did not pass (loss 1)" if blocking else None
    assert stopping([applied], [result]) == told
    assert result.metadata["loss"].value == 1.0


# Evaluations


@pytest.mark.parametrize(
    ("better", "ours", "baseline", "margin"),
    [
        ("lower", 1.0, ("counting", 1.5), 0.5),
        ("lower", 1.5, ("counting", 1.5), 0.0),
        ("lower", 2.0, ("counting", 1.5), -0.5),
        ("higher", 4.0, ("chance", 3.0), 1.0),
        ("higher", 3.0, ("chance", 3.0), 0.0),
        ("higher", 2.0, ("chance", 3.0), -1.0),
    ],
)
def test_a_model_that_a_baseline_beats_gets_a_warning(
    better: str, ours: float, baseline: tuple[str, float], margin: float, tmp_path: Path
) -> None:
    result = beats_in_dagster(evaluation_in(tmp_path / "x", compared(better, ours)))
    assert result.passed is (margin > 0)
    assert result.severity.name == "WARN"
    assert {name: value.value for name, value in result.metadata.items()} == {
        "measure": "nats",
        "better": better,
        "ours": ours,
        "best baseline": baseline[0],
        "best baseline's figure": baseline[1],
        "margin": margin,
    }


LABELS = ("down", "flat", "up")
TRUTH = [0] * 8 + [1, 2]
ALWAYS_DOWN = [0] * 10  # right in 8 of 10
FINDS_ALL = [0] * 4 + [1] * 4 + [1, 2]  # right in 6 of 10, and of every label


@pytest.mark.parametrize(
    ("ours", "baseline", "passed"),
    [(ALWAYS_DOWN, FINDS_ALL, False), (FINDS_ALL, ALWAYS_DOWN, True)],
)
def test_macro_f1_decides_of_more_than_two_labels(
    ours: Sequence[int], baseline: Sequence[int], passed: bool, tmp_path: Path
) -> None:
    """A classifier that says the most frequent label always has the better accuracy."""
    others = scores(TRUTH, baseline, len(LABELS))
    findings = classifier_findings(LABELS, TRUTH, ours, {"other": baseline})
    assert (findings.figures["accuracy"] < others["accuracy"]) is passed
    result = beats_in_dagster(evaluation_in(tmp_path / "x", findings))
    assert result.passed is passed
    assert result.metadata["measure"].value == "macro F1 of 3 labels on the test split"
    assert result.metadata["ours"].value == pytest.approx(findings.figures["macro_f1"], rel=1e-5)


def test_a_comparison_without_a_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="baselines of 'nats': none; add at least one baseline"):
        replace(FINDINGS.comparison, baselines={})


def test_findings_are_read_as_they_were_written(tmp_path: Path) -> None:
    whole = replace(
        FINDINGS,
        samples=[{"reply": "b", "prompt": "a", "other": "c"}],
        tables={"losses": [{"split": "test", "loss": 1.0}], "nothing": []},
        confusion={"matrix": [[1, 0], [0, 2]], "labels": ["ham", "spam"]},
        curves={"loss": {"x": "step", "y": "nats", "lines": {"ours": [[0, 2.0]]}}},
        heatmaps={"reads": {"rows": ["la"], "columns": ["the"], "values": [[1.0]]}},
        map=[{"name": "la", "x": 0.0, "y": 1.0, "group": "words"}],
        answers={"measure": "accuracy", "ids": ["a"], "values": [1.0]},
    )
    evaluation = evaluation_in(tmp_path / "whole", whole)
    assert evaluation.findings() == whole
    assert set(evaluation.files) == {f"{part}.json" for part in vars(whole)}
    (sample,) = evaluation.findings().samples or ()
    assert list(sample) == ["prompt", "reply", "other"]
    (row,) = (evaluation.findings().tables or {})["losses"]
    assert list(row) == ["split", "loss"]
    least = evaluation_in(tmp_path / "least", FINDINGS)
    assert least.findings() == FINDINGS
    assert set(least.files) == {"figures.json", "comparison.json"}


# One file more

ADDED = '''
"""Every corpus: somebody has to have read it."""

from pipelines.checks import Check, Outcome
from pipelines.corpora.artefacts import Documents


def look(documents, readers):
    numbers = {"kept": documents.ledger().kept.total(), "readers": len(readers)}
    return Outcome(False, numbers)


CHECK = Check(
    name="was_looked_at", view=Documents, description="Somebody has read it.", look=look
)
'''
LISTED = """
import json
from pipelines.definitions import defs
graph = defs.resolve_asset_graph()
keys = [key for key in graph.asset_check_keys if key.name == "was_looked_at"]
print(json.dumps(sorted(key.asset_key.to_user_string() for key in keys)))
"""
RUN = "from pipelines.cli.main import run; run()"


def test_a_check_is_added_by_one_file(place: Any, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("model", "pipelines", "dragon"):
        unread = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, project / name, ignore=unread)
    (project / "recipes").mkdir()
    for name in ("pyproject.toml", "dagster.yaml", "recipes/tiny.yaml"):
        shutil.copy(CHECKOUT / name, project / name)
    (project / "pipelines" / "checks" / "was_looked_at.py").write_text(ADDED)

    def python(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=project,
            env={**os.environ, **place.environment, "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    corpora = ["toy_dialogues/documents", "toy_messages/documents"]
    assert json.loads(python(LISTED).splitlines()[-1]) == corpora
    said = python(RUN, "run", "tiny", "--select", "toy_messages/documents")
    assert "check was_looked_at of toy_messages/documents did not pass" in said


def test_a_blocking_check_stops_what_depends_in_one_line(
    place: Any, recipe_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Applied.look

    def look(self: Applied, artefact: Any, inputs: Any, *, reused: bool) -> Outcome:
        if self.check.name == "ledger_adds_up":
            return Outcome(False, {"documents in": 7, "rows of train": 6})
        return real(self, artefact, inputs, reused=reused)

    monkeypatch.setattr(Applied, "look", look)
    said = place.dragon("run", str(recipe_file()), "--select", "smaller/tokenizer")
    assert said.fault.endswith(
        "talk/documents: ledger_adds_up did not pass (documents in 7, rows of train 6);"
        " no asset that depends on it was made"
    )
    assert place.store.versions("talk/documents")
    assert not place.store.versions("smaller/tokenizer")
