"""Runs: what dies is ended, what was ended publishes nothing, and no process stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipelines.cli.ending import marked
from pipelines.core import project as projects
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.tracking import TrackedRun, Tracker
from pipelines.core.tracking.spool import left, read
from pipelines.orchestration import runs
from pipelines.orchestration.graph import LivingExecutor, build
from pipelines.orchestration.runs import CODE_SERVER, end_dead, living, publishing
from pipelines.recipe.loading import load_recipe
from pipelines.training import publishing as publisher

Status = dg.DagsterRunStatus


@dg.op
def nothing() -> None:
    """Of a job whose runs are only told of."""


@dg.job
def idle() -> None:
    """A job for runs that are only told of."""
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def started(instance: dg.DagsterInstance) -> Callable[..., str]:
    """Makes a run that Dagster takes for started; returns its id."""

    def make(status: Status = Status.STARTED, run_id: str = "", **tags: str) -> str:
        named = {CODE_SERVER if name == "server" else name: tag for name, tag in tags.items()}
        run_id = run_id or str(uuid.uuid4())
        instance.create_run_for_job(idle, run_id=run_id, status=status, tags=named)
        return run_id

    return make


def status_of(instance: dg.DagsterInstance, run_id: str) -> Status:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends in time; one that nobody waits for counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def python(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process, its output in a pipe, killed after the block."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# Dead runs


HOLDS = """
import sys, time
from pathlib import Path
import dagster as dg
from pipelines.orchestration.runs import living
with dg.DagsterInstance.ephemeral() as instance, living(Path(sys.argv[1]), instance, sys.argv[2]):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_run_ends_when_its_process_was_killed(instance, started, tmp_path):
    run_id = started()
    with python("-c", HOLDS, str(tmp_path), run_id) as holder:
        assert holder.stdout.readline() == "held\n"
        assert end_dead(tmp_path, instance) == []
        assert status_of(instance, run_id) is Status.STARTED
    assert end_dead(tmp_path, instance) == [run_id]
    assert status_of(instance, run_id) is Status.FAILURE
    told = [entry.user_message or entry.message for entry in instance.all_logs(run_id)]
    assert any("its process died (it was killed, or the machine restarted)" in t for t in told)
    assert [path.name for path in (tmp_path / "running").iterdir()] == ["publishing"]
    assert end_dead(tmp_path, instance) == []


def told_ends(tracker: Tracker) -> list[tuple[str, str]]:
    """The Dagster runs whose end waits to be sent to MLflow, and how they ended."""
    lines = [line for path in left(tracker.spools) for _, line in read(path, 0)]
    return [(x["dagster_run"], x["status"]) for x in lines if x and x["kind"] == "ended"]


def tracked(home: Path, run_id: str) -> Tracker:
    """A tracker to which a step of a run has told something."""
    tracker = Tracker(home / "mlflow")
    tracker.spools.mkdir(parents=True, exist_ok=True)
    tracker._mark(run_id).touch()
    return tracker


def test_mlflow_is_told_of_a_run_that_was_killed(instance, started, tmp_path):
    listening = '{"port": 1}'
    failed, canceled = started(server=listening), started(Status.CANCELING, server=listening)
    silent = started(server=listening)  # it reused everything
    for run_id in (failed, canceled):
        tracker = tracked(tmp_path, run_id)
    assert set(end_dead(tmp_path, instance)) == {failed, canceled, silent}
    assert set(told_ends(tracker)) == {(failed, "FAILED"), (canceled, "KILLED")}
    assert end_dead(tmp_path, instance) == []
    assert len(told_ends(tracker)) == 2


@pytest.mark.parametrize(
    ("events", "error", "status"),
    [
        ([False], None, "FINISHED"),
        ([False, True, False], None, "FAILED"),
        ([False], ValueError, "FAILED"),
        ([False], dg.DagsterExecutionInterruptedError, "KILLED"),
        ([False], GeneratorExit, "KILLED"),
    ],
)
def test_mlflow_is_told_how_the_steps_of_the_ui_ended(
    instance, started, tmp_path, monkeypatch, events, error, status
):
    def execute(*_):
        yield from [types.SimpleNamespace(is_step_failure=failure) for failure in events]
        if error:
            raise error

    monkeypatch.setattr("pipelines.orchestration.graph.end_with_parent", lambda: None)
    run_id = started()
    tracker = tracked(tmp_path, run_id)
    executor = LivingExecutor(types.SimpleNamespace(execute=execute), tmp_path, tracker)
    context = types.SimpleNamespace(instance=instance, run_id=run_id)
    with contextlib.suppress(*([error] if error else [])):
        assert len(list(executor.execute(context, None))) == len(events)
    assert told_ends(tracker) == [(run_id, status)]


def test_a_living_run_is_let_live_whatever_its_tags(instance, started, tmp_path):
    """A run that is executed again bears the user tags of the one before."""
    again = started(**{"dragon/lock": "0" * 32})
    with living(tmp_path, instance, again):
        assert end_dead(tmp_path, instance) == []
        instance.report_run_canceled(instance.get_run_by_id(again))
    assert [path.name for path in (tmp_path / "running").iterdir()] == ["publishing"]


