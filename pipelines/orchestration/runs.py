"""Which runs are alive: each run has a lock that its process holds, and dead runs are ended.

    <home>/running/<run id>     locked by the process that drives the run, while it runs
    <home>/running/publishing   shared by publishing runs, exclusive for ending dead runs

A killed process reports nothing to Dagster, so its run would stay "started" for ever. The system
drops the locks of a dead process. So a run with a free lock is dead, and the next process that
looks ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.project import MLFLOW
from pipelines.core.tracking import Tracker
from pipelines.orchestration.interruption import held_back

if TYPE_CHECKING:
    import dagster as dg

log = logging.getLogger("dragon.runs")

RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CODE_SERVER = ".dagster/grpc_info"  # Dagster's tag: the address of the server that starts a worker
LOOK_SECONDS = 5.0  # between two searches for runs whose process died
PATIENCE_SECONDS = 5.0  # wait for a publication; after that the next search ends the dead runs
UNCLAIMED_SECONDS = 30.0  # from a run's last event until a process must have locked it
MEND = "run it again: published assets are reused, a training goes on from its last checkpoint"


@contextlib.contextmanager
def living(home: Path, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold a run's lock while this process drives the run.

    Raises ValueError if the run is over: it may have been ended as dead before it began.
    """
    path = _lock_of(home, run_id)
    while True:
        with contextlib.ExitStack() as stack:
            # No process may end the run between the creation of its lock file and the locking.
            with _locked(path.with_name("publishing"), fcntl.LOCK_SH):
                is_locked = stack.enter_context(_locked(path, fcntl.LOCK_EX))
            if not is_locked:  # the process that ended the run removed the file: look again
                continue
            _require_unfinished(instance, run_id, unknown=True)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def publishing(home: Path, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold a shared lock while a run publishes, so that no process can end the run meanwhile.

    Raises ValueError if the run is over, or if the process that drives it has died.
    """
    path = _lock_of(home, run_id)
    with _locked(path.with_name("publishing"), fcntl.LOCK_SH):
        _require_unfinished(instance, run_id)
        if path.exists() and _free(path):
            raise ValueError(f"the process of run {run_id[:8]} died; nothing was published; {MEND}")
        with held_back():  # Ctrl-C ends the run before or after a publication, never in it
            yield


def end_dead(home: Path, instance: dg.DagsterInstance) -> list[str]:
    """End the runs whose process died without a report to Dagster; return their ids.

    A run is dead if its lock is free. A run without a lock is dead if the server that should start
    its worker is gone, or if no process has locked it for half a minute. Queued runs wait for
    Dagster's daemon and stay. So does every file that is not a run's lock.
    """
    folder = home / "running"
    ended = []
    with _patiently(folder / "publishing") as alone:
        if not alone:
            return []
        for path in folder.iterdir():
            ours = RUN_ID.fullmatch(path.name) and path.is_file() and not path.is_symlink()
            if ours and _end(instance, path, "its process died"):
                ended.append(path.name)
        for record in _unfinished(instance):
            run_id = record.dagster_run.run_id
            path = folder / run_id
            if RUN_ID.fullmatch(run_id) and path.exists():
                continue  # the run is alive
            reason = _why_dead(record)
            if reason and not RUN_ID.fullmatch(run_id):  # its worker refused the id: no lock
                _report(instance, record.dagster_run, reason)
                ended.append(run_id)
            elif reason and _end(instance, path, reason, os.O_CREAT | os.O_EXCL):
                ended.append(run_id)
    for run_id in ended:
        Tracker(home / MLFLOW).finish_run(run_id, status_of(instance, run_id), send=False)
    return ended


def status_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """How a run ended, as MLflow says it: FINISHED, FAILED or KILLED."""
    run = instance.get_run_by_id(run_id)
    ended = "" if run is None else run.status.value
    return {"SUCCESS": "FINISHED", "CANCELED": "KILLED"}.get(ended, "FAILED")


def _lock_of(home: Path, run_id: str) -> Path:
    """A run's lock file, in a folder that is created. Raises ValueError for a bad run id."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run id={run_id!r}: is not an id that Dagster makes; launch the run without an id"
        )
    folder = home / "running"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / run_id


