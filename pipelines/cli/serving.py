"""``dragon ui``: Dagster's and MLflow's pages on the loopback interface, as one foreground job."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.cli.ending import MARK, end, guard
from pipelines.project import CHECKOUT, Project
from pipelines.tracking import Tracker

log = logging.getLogger("dragon.ui")

LOOPBACK = "127.0.0.1"
START_SECONDS = 300
GRACE_SECONDS = 4.0  # for servers to end by themselves and for a training's last words
LOOK_SECONDS = 5.0  # between two looks for runs whose process died

Servers = Mapping[str, subprocess.Popen[bytes]]


def serve(port: int, mlflow_port: int) -> None:
    """Start both, say where they are, and end both when one ends or a person says so."""
    project = Project.here()
    for number, option in ((port, "--port"), (mlflow_port, "--mlflow-port")):
        _require_free(number, option)
    project.prepare_dagster()
    tracker = Tracker(project.mlflow)
    print("Starting; the first start takes half a minute ...", flush=True)
    tracker.initialise()
    binaries = Path(sys.executable).parent
    workspace = CHECKOUT / "workspace.yaml"
    commands: dict[str, Sequence[object]] = {
        "Dagster": [binaries / "dagster", "dev", "-w", workspace, "-h", LOOPBACK, "-p", port],
        "MLflow": [binaries / "mlflow", "server", "--backend-store-uri", tracker.uri,
                   "--artifacts-destination", tracker.artifacts, "--host", LOOPBACK,
                   "--port", mlflow_port, "--workers", 1],
    }  # fmt: skip
    with _watched_runs(project) as ending, _started(commands, project, ending) as servers:
        for number in (port, mlflow_port):
            _wait(number, servers, ending)
        if not ending.is_set():
            print(f"\nDagster:  http://{LOOPBACK}:{port}/asset-groups")
            print(f"MLflow:   http://{LOOPBACK}:{mlflow_port}\n\nCtrl-C ends both.", flush=True)
        while not ending.wait(0.5):
            _require_running(servers)
        print("\nEnding.", flush=True)


@contextlib.contextmanager
def _watched_runs(project: Project) -> Iterator[threading.Event]:
    """End the runs whose process died: before the block, now and then in it, and after it.

    Yields what is set when all is to end.
    """
    import dagster as dg

    from pipelines.runs import end_dead

    ending = threading.Event()

    def look() -> None:
        try:
            end_dead(project.home, instance)
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


@contextlib.contextmanager
def _started(
    commands: Mapping[str, Sequence[object]], project: Project, ending: threading.Event
) -> Iterator[Servers]:
    """Some servers by name, which end with all that they started when the block does."""
    mark = uuid.uuid4().hex
    _end_by_signals(ending)
    last = guard(mark)
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            servers[name] = _start(command, project, mark)
        yield servers
    finally:
        end(mark, servers.values(), GRACE_SECONDS)
        last.communicate()


def _end_by_signals(ending: threading.Event) -> None:
    """Have the first of any number of signals set an event; none interrupts the ending itself.

    SIGINT too, where the shell had it ignored (in the background): who inherits that, Dagster
    and its children, would ignore SIGTERM as well. A command under nohup goes on after SIGHUP.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: ending.set())


def _start(command: Sequence[object], project: Project, mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=project.root,
        # MLflow's job runners (for its GenAI features) are eight idle processes that nobody uses.
        env={
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            MARK: mark,
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, who ask them to end in our own way
    )


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise ValueError(f"port {port} is taken; choose another with {option}") from None


def _require_running(servers: Servers) -> None:
    """Raise ValueError naming a server that ended by itself."""
    for name, server in servers.items():
        if server.poll() is not None:
            raise ValueError(f"{name}'s server ended with code {server.returncode}; see above")


def _wait(port: int, servers: Servers, ending: threading.Event) -> None:
    """Until somebody answers on a port, or the end is asked for."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not ending.is_set():
        _require_running(servers)
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        ending.wait(0.3)
    if not ending.is_set():
        raise ValueError(f"nothing answers on port {port} after {START_SECONDS} s")
