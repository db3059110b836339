"""Which runs live: a lock per run that dies with its process, and an end for all others.

    <home>/running/<run id>     locked by the process that drives the run, for as long as it does
    <home>/running/publishing   shared by who publishes, alone with who ends dead runs

A killed process tells Dagster nothing, so its run would stay "started" for ever. The system
drops a dead process' locks: a run whose lock is free is over, and whoever looks next says so.
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

if TYPE_CHECKING:
    import dagster as dg

log = logging.getLogger("dragon.runs")

RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CODE_SERVER = ".dagster/grpc_info"  # Dagster's tag: where the server listens that starts the worker
LOOK_SECONDS = 5.0  # between two looks for runs whose process died
PATIENCE_SECONDS = 5.0  # for a publication under way, before dead runs are left to the next look
UNCLAIMED_SECONDS = 30.0  # from a run's last word until some process must have taken it
MEND = "run it again: what was published is reused, a training goes on from its last checkpoint"


@contextlib.contextmanager
def living(home: Path, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold a run's lock: this process drives it.

    Raises ValueError when the run is over already, for it was taken for dead before it began.
    """
    path = _lock_of(home, run_id)
    while True:
        with contextlib.ExitStack() as held:
            # Nobody takes a run for dead between the making of its lock file and the locking.
            with _locked(path.with_name("publishing"), fcntl.LOCK_SH):
                mine = held.enter_context(_locked(path, fcntl.LOCK_EX))
            if not mine:  # removed by who ended the run before us: the next look sees that
                continue
            _require_unfinished(instance, run_id, unknown=True)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def publishing(home: Path, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold while a run publishes: nobody can end it meanwhile.

    Raises ValueError when the run is over, or when the process that drives it has died.
    """
    path = _lock_of(home, run_id)
    with _locked(path.with_name("publishing"), fcntl.LOCK_SH):
        _require_unfinished(instance, run_id)
        if path.exists() and _free(path):
            raise ValueError(f"the process of run {run_id[:8]} died; nothing was published; {MEND}")
        yield


def end_dead(home: Path, instance: dg.DagsterInstance) -> list[str]:
    """End the runs whose process died without a word; returns their ids.

    A run is dead when its lock is free; or when it has none, and the server that was to start
    its worker is gone, or no process has taken it for half a minute. Queued runs wait for
    Dagster's daemon and are left alone, and so is every file that is not a run's lock.
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
                continue  # it lives
            reason = _why_dead(record)
            if reason and not RUN_ID.fullmatch(run_id):  # its worker refused it: it has no lock
                _report(instance, record.dagster_run, reason)
                ended.append(run_id)
            elif reason and _end(instance, path, reason, os.O_CREAT | os.O_EXCL):
                ended.append(run_id)
    return ended


def _lock_of(home: Path, run_id: str) -> Path:
    """A run's lock file, its folder made. Raises ValueError for a name that is no run id."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"run id={run_id!r}: not one that Dagster gives; launch it without an id")
    folder = home / "running"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / run_id


@contextlib.contextmanager
def _locked(path: Path, how: int, opening: int = os.O_CREAT) -> Iterator[bool]:
    """Lock a file, never touching its content; False where it is gone or somebody else's."""
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
    """Whether the locked file still bears its name: its last owner may have removed it."""
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
    """Lock a file alone, waiting a while for those who share it."""
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
    """Raise ValueError for a run that is over, or (unless ``unknown`` is right) was deleted."""
    run = instance.get_run_by_id(run_id)
    if run is None and not unknown:
        raise ValueError(f"run {run_id[:8]} was deleted; nothing was published; {MEND}")
    if run is not None and run.is_finished:
        status = run.status.value.lower()
        raise ValueError(f"run {run_id[:8]} is over ({status}); nothing was published; {MEND}")


def _unfinished(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """The runs that claim to be on their way."""
    import dagster as dg

    statuses = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    return list(instance.get_run_records(dg.RunsFilter(statuses=statuses)))


def _why_dead(record: dg.RunRecord) -> str | None:
    """Why a run without a lock cannot be alive, or None."""
    address = record.dagster_run.tags.get(CODE_SERVER)
    if address is not None:
        return None if _listens(address) else "its process and its code server died"
    # Since its last word, for it may have waited in the queue before it was launched.
    silent = time.time() - record.update_timestamp.timestamp()
    return "no process drives it" if silent > UNCLAIMED_SECONDS else None


def _listens(address: str) -> bool:
    """Whether a code server of this machine accepts connections. A wrong address is nobody's."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError, OverflowError):
        told = json.loads(address)
        unix = told.get("socket")
        place = str(unix) if unix else ("127.0.0.1", int(told["port"]))
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(2)
            try:
                probe.connect(place)
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            except OSError:
                return True  # too busy to answer is not dead
        return True
    return False


def _end(instance: dg.DagsterInstance, path: Path, reason: str, opening: int = 0) -> bool:
    """End the run of a free lock and remove the lock; False where it is held, or it was over."""
    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, opening) as mine:
        if not mine:
            return False
        run = instance.get_run_by_id(path.name)
        dead = run is not None and not run.is_finished
        if run is not None and dead:
            _report(instance, run, reason)
        path.unlink(missing_ok=True)
        return dead


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> None:
    told = f"{reason} (it was killed, or the machine restarted); {MEND}"
    if run.status.value == "CANCELING":
        instance.report_run_canceled(run, told)
    else:
        instance.report_run_failed(run, told)
    log.info("run %s: %s", run.run_id[:8], reason)


@contextlib.contextmanager
def watched_runs(home: Path) -> Iterator[threading.Event]:
    """End the runs whose process died: before the block, now and then in it, and after it.

    Yields what is set when all is to end.
    """
    import dagster as dg

    ending = threading.Event()

    def look() -> None:
        try:
            end_dead(home, instance)
        except Exception as error:  # a busy database: the next look finds them as well
            log.warning("runs whose process died cannot be ended now: %s", error)

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