def test_without_a_lock_the_code_server_tells_whether_a_worker_may_come(
    instance, started, tmp_path
):
    at = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(at))
        server.listen()
        listening = json.dumps({"host": "localhost", "socket": str(at)})
        coming = [started(status, server=listening) for status in (Status.STARTING, Status.STARTED)]
        assert end_dead(tmp_path, instance) == []
    canceling = started(Status.CANCELING, server=listening)
    assert set(end_dead(tmp_path, instance)) == {*coming, canceling}
    assert {status_of(instance, run_id) for run_id in coming} == {Status.FAILURE}
    assert status_of(instance, canceling) is Status.CANCELED


@pytest.mark.parametrize(
    "address",
    ["{}", "[]", "x", '{"port": "x"}', '{"port": 1}', '{"port": 99999}', '{"socket": "a\\u0000"}'],
)
def test_an_address_of_nobody_keeps_no_run_alive(instance, started, tmp_path, address):
    run_id = started(server=address)
    assert end_dead(tmp_path, instance) == [run_id]


def test_a_run_that_nobody_takes_ends_after_a_while(instance, started, tmp_path, monkeypatch):
    waiting = started(Status.STARTING)
    assert end_dead(tmp_path, instance) == []
    monkeypatch.setattr(runs, "UNCLAIMED_SECONDS", -1.0)
    assert end_dead(tmp_path, instance) == [waiting]


def test_no_file_is_touched_that_is_no_lock(instance, started, tmp_path, monkeypatch):
    """Whatever a run's id and tags name."""
    monkeypatch.setattr(runs, "UNCLAIMED_SECONDS", -1.0)
    folder = tmp_path / "running"
    folder.mkdir()
    linked = folder / str(uuid.uuid4())
    kept = [tmp_path / "victim", folder / "notes.txt", folder / uuid.uuid4().hex]
    for path in kept:
        path.write_text("precious")
    linked.symlink_to(kept[0])
    ended = {
        started(**{"dragon/lock": str(kept[0])}),
        started(run_id=f"{{{uuid.uuid4()}}}"),  # Dagster takes any spelling
    }
    assert set(end_dead(tmp_path, instance)) == ended
    assert {path.read_text() for path in (*kept, linked)} == {"precious"}
    with pytest.raises(ValueError, match="is not an id that Dagster makes"):
        living(tmp_path, instance, "../victim").__enter__()


def test_who_comes_after_the_end_does_not_begin(instance, started, tmp_path):
    """A worker that waited for its lock while another process took its run for dead."""
    run_id, said = started(Status.STARTING), []

    def work() -> None:
        try:
            with living(tmp_path, instance, run_id):
                said.append("began")
        except ValueError as error:
            said.append(str(error))

    path = tmp_path / "running" / run_id
    path.parent.mkdir()
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.2)
        instance.report_run_failed(instance.get_run_by_id(run_id))
        path.unlink()
    worker.join(10)
    assert said[0].startswith(f"run {run_id[:8]} is over (failure); nothing was published")


# The fence


def test_nobody_ends_a_run_while_it_publishes(instance, started, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.2)
    run_id = started()
    (tmp_path / "running").mkdir()
    with contextlib.ExitStack() as driving:
        driving.enter_context(living(tmp_path, instance, run_id))
        with publishing(tmp_path, instance, run_id):
            lock = tmp_path / "running" / run_id
            lock.rename(lock.with_name("held"))  # its process seems dead from here on
            lock.touch()
            assert end_dead(tmp_path, instance) == []
        assert end_dead(tmp_path, instance) == [run_id]
    with (
        pytest.raises(ValueError, match=r"is over \(failure\)"),
        publishing(tmp_path, instance, run_id),
    ):
        pass


def ended(instance: dg.DagsterInstance, lock: Path) -> None:
    instance.report_run_failed(instance.get_run_by_id(lock.name))


def deleted(instance: dg.DagsterInstance, lock: Path) -> None:
    instance.delete_run(lock.name)


def orphaned(instance: dg.DagsterInstance, lock: Path) -> None:
    assert instance.get_run_by_id(lock.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()


@pytest.mark.parametrize(
    ("fate", "told"),
    [(ended, "is over (failure)"), (deleted, "was deleted"), (orphaned, "died")],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_outlived_its_run_publishes_nothing(recipe_file, tmp_path, monkeypatch, fate, told):
    project = Project(CHECKOUT, tmp_path / "home", tmp_path / "store")
    definitions = build(project, [load_recipe(recipe_file())])
    job = definitions.resolve_implicit_global_asset_job_def()
    seal, key, run_id = publisher.seal, "talk/raw_text", str(uuid.uuid4())
    with dg.DagsterInstance.ephemeral() as instance:

        def seal_late(draft: Path) -> str:
            version = seal(draft)
            fate(instance, project.home / "running" / run_id)
            return version

        monkeypatch.setattr(publisher, "seal", seal_late)
        monkeypatch.setattr(Tracker, "run", lambda *_: contextlib.nullcontext(TrackedRun(None)))
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(key.split("/"))],
            raise_on_error=False,
            run_id=run_id,
        )
    (failure,) = (e.step_failure_data for e in result.all_events if e.is_step_failure)
    message = failure.user_failure_data.description
    assert message.startswith(f"{key}: ")
    assert told in message
    assert "nothing was published; run it again" in message
    assert not (project.store / "raw_text").exists()
    assert [path.name for path in (project.store / ".work").iterdir()] == ["lock"]


