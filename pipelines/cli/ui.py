"""``dragon ui``: serves our pages, Dagster's and MLflow's on this machine until Ctrl-C.

Two ports are open: ours, which has Dagster below ``/dagster``, and MLflow's. A guard stands before
each (``pipelines.server.guard``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from pipelines.cli.ending import MARK, end, guard
from pipelines.core.project import CHECKOUT, PORT, Project
from pipelines.core.tracking import Tracker
from pipelines.core.tracking.names import masked
from pipelines.core.tracking.serving import environment
from pipelines.server.guard import LOOPBACK

log = logging.getLogger("dragon.ui")

START_SECONDS = 300
GRACE_SECONDS = 4.0  # for servers to end by themselves and for a training to report its end
QUIET = ["--log-level", "warning"]
PORTS = click.IntRange(1, 65535)
PYTHON = [sys.executable, "-P", "-m"]  # -P: no file of the project's folder is imported


@click.command()
@click.option(
    "--port", type=PORTS, default=PORT, show_default=True, help="The pages' port on this machine."
)
@click.option(
    "--mlflow-port",
    type=PORTS,
    default=5000,
    show_default=True,
    help="MLflow's port on this machine.",
)
def ui(port: int, mlflow_port: int) -> None:
    """Start the pages on this machine: ours, Dagster's and MLflow's.

    It prints their addresses. Ctrl-C ends all servers; if one of them ends, the others end too.
    """
    project = Project.here()
    tracker = Tracker(project.mlflow)
    ports = (
        {port: "--port"} if tracker.is_remote else {port: "--port", mlflow_port: "--mlflow-port"}
    )
    for number, option in ports.items():
        _require_free(number, option)
    project.prepare_dagster()
    print("Starting; the first start takes half a minute ...", flush=True)
    from pipelines.orchestration.runs import watched_runs

    tracker.initialise()
    tracker.replay()
    with (
        tempfile.TemporaryDirectory(prefix="dragon-") as folder,
        watched_runs(project.home) as ending,
        _servers(project, ending) as servers,
    ):
        mlflow = tracker.uri.rstrip("/")
        if not tracker.is_remote:
            mlflow = f"http://{LOOPBACK}:{mlflow_port}"
            servers.start("MLflow's server", [*PYTHON, "pipelines.server.tracking", mlflow_port])
        _start_dagster(servers, port, Path(folder), mlflow_port)
        for number in ports:
            servers.wait(partial(_answers, number), f"port {number}")
        if not ending.is_set():
            _say_where(project.serve_at(port), mlflow)
        while not ending.wait(0.5):
            servers.require_running()
        print("\nEnding.", flush=True)


def _say_where(pages: str, mlflow: str) -> None:
    print(f"\nOpen this:  {pages}   recipes, reports, trainings as they go on")
    print(f"Dagster:    {pages}/dagster")
    print(f"MLflow:     {pages}/mlflow   ({masked(mlflow)})")
    print("\nCtrl-C ends these servers.", flush=True)


class _Servers:
    """The started servers, by name. They and all their child processes carry one mark."""

    def __init__(self, project: Project, ending: threading.Event) -> None:
        self.project, self.ending = project, ending
        self.mark = uuid.uuid4().hex
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[object]) -> None:
        """Start a server, unless ``ending`` is set."""
        if self.ending.is_set():
            return
        self.processes[name] = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.project.root,
            env={**os.environ, **environment(), "PYTHONWARNINGS": "ignore", MARK: self.mark},
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends them
        )

    def require_running(self) -> None:
        """Raise ValueError naming a server that has ended by itself."""
        for name, server in self.processes.items():
            if server.poll() is not None:
                raise ValueError(
                    f"{name} ended with code {server.returncode}; its messages are above"
                )

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until ``ready()`` is true or ``ending`` is set.

        Raises ValueError naming ``what`` after ``START_SECONDS``.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self.ending.is_set():
            self.require_running()
            if ready():
                return
            self.ending.wait(0.3)
        if not self.ending.is_set():
            raise ValueError(f"{what} does not answer after {START_SECONDS} s")


@contextlib.contextmanager
def _servers(project: Project, ending: threading.Event) -> Iterator[_Servers]:
    """Yield an empty group of servers; at the end of the block they and their children end."""
    servers = _Servers(project, ending)
    _end_by_signals(ending)
    last = guard(servers.mark)
    try:
        yield servers
    finally:
        end(servers.mark, servers.processes.values(), GRACE_SECONDS)
        last.communicate()


def _end_by_signals(ending: threading.Event) -> None:
    """Let SIGINT, SIGTERM and SIGHUP set an event; later signals do not interrupt the ending.

    SIGINT is handled even if the shell ignores it for a background job: Dagster and its children
    would inherit that and then ignore SIGTERM too. A command under nohup goes on after SIGHUP.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: ending.set())


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise ValueError(f"port {port} is taken; choose another with {option}") from None


def _start_dagster(servers: _Servers, port: int, folder: Path, mlflow_port: int) -> None:
    """Start the code server; when it answers, start the daemon and the guarded pages, which use it.

    ``dagster dev`` starts the same three servers, but its pages answer every request. The code
    server runs any code on request, so it listens on a socket in ``folder``, which no other user
    can enter.
    """
    workspace, code = folder / "workspace.yaml", folder / "code"
    location = {"location_name": "dragon", "socket": str(code)}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))
    module = ["-m", "pipelines.definitions", "-d", CHECKOUT, "--location-name", "dragon"]
    command = [*PYTHON, "dagster", "code-server", "start", *module, "-s", code, *QUIET]
    servers.start("Dagster's code server", command)
    servers.wait(code.exists, "Dagster's code server")
    servers.start("Dagster's daemon", [*PYTHON, "dagster._daemon", "run", "-w", workspace, *QUIET])
    front = [*PYTHON, "pipelines.orchestration.front", workspace, port, mlflow_port]
    servers.start("the page server", front)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
