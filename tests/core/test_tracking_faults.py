"""Faults of tracking: none stops the tracker, loses what MLflow would take, or ends a step."""

from __future__ import annotations

import builtins
import errno
import sqlite3
from pathlib import Path

import pytest

from pipelines.core.tracking import About, Result, Tracker, sending
from pipelines.core.tracking.live import Watch
from pipelines.core.tracking.spool import Spool, claim, is_free, left
from pipelines.orchestration import telling
from pipelines.training.artefacts import Checkpoint

KEY = "a/foundation"


def made(tracker: Tracker, version: str = "1", dagster_run: str = "r", **result) -> None:
    """A model of one version, as a step tracks it."""
    with tracker.run(KEY, version * 64, dagster_run, {"n": 1}, {}, About(recipe="a")) as run:
        run.curve(1, {"loss": 1.0})
        run.finish(version * 64, {"bits": 1.0}, model=True, result=Result(**result))


def runs_of(folder: Path):
    client = Tracker(folder).connect().client
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return client, {run.data.tags.get("dragon.key", "parent"): run for run in runs}


def start(**fields):
    filled = {"key": KEY, "derivation": "d", "dagster_run": "r", "parameters": {}, "inputs": {}}
    return filled | fields


# Runs of other people, and bugs of ours


def test_a_run_that_a_person_put_under_our_parent_stops_nothing(folder, caplog):
    tracker = Tracker(folder)
    made(tracker, headline="1 bit", figure="bits")
    client, runs = runs_of(folder)
    parent = runs["parent"].info
    tags = {"mlflow.parentRunId": parent.run_id, "dragon.headline": "mine"}
    client.create_run(parent.experiment_id, tags=tags)
    tracker.finish_run("r", "FINISHED")
    assert tracker.settle(60)
    assert left(tracker.spools) == []
    assert "bug" not in caplog.text
    ended = client.get_run(parent.run_id)
    assert ended.info.status == "FINISHED"
    assert "1 bit" in ended.info.run_name


def test_a_bug_at_one_spool_holds_up_no_other(folder, caplog, monkeypatch):
    create = sending.create_run

    def stumble(server, line, *, alive):
        return {}["nothing"] if line["dagster_run"] == "bad" else create(server, line, alive=alive)

    with monkeypatch.context() as patch:
        patch.setattr(sending, "create_run", stumble)
        Spool.begin(Tracker(folder).spools, **start(dagster_run="bad")).close()
        tracker = Tracker(folder)
        for version in "12":
            made(tracker, version, dagster_run=version)
        assert tracker.settle(60)
        [path] = left(tracker.spools)
        assert is_free(path)
        assert caplog.text.count("by a bug of dragon") == 1
        client, runs = runs_of(folder)
        assert runs[KEY].info.status == "FINISHED"
        assert len(client.search_registered_models()) == 1
    assert Tracker(folder).settle(60)  # a Dragon without the bug
    assert left(tracker.spools) == []


# A making that goes on, and one whose writer was killed


def test_a_spool_that_a_sender_holds_is_no_making_that_goes_on(tmp_path):
    spool = Spool.begin(tmp_path, **start())
    assert [making.key for making in Watch(tmp_path).going()] == [KEY]
    spool.close()
    sender = claim(spool.path)
    assert sender is not None
    assert Watch(tmp_path).going() == []
    assert claim(spool.path) is None  # there is one sender
    sender.close()
    assert is_free(spool.path)


