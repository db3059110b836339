"""What people find in MLflow: models with data and figures, versions, and how a run ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.tracking import About, Result, Tracker, quiet, serving
from pipelines.core.tracking.spool import Spool, is_free, left
from pipelines.orchestration import telling
from pipelines.training.artefacts import Checkpoint

KEY = "a/foundation"


@pytest.fixture(scope="module")
def client(chain):
    return Tracker(chain.project.mlflow).connect().client


@pytest.fixture(scope="module")
def place_of_runs(client):
    return client.get_experiment_by_name("dragon").experiment_id


def run_of(client, place, key):
    [found] = client.search_runs([place], f"tags.`dragon.key` = '{key}'")
    return client.get_run(found.info.run_id)


def parents_of(folder: Path):
    client = Tracker(folder).connect().client
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return client, [run for run in runs if run.data.tags.get("kind") == "dagster"]


def made(tracker, version, *, dagster_run="r", about=None, **result):
    """A model of one version, as a step tracks it."""
    inputs = {"a/token_shards": "b" * 64}
    with tracker.run(KEY, version * 64, dagster_run, {"n": 1}, inputs, about) as run:
        run.curve(1, {"loss": 1.0})
        run.finish(version * 64, {}, model=True, result=Result(**result))


# What the chain tells


def test_the_best_model_is_found_by_a_test_figure(chain, client, place_of_runs):
    order = [{"field_name": "metrics.test_bits_per_byte", "ascending": True}]
    query = "metrics.test_bits_per_byte < 8"
    [model] = client.search_logged_models([place_of_runs], query, order_by=order)
    version = chain.store.versions("tiny/foundation")[0]
    assert (model.tags["dragon.key"], model.tags["dragon.version"]) == ("tiny/foundation", version)
    figures = chain.store.current("tiny/foundation", Checkpoint).figures()
    assert float(model.params["parameters"]) == figures["parameters"]
    assert model.params["recipe.training.steps"] == "120"
    told = model.tags["mlflow.note.content"]
    assert "toy_dialogues: 1,500 documents" in told
    assert "licence CC0-1.0" in told
    assert f"dragon trace tiny/foundation@{version[:12]}" in told
    for address in ("/reports/tiny", "/trace/tiny/foundation", "/dagster/runs/"):
        assert f"(http://127.0.0.1:3000{address}" in told


def test_a_model_has_the_figures_of_its_evaluation_and_their_data(chain, client, place_of_runs):
    judged = run_of(client, place_of_runs, "tiny/foundation_evaluation")
    [model] = client.search_logged_models([place_of_runs], "metrics.test_bits_per_byte < 8")
    assert [found.model_id for found in judged.inputs.model_inputs] == [model.model_id]
    figures = {m.key: m for m in model.metrics if m.run_id == judged.info.run_id}
    assert figures.keys() == judged.data.metrics.keys()
    shards = chain.store.versions("tiny/token_shards")[0]
    for metric in model.metrics:
        assert (metric.dataset_name, metric.dataset_digest) == ("tiny/token_shards", shards[:36])
    contexts = [{tag.key: tag.value for tag in d.tags} for d in judged.inputs.dataset_inputs]
    assert {tags["mlflow.data.context"] for tags in contexts} == {"evaluation"}
    assert model.tags["foundation_evaluation"].endswith("bits per byte")


def test_each_evaluation_is_of_the_model_that_it_judges(client, place_of_runs):
    """Not of the foundation that the model was trained from, which some read as well."""
    models = {m.tags["dragon.key"]: m for m in client.search_logged_models([place_of_runs])}
    for model, evaluation in (
        ("tiny/toy_reply_assistant", "tiny/toy_reply_evaluation"),
        ("tiny/toy_spam_classifier", "tiny/toy_spam_evaluation"),
    ):
        judged = run_of(client, place_of_runs, evaluation).info.run_id
        assert judged in {metric.run_id for metric in models[model].metrics}
        assert judged not in {m.run_id for m in models["tiny/foundation"].metrics}


def test_a_training_links_the_models_that_it_read_and_made(client, place_of_runs):
    models = {m.tags["dragon.key"]: m for m in client.search_logged_models([place_of_runs])}
    run = run_of(client, place_of_runs, "tiny/toy_reply_assistant")
    ids = {key: model.model_id for key, model in models.items()}
    assert [m.model_id for m in run.inputs.model_inputs] == [ids["tiny/foundation"]]
    assert [m.model_id for m in run.outputs.model_outputs] == [ids["tiny/toy_reply_assistant"]]


def test_files_are_shown_beside_run_and_model(client, place_of_runs, tmp_path):
    model = client.search_logged_models([place_of_runs], "metrics.test_bits_per_byte < 8")[0]
    expected = ["lineage.json", "loss.png", "model_card.md"]
    files = [file.path for file in client.list_artifacts(model.source_run_id)]
    assert files == expected
    shown = [file.path for file in client.list_logged_model_artifacts(model.model_id)]
    assert shown == [*expected, "report.html"]
    place = client.download_artifacts(model.source_run_id, "lineage.json", str(tmp_path))
    told = json.loads(Path(place).read_text())
    assert told[-1]["version"] == model.tags["dragon.version"]
    assert {node["key"] for node in told} >= {"toy_dialogues/raw_text", "tiny/token_shards"}


def test_no_chart_of_a_constant(client, place_of_runs):
    run = run_of(client, place_of_runs, "tiny/foundation")
    assert run.data.metrics.keys() == {
        *("training_loss", "validation_loss", "gradient_norm", "learning_rate"),
        *("tokens_per_second", "utilisation"),
    }
    rates = [m.value for m in client.get_metric_history(run.info.run_id, "learning_rate")]
    assert max(rates) == float(run.data.params["recipe.training.optimizer.matrix_learning_rate"])


def test_a_parent_says_recipe_figure_date_and_data(chain):
    _, [parent] = parents_of(chain.project.mlflow)
    recipe, figure, date = parent.info.run_name.split(" · ")
    assert recipe == parent.data.tags["dragon.recipe"] == "tiny"
    assert figure.endswith("bits per byte")
    assert len(date) == len("2026-11-30 20:45")
    assert parent.info.status == parent.data.tags["dragon.ended"] == "FINISHED"
    assert parent.data.metrics["foundation_evaluation/test_bits_per_byte"] < 8
    read = {given.dataset.name for given in parent.inputs.dataset_inputs}
    assert read == {"toy_dialogues/raw_text", "toy_messages/raw_text"}


def test_only_our_experiment_is_shown_as_model_training(client):
    [experiment] = client.search_experiments()
    assert experiment.name == "dragon"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_aliases_move_with_a_second_training_and_back(place, recipe_file):
    """The first recipe again is reused, and its model is the current one again."""
    first, text = recipe_file(), recipe_file(("seed: 3", "seed: 4"), name="other").read_text()
    client = Tracker(place.project.mlflow).connect().client

    def aliases() -> dict[str, str]:
        assert Tracker(place.project.mlflow).settle(60)
        found = client.get_registered_model("smaller-foundation")
        store = {
            str(v.version): v.tags["dragon.version"]
            for v in client.search_model_versions("name = 'smaller-foundation'")
        }
        return {alias: store[str(number)] for alias, number in found.aliases.items()}

    def current() -> str:
        return place.store.current("smaller/foundation", Checkpoint).version

    assert place.dragon("run", str(first), "--select", "smaller/foundation").code == 0
    one = current()
    kept = first.read_text()
    first.write_text(text)
    assert place.dragon("run", str(first), "--select", "smaller/foundation").code == 0
    two = current()
    assert one != two
    assert aliases() == {"current": two, "previous": one}
    first.write_text(kept)
    said = place.dragon("run", str(first), "--select", "smaller/foundation")
    assert "0 made" in said.out
    assert aliases() == {"current": one, "previous": two}


# Versions


def versions(folder: Path) -> dict[str, str]:
    client = Tracker(folder).connect().client
    store = {
        str(v.version): v.tags["dragon.version"][0]
        for v in client.search_model_versions("name = 'a-foundation'")
    }
    found = client.get_registered_model("a-foundation").aliases
    return {alias: store[str(number)] for alias, number in found.items()}


def test_what_is_sent_late_moves_no_alias_back(folder):
    tracker = Tracker(folder)
    made(tracker, "1")
    late = Spool.begin(tracker.spools, "current", key=KEY, version="1" * 64)
    made(tracker, "2")
    made(tracker, "3")
    assert versions(folder) == {"current": "3", "previous": "2"}
    late.close()
    assert Tracker(folder).settle(60)
    assert left(tracker.spools) == []
    assert versions(folder) == {"current": "3", "previous": "2"}
    tracker.make_current(KEY, "1" * 64)
    tracker.make_current("b/never_seen", "1" * 64)
    tracker.make_current(KEY, "9" * 64)
    assert tracker.settle(60)
    assert versions(folder) == {"current": "1", "previous": "3"}


def test_a_version_made_again_is_registered_once(folder):
    tracker = Tracker(folder)
    for dagster_run in ("r", "s"):
        made(tracker, "1", dagster_run=dagster_run)
    client = tracker.connect().client
    [version] = client.search_model_versions("name = 'a-foundation'")
    models = client.search_logged_models([e.experiment_id for e in client.search_experiments()])
    linked = [json.loads(model.tags["mlflow.modelVersions"]) for model in models]
    assert linked == [[{"name": "a-foundation", "version": str(version.version)}]] * 2


def test_an_evaluation_of_a_model_that_mlflow_lacks_is_tracked(folder):
    tracker = Tracker(folder)
    about = About(models=(KEY,), context="evaluation")
    result = Result(of=KEY, headline="1 bit", figure="bits", leads=True)
    with tracker.run("a/judged", "d" * 64, "r", {}, {KEY: "1" * 64}, about) as run:
        run.finish("e" * 64, {"bits": 1.0}, model=False, result=result)
    assert tracker.settle(60)
    assert left(tracker.spools) == []
    client, _ = parents_of(folder)
    assert run_of(client, "1", "a/judged").data.metrics == {"bits": 1.0}


# The end of a Dagster run


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_parent_ends_as_its_dagster_run(folder, status):
    tracker = Tracker(folder)
    made(tracker, "1", about=About(recipe="tiny"))
    assert [run.info.status for run in parents_of(folder)[1]] == ["RUNNING"]
    tracker.finish_run("r", status)
    tracker.finish_run("reused everything", status)
    assert tracker.settle(60)
    [parent] = parents_of(folder)[1]
    assert parent.info.status == status
    assert sorted(path.name for path in tracker.spools.iterdir()) == ["lock"]
    made(tracker, "2", about=About(recipe="tiny"))  # a step that its worker did not wait for
    [parent] = parents_of(folder)[1]
    assert parent.info.status == status


def test_a_name_that_a_person_gave_stays(folder):
    tracker = Tracker(folder)
    about = About(recipe="tiny")
    with tracker.run("a/judged", "d" * 64, "r", {}, {}, about) as run:
        run.finish("e" * 64, {}, model=False, result=Result(headline="1 bit"))
    client, [parent] = parents_of(folder)
    client.update_run(parent.info.run_id, name="mine")
    tracker.finish_run("r", "FINISHED")
    assert tracker.settle(60)
    assert [run.info.run_name for run in parents_of(folder)[1]] == ["mine"]


def test_an_end_that_another_process_sends(folder):
    tracker = Tracker(folder)
    made(tracker, "1")
    tracker._wait(lambda: tracker._thread is None)  # or it would send the end itself
    tracker.finish_run("r", "FAILED", send=False)
    [path] = left(tracker.spools)
    assert is_free(path)
    sender = Tracker(folder)
    sender.catch_up()
    assert sender.settle(60)
    assert [run.info.status for run in parents_of(folder)[1]] == ["FAILED"]


def test_who_goes_on_for_long_loads_nothing_for_a_living_run(folder, monkeypatch):
    tracker, other = Tracker(folder), Tracker(folder)
    woken = []
    monkeypatch.setattr(other, "wake", lambda: woken.append(True))
    with tracker.run(KEY, "d" * 64, "r", {}, {}) as run:
        other.catch_up()
        run.finish("1" * 64, {}, model=True)
    other.catch_up()
    assert woken == []


# Files and secrets


def test_files_are_kept_until_they_are_sent(folder):
    away = Tracker(folder, "http://127.0.0.1:9")
    made(away, "1", files={"card.md": b"a card"})
    away.settle(1)
    [path] = left(away.spools)
    assert (path.with_suffix(".files") / "card.md").read_bytes() == b"a card"
    (path.with_suffix(".files") / "link").symlink_to("/etc/hostname")
    assert Tracker(folder).settle(60)
    assert sorted(path.name for path in away.spools.iterdir()) == [mark(away), "lock"]
    client, _ = parents_of(folder)
    run = run_of(client, "1", KEY)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["card.md"]


def mark(tracker) -> str:
    return tracker._mark("r").name


def test_files_that_find_no_place_hold_nothing_up(folder, caplog):
    (folder / "artifacts").write_text("in the way")
    tracker = Tracker(folder)
    made(tracker, "1", files={"card.md": b"a card"})
    assert tracker.settle(60)
    assert left(tracker.spools) == []
    assert any("its files" in record.getMessage() for record in caplog.records)
    client, _ = parents_of(folder)
    assert run_of(client, "1", KEY).info.status == "FINISHED"
    assert versions(folder) == {"current": "1"}


def test_a_registry_that_refuses_holds_nothing_up(folder, caplog, monkeypatch):
    def refused(*_, **__):
        raise PermissionError("no registry for you")

    monkeypatch.setattr("mlflow.MlflowClient.get_registered_model", refused)
    tracker = Tracker(folder)
    made(tracker, "1")
    assert tracker.settle(60)
    assert left(tracker.spools) == []
    assert any("no registry for you" in record.getMessage() for record in caplog.records)
    client, _ = parents_of(folder)
    assert run_of(client, "1", KEY).info.status == "FINISHED"


def test_what_cannot_be_told_costs_a_warning(chain, caplog, monkeypatch):
    checkpoint = chain.store.current("tiny/foundation", Checkpoint)
    declared = type("D", (), {"about": "x", "upstream": lambda _: []})()

    def gone(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(telling, "_ancestors", gone)
    said = telling.after_work(checkpoint, declared, {}, chain.store, chain.project, ("tiny", "r"))
    assert said == Result()
    assert "is told less" in caplog.text


@pytest.mark.parametrize("said", ["false", "0", None])
def test_every_server_of_mlflow_is_told_to_be_silent(said):
    """Whatever the environment says: with what ``dragon ui`` starts, and in a bare process."""
    told = {} if said is None else dict.fromkeys(quiet.SILENT, said)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    body = (
        "import os\nfrom mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(os.environ['MLFLOW_DISABLE_TELEMETRY'], is_telemetry_disabled())\n"
    )
    served = {**kept, **told, **serving.environment()}
    bare = f"import pipelines.core.tracking.server\n{body}"
    for code, environment in ((body, served), (bare, {**kept, **told})):
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.stdout.split() == ["true", "True"], done.stderr