@contextlib.contextmanager
def _locked(path: Path, how: int, opening: int = os.O_CREAT) -> Iterator[bool]:
    """Lock a file without writing it. Yields False if it is gone or another process holds it."""
    try:
        handle = os.open(path, os.O_RDWR | opening | os.O_NOFOLLOW, 0o644)
    except (FileNotFoundError, FileExistsError):
        yield False
        return
    try:
        yield _lock(handle, how) and _lies_at(path, handle)
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    return True


def _lies_at(path: Path, handle: int) -> bool:
    """Whether the locked file still has its path: its previous owner may have removed it."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _free(path: Path) -> bool:
    """Whether nobody holds a lock file."""
    with _locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB, 0) as free:
        return free


@contextlib.contextmanager
def _patiently(path: Path) -> Iterator[bool]:
    """Lock a file exclusively, after a wait of at most ``PATIENCE_SECONDS``. Yields success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            if alone or time.monotonic() > deadline:
                yield alone
                return
        time.sleep(0.05)


def _require_unfinished(
    instance: dg.DagsterInstance, run_id: str, *, unknown: bool = False
) -> None:
    """Raise ValueError for a run that is over, or was deleted (unless ``unknown`` allows that)."""
    run = instance.get_run_by_id(run_id)
    if run is None and not unknown:
        raise ValueError(f"run {run_id[:8]} was deleted; nothing was published; {MEND}")
    if run is not None and run.is_finished:
        status = run.status.value.lower()
        raise ValueError(f"run {run_id[:8]} is over ({status}); nothing was published; {MEND}")


def _unfinished(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """The runs that Dagster lists as not ended, without the queued ones."""
    import dagster as dg

    statuses = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    return list(instance.get_run_records(dg.RunsFilter(statuses=statuses)))


def _why_dead(record: dg.RunRecord) -> str | None:
    """The reason why a run without a lock is dead, or None if it may be alive."""
    address = record.dagster_run.tags.get(CODE_SERVER)
    if address is not None:
        return None if _listens(address) else "its process and its code server died"
    # Count from its last event, because it may have waited in the queue before its launch.
    silent = time.time() - record.update_timestamp.timestamp()
    return "no process drives it" if silent > UNCLAIMED_SECONDS else None


def _listens(address: str) -> bool:
    """Whether a code server of this machine accepts connections; False for a malformed address."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError, OverflowError):
        server = json.loads(address)
        unix = server.get("socket")
        place = str(unix) if unix else ("127.0.0.1", int(server["port"]))
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(2)
            try:
                probe.connect(place)
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            except OSError:
                return True  # a server that is too busy to answer is alive
        return True
    return False


def _end(instance: dg.DagsterInstance, path: Path, reason: str, opening: int = 0) -> bool:
    """End the run of a free lock and remove the lock file.

    Returns False if the lock is held or the run was over already.
    """
    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, opening) as is_locked:
        if not is_locked:
            return False
        run = instance.get_run_by_id(path.name)
        dead = run is not None and not run.is_finished
        if run is not None and dead:
            _report(instance, run, reason)
        path.unlink(missing_ok=True)
        return dead


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> None:
    message = f"{reason} (it was killed, or the machine restarted); {MEND}"
    if run.status.value == "CANCELING":
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)
    log.info("run %s: %s", run.run_id[:8], reason)


@contextlib.contextmanager
def watched_runs(home: Path) -> Iterator[threading.Event]:
    """End the runs whose process died: before the block, regularly during it, and after it.

    Yields an event; whoever wants to end the block sets it.
    """
    import dagster as dg

    ending, tracker = threading.Event(), Tracker(home / MLFLOW)

    def look() -> None:
        try:
            end_dead(home, instance)
            tracker.catch_up()  # the steps and workers that sent not all themselves
        except Exception as error:  # a busy database: the next search finds the same runs
            log.warning("cannot end the runs whose process died now; will try again: %s", error)

    def watch() -> None:
        while not ending.wait(LOOK_SECONDS):
            look()

    with dg.DagsterInstance.get() as instance:
        look()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield ending
        finally:
            ending.set()
            watcher.join(LOOK_SECONDS)
            look()
