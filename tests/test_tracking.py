"""Tracking: one run per materialization, found by version, and never at the cost of the work."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.artifacts import Checkpoint, view_of
from pipelines.tracking import PARAMETER_LENGTH, Tracker

DECIDES = {"key": "raw_text/a", "recipe": {"steps": 3, "name": "x", "empty": {}, "none": None}}


def all_runs(folder: Path):
    client = Tracker(folder)._client()
    experiment = client.get_experiment_by_name("dragon")
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


@pytest.fixture(scope="module")
def tracked(chain):
    client, runs = all_runs(chain.project.mlflow)
    parents = [run for run in runs if run.data.tags.get("kind") == "dagster"]
    children = {run.data.tags["dragon.key"]: run for run in runs if run not in parents}
    return client, parents, children


@pytest.fixture
def folder(chain, tmp_path):
    """MLflow's folder with tables but no way to the chain's; creating them takes seconds."""
    return Path(shutil.copytree(chain.project.mlflow, tmp_path / "mlflow"))


def a_run(tracker: Tracker, derivation: str = "d" * 64, decides=DECIDES, dagster_run: str = "r1"):
    return tracker.run("raw_text/a", derivation, dagster_run, decides, {"raw_text/b": "b" * 64})


def test_every_materialization_is_one_run_under_one_parent(chain, tracked):
    _, parents, children = tracked
    assert set(children) == set(chain.store.keys())
    assert len(children) == 15
    assert len(parents) == 1
    for key, run in children.items():
        artefact = chain.store.current(key, view_of(key))
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["dragon.version"] == artefact.version
        assert run.data.tags["dragon.derivation"] == artefact.derivation
        figures = {name: pytest.approx(value) for name, value in artefact.figures().items()}
        assert {name: run.data.metrics[name] for name in figures} == figures
    assert parents[0].info.status == "FINISHED"


def test_inputs_are_datasets_whose_digest_is_the_version(chain, tracked):
    _, _, children = tracked
    for key, run in children.items():
        artefact = chain.store.current(key, view_of(key))
        record = chain.store.record(key, artefact.derivation)
        found = {
            dataset.dataset.name: (
                dataset.dataset.digest,
                {tag.key: tag.value for tag in dataset.tags}["dragon.version"],
            )
            for dataset in run.inputs.dataset_inputs
        }
        expected = {
            name: (version[:36], version) for name, version in record.decides["inputs"].items()
        }
        assert found == expected


def test_parameters_are_what_decides(chain, tracked):
    _, _, children = tracked
    parameters = children["foundation/tiny"].data.params
    assert parameters["recipe.training.steps"] == "120"
    assert parameters["recipe.model.architecture"] == "gpt"
    assert parameters["inputs.tokenizer/tiny"] == chain.store.versions("tokenizer/tiny")[0]
    assert "report/tiny" in children["report/tiny"].data.params["key"]


def test_the_curve_has_every_point(chain, tracked):
    client, _, children = tracked
    curve = chain.store.current("foundation/tiny", Checkpoint).curve()
    run_id = children["foundation/tiny"].info.run_id
    for ours, theirs in (("train", "training_loss"), ("validation", "validation_loss")):
        points = [(m.step, m.value) for m in client.get_metric_history(run_id, theirs) if m.step]
        assert sorted(points) == [tuple(point) for point in curve[ours]]
    assert len(curve["train"]) == 120
    assert [step for step, _ in curve["validation"]] == [40, 80, 120]


def test_a_model_is_external_and_has_the_figures(chain, tracked):
    client, parents, children = tracked
    models = client.search_logged_models([parents[0].info.experiment_id])
    keys = [model.tags["dragon.key"] for model in models]
    assert sorted(keys) == [
        "assistant/tiny/toy_reply",
        "classifier/tiny/toy_spam",
        "foundation/tiny",
    ]
    for model in models:
        key = model.tags["dragon.key"]
        assert model.tags["mlflow.model.isExternal"] == "true"
        assert model.tags["dragon.version"] == chain.store.versions(key)[0]
        assert model.source_run_id == children[key].info.run_id
        assert "final_validation_loss" in {metric.key for metric in model.metrics}


def test_a_long_value_is_named_by_its_digest_and_none_is_dropped(folder):
    decides = {f"n{i:03d}": i for i in range(250)} | {"long": "x" * (PARAMETER_LENGTH + 1)}
    with a_run(Tracker(folder), decides=decides) as run:
        parameters = run.client.get_run(run.run_id).data.params
    assert len(parameters) == 251
    assert parameters["n249"] == "249"
    assert parameters["long"].startswith("sha256 ")
    assert parameters["long"].endswith(f" of {PARAMETER_LENGTH + 1} characters")


def test_a_killed_run_ends_as_killed_at_the_next_try(folder):
    killed = a_run(Tracker(folder), dagster_run="killed")
    first = killed.__enter__()  # and is never left
    other = a_run(Tracker(folder), derivation="e" * 64, dagster_run="other")
    beside = other.__enter__()
    with a_run(Tracker(folder), dagster_run="next") as second:
        assert second.client.get_run(first.run_id).info.status == "KILLED"
        assert second.client.get_run(beside.run_id).info.status == "RUNNING"
        parent = first.client.get_run(first.run_id).data.tags["mlflow.parentRunId"]
        assert second.client.get_run(parent).info.status == "KILLED"
    client, _ = all_runs(folder)
    assert client.get_run(second.run_id).info.status == "FINISHED"
    other.__exit__(None, None, None)


def test_a_failure_is_marked(folder):
    with pytest.raises(KeyError), a_run(Tracker(folder)) as run:
        raise KeyError
    client, _ = all_runs(folder)
    found = client.get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert client.get_run(found.data.tags["mlflow.parentRunId"]).info.status == "FAILED"


def test_points_are_sent_in_batches(folder, monkeypatch):
    calls = Counter()
    with a_run(Tracker(folder)) as run:
        send = run.client.log_batch

        def counted(*arguments, **named):
            calls["log_batch"] += 1
            return send(*arguments, **named)

        monkeypatch.setattr(run.client, "log_batch", counted)
        for step in range(500):
            run.curve(step, {"a": 1.0})
        run.finish("raw_text/a", "v" * 64, {}, model=False)
    assert calls["log_batch"] <= 7
    assert len(run.client.get_metric_history(run.run_id, "a")) == 500


def test_mlflow_tells_nobody(tmp_path):
    body = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.tracking import Tracker\n"
        "Tracker(Path(sys.argv[1]))._client()\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(get_telemetry_client(), is_telemetry_disabled())\n"
    )
    # MLflow is silent in tests and in CI by itself: look as a person would run it.
    kept = ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT")
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", body, str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name in kept},
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == ["None", "True"], told.stderr


# A tracker that fails


def use(tracker: Tracker) -> None:
    with a_run(tracker) as run:
        run.curve(1, {"a": 1.0})
        run.finish("raw_text/a", "v" * 64, {"b": 1.0}, model=True)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unwritable(tmp_path: Path) -> Tracker:
    (tmp_path / "file").write_text("")
    return Tracker(tmp_path / "file" / "mlflow")


def gone(tmp_path: Path) -> Tracker:
    return Tracker(tmp_path, f"http://127.0.0.1:{closed_port()}")


def not_a_database(tmp_path: Path) -> Tracker:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    return Tracker(tmp_path)


@pytest.mark.parametrize("broken", [unwritable, gone, not_a_database])
def test_a_broken_tracker_costs_one_warning_and_little_time(tmp_path, caplog, broken):
    tracker = broken(tmp_path)
    began = time.monotonic()
    for _ in range(5):
        use(tracker)
    assert time.monotonic() - began < 30
    warnings = [record.getMessage() for record in caplog.records if "dragon" in record.name]
    assert len(warnings) == 1
    assert "going on without it" in warnings[0]


def test_a_tracker_that_breaks_in_the_middle_costs_a_warning(folder, caplog, monkeypatch):
    with a_run(Tracker(folder)) as run:
        monkeypatch.setattr(run.client, "log_batch", lambda *_, **__: 1 / 0)
        for step in range(1000):
            run.curve(step, {"a": 1.0})
        run.finish("raw_text/a", "v" * 64, {"b": 1.0}, model=True)
    assert [r.getMessage() for r in caplog.records if r.name == "dragon.tracking"] == [
        "MLflow failed (division by zero); going on without it"
    ]


def test_the_weights_are_the_same_without_tracking(place, recipe_file, home, tmp_path):
    recipe = str(recipe_file())
    with_it = place.dragon("run", recipe, "--select", "foundation/smaller")
    assert with_it.code == 0, with_it.err
    shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("mlflow"))
    (tmp_path / "home" / "mlflow").write_text("in the way")
    without = type(place)(tmp_path / "home", tmp_path / "other")
    said = without.dragon("run", recipe, "--select", "foundation/smaller")
    assert said.code == 0, said.err
    assert said.out.count("MLflow failed") == 1
    assert without.store.versions("foundation/smaller") == place.store.versions(
        "foundation/smaller"
    )


@pytest.mark.slow
def test_six_processes_begin_together_on_a_fresh_database(tmp_path):
    body = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.tracking import Tracker\n"
        "number = sys.argv[2]\n"
        "tracker = Tracker(Path(sys.argv[1]))\n"
        "with tracker.run('raw_text/a', number * 64, number, {'n': 1}, {}) as run:\n"
        "    run.curve(1, {'a': 1.0})\n"
        "    run.finish('raw_text/a', number * 64, {'b': 2.0}, model=True)\n"
        "print('ok' if run.client else 'failed')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", body, str(tmp_path / "mlflow")]
    processes = [
        subprocess.Popen(
            [*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for n in range(6)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    assert [out.strip() for out, _ in told] == ["ok"] * 6, json.dumps(told, indent=1)
    _, runs = all_runs(tmp_path / "mlflow")
    assert Counter(run.info.status for run in runs) == {"FINISHED": 12}