# Processes


FORKS = """
import multiprocessing, os, sys, time
from pipelines.text.parallel import end_with_parent

def step(pipe):
    end_with_parent()
    pipe.send(os.getpid())
    time.sleep(100)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    context.Process(target=step, args=(theirs,)).start()
    print(ours.recv(), flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_process_ends_with_who_had_it_started(method, tmp_path):
    """Though the fork server between them lives on."""
    (tmp_path / "forks.py").write_text(FORKS)
    with python(str(tmp_path / "forks.py"), method) as parent:
        child = int(parent.stdout.readline())
        assert not gone(child, 0.2)
    assert gone(child)


SERVES = """
import signal, sys, threading
from pathlib import Path
from pipelines.cli import ui
from pipelines.core.project import Project
ui.GRACE_SECONDS = 1.0
ending, folder = threading.Event(), Path(sys.argv[1])
stubborn = '''
import os, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
folder, depth = sys.argv[1], int(sys.argv[2])
open(f"{folder}/{os.getpid()}", "w").write(os.environ["DRAGON_UI"])
if depth:
    command = [sys.executable, "-c", os.environ["CODE"], folder, str(depth - 1)]
    subprocess.Popen(command, start_new_session=True)
time.sleep(100)
'''
import os
os.environ["CODE"] = stubborn
command = [sys.executable, "-c", stubborn, folder, 2]
with ui._servers(Project.here(), ending) as servers:
    servers.start("Stubborn", command)
    while len(list(folder.iterdir())) < 3:
        ending.wait(0.05)
    print("ready", flush=True)
    ending.wait()
"""


@pytest.mark.parametrize("background", [False, True], ids=["", "SIGINT ignored"])
@pytest.mark.parametrize(
    "signals",
    ["SIGINT", "SIGTERM", "SIGHUP", "SIGTERM SIGTERM", "SIGINT SIGTERM", "SIGKILL"],
)
def test_no_process_outlives_the_servers(tmp_path, signals, background):
    """However deep, in whatever session, and whatever they ignore."""
    (tmp_path / "pids").mkdir()
    before = signal.getsignal(signal.SIGINT)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else it goes on, as under nohup
    with contextlib.ExitStack() as stack:
        try:
            if background:  # as a shell has it for a command with & in a script
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            owner = stack.enter_context(python("-c", SERVES, str(tmp_path / "pids")))
        finally:
            signal.signal(signal.SIGINT, before)
            signal.signal(signal.SIGHUP, hung_up)
        assert owner.stdout.readline() == "ready\n"
        files = list((tmp_path / "pids").iterdir())
        mark = files[0].read_text()
        assert {int(path.name) for path in files} <= set(marked(mark))
        for name in signals.split():
            owner.send_signal(signal.Signals[name])
            time.sleep(0.1)
        owner.wait(30)
    assert all(gone(int(path.name), 10) for path in files)
    assert marked(mark) == []


# Settings


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Callable[[str], str]:
    """Prepares Dagster's folder under a project's settings; returns the copy's."""
    monkeypatch.setattr(projects, "CHECKOUT", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")

    def prepare(text: str) -> str:
        (tmp_path / "dagster.yaml").write_text(text)
        return (project.prepare_dagster() / "dagster.yaml").read_text()

    return prepare


def test_new_settings_reach_an_old_home(settings, tmp_path, caplog):
    assert settings("a: 1\n").endswith("\na: 1\n")
    assert settings("a: 2\n").endswith("\na: 2\n")
    copy = tmp_path / "home" / "dagster" / "dagster.yaml"
    copy.write_text("# as it was copied before it bore a digest\n")
    former = hashlib.sha256(copy.read_bytes()).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "FORMER", {former})
        assert settings("a: 3\n").endswith("\na: 3\n")
    assert caplog.text == ""
    assert [path.name for path in copy.parent.iterdir()] == ["dagster.yaml"]


def test_settings_that_a_person_changed_are_kept(settings, tmp_path, caplog):
    mine = settings("a: 1\n") + "b: 2\n"
    copy = tmp_path / "home" / "dagster" / "dagster.yaml"
    copy.write_text(mine)
    assert settings("a: 1\n") == mine
    assert caplog.text == "", "nothing new that it lacks"
    with caplog.at_level(logging.WARNING, "dragon"):
        assert settings("a: 2\n") == mine
    (line,) = caplog.messages
    assert "changed by hand" in line
    head = line.partition("put the line '")[2].partition("'")[0]
    copy.write_text(f"{head}\na: 1\nb: 2\n")
    caplog.clear()
    assert settings("a: 2\n") == f"{head}\na: 1\nb: 2\n"
    assert caplog.text == ""