def test_who_cannot_send_a_spool_leaves_it_to_others_and_tries_again(folder):
    spool = Spool.begin(Tracker(folder).spools, **start())
    spool.close()
    tracker = Tracker(folder)
    tracker._server = tracker.connect()
    with sqlite3.connect(folder / "mlflow.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        tracker.catch_up()
        tracker._wait(lambda: False)
        assert tracker._failures == 1
        assert is_free(spool.path)
        assert Watch(tracker.spools).going() == []
        connection.execute("ROLLBACK")
    connection.close()
    tracker._next_try = 0.0
    tracker.catch_up()
    tracker._patience = 60.0
    tracker._wait(lambda: False)
    assert left(tracker.spools) == []
    assert runs_of(folder)[1][KEY].info.status == "KILLED"


# The end of a Dagster run that is sent before its steps


def test_an_end_waits_for_the_steps_that_are_not_sent(folder):
    tracker = Tracker(folder)
    step = Spool.begin(tracker.spools, **start())
    Spool.begin(tracker.spools, "ended", dagster_run="r", status="FAILED").close()
    Spool.begin(tracker.spools, "ended", dagster_run="nothing of it", status="FAILED").close()
    assert tracker.settle(60)  # the step's writer lives: only the other end can be sent
    assert len(left(tracker.spools)) == 2
    step.close()
    assert tracker.settle(60)
    assert left(tracker.spools) == []
    assert runs_of(folder)[1]["parent"].info.status == "FAILED"


def test_an_end_that_failed_once_is_sent_again_by_the_same_process(folder, monkeypatch):
    tracker = Tracker(folder)
    made(tracker)
    tracker._wait(lambda: tracker._thread is None)
    finish, calls = sending.finish_parent, []

    def away(server, line):
        calls.append(line)
        if len(calls) == 1:
            raise sending.AwayError("for a moment")
        return finish(server, line)

    monkeypatch.setattr(sending, "finish_parent", away)
    tracker.finish_run("r", "FAILED")
    tracker._patience = 60.0
    tracker._wait(lambda: False)
    tracker._next_try = 0.0
    tracker.catch_up()
    tracker._wait(lambda: False)
    assert len(calls) == 2
    assert left(tracker.spools) == []


# Files


def test_of_a_full_disk_no_half_file_stays(tmp_path, monkeypatch):
    spool = Spool.begin(tmp_path, **start())
    write = Path.open

    def half(path, mode="r", *given, **named):
        file = write(path, mode, *given, **named)
        if "w" in mode and "second" in held:
            file.write(b"half")
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    held = set()
    spool.keep({"first": b"whole"})
    held.add("second")
    monkeypatch.setattr(Path, "open", half)
    with pytest.raises(OSError, match="No space"):
        spool.keep({"report.html": b"<html>whole</html>"})
    monkeypatch.undo()
    assert [path.read_bytes() for path in spool.kept()] == [b"whole"]
    spool.put_aside()
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == [spool.aside.name]


def test_a_file_that_a_killed_process_wrote_by_half_is_not_shown(tmp_path):
    spool = Spool.begin(tmp_path, **start())
    spool.keep({})
    spool._partial.write_bytes(b"half")
    assert spool.kept() == []
    spool.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


# What is told beside the figures


@pytest.mark.parametrize("code", ["TEMPORARILY_UNAVAILABLE", None])
def test_a_database_that_is_locked_costs_no_registered_version(folder, monkeypatch, code):
    from mlflow.exceptions import MlflowException

    def locked(*_, **__):
        error = MlflowException("(sqlite3.OperationalError) database is locked")
        error.error_code = code or "INTERNAL_ERROR"
        raise error

    tracker = Tracker(folder)
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.get_registered_model", locked)
        if code is None:  # nothing says that it passes, but the run's tags find no place either
            patch.setattr("mlflow.MlflowClient.set_tag", locked)
        made(tracker)
        assert not tracker.settle(60)
        assert len(left(tracker.spools)) == 1
    assert Tracker(folder).settle(60)
    assert left(tracker.spools) == []
    client, _ = runs_of(folder)
    [registered] = client.search_registered_models()
    assert list(registered.aliases) == ["current"]


# No fault ends a step


@pytest.fixture
def without_mlflow(monkeypatch):
    """An mlflow that cannot be imported."""
    load = builtins.__import__

    def broken(name, *given, **named):
        if name == "pipelines.core.tracking.sending":
            raise ImportError("no module named mlflow\nand more")
        return load(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", broken)


@pytest.mark.usefixtures("without_mlflow")
def test_a_broken_mlflow_is_an_mlflow_that_is_away(tmp_path, caplog):
    tracker = Tracker(tmp_path / "mlflow")
    with pytest.raises(OSError, match=r"^mlflow cannot be imported: no module named mlflow$"):
        tracker.initialise()
    made(tracker)
    assert len(left(tracker.spools)) == 1
    assert caplog.text.count("cannot be imported") == 1


DECLARED = type("D", (), {"key": KEY, "about": "x", "upstream": lambda _: []})()


def test_what_cannot_be_told_before_the_work_ends_no_step(chain, caplog, monkeypatch):
    monkeypatch.setattr(telling, "environment", lambda: 1 / 0)
    said = telling.before_work(DECLARED, {}, {}, chain.project, ("tiny", "r"))
    assert said == About()
    assert "is told less" in caplog.text


def test_no_fault_of_telling_after_the_work_ends_a_step(chain, caplog, monkeypatch):
    checkpoint = chain.store.current("tiny/foundation", Checkpoint)
    monkeypatch.setattr(telling, "_ancestors", lambda *_: 1 / 0)
    run = ("tiny", "r")
    said = telling.after_work(checkpoint, DECLARED, {}, chain.store, chain.project, run)
    assert said == Result()
    monkeypatch.setattr(Checkpoint, "figures", lambda _: 1 / 0)
    monkeypatch.setattr(telling, "MODEL", "none")
    assert telling.figures_of(checkpoint) == {}
    assert caplog.text.count("is told less") == 2


def test_without_matplotlib_all_but_the_picture_is_told(chain, caplog, monkeypatch):
    checkpoint = chain.store.current("tiny/foundation", Checkpoint)

    def broken():
        raise ImportError("matplotlib is broken")

    monkeypatch.setattr(telling, "describe", lambda _: {"loss": telling.Picture(broken)})
    run = ("tiny", "r")
    said = telling.after_work(checkpoint, DECLARED, {}, chain.store, chain.project, run)
    assert sorted(said.files) == ["lineage.json", "model_card.md"]
    assert "matplotlib is broken" in caplog.text
