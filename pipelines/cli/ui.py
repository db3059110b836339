"""``dragon ui``: serves Dagster's and MLflow's pages on the loopback interface until Ctrl-C."""

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
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.tracking import Tracker
from pipelines.core.tracking.names import masked
from pipelines.orchestration.front import LOOPBACK

log = logging.getLogger("dragon.ui")

START_SECONDS = 300
GRACE_SECONDS = 4.0  # for servers to end by themselves and for a training to report its end
QUIET = ["--log-level", "warning"]
PORT = click.IntRange(1, 65535)


@click.command()
@click.option(
    "--port", type=PORT, default=3000, show_default=True, help="Dagster's port on this machine."
)
@click.option(
    "--mlflow-port",
    type=PORT,
    default=5000,
    show_default=True,
    help="MLflow's port on this machine.",
)
def ui(port: int, mlflow_port: int) -> None:
    """Start Dagster's and MLflow's pages on this machine.

    It prints their addresses. Ctrl-C ends both; if one of them ends, the other ends too.
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
        if not tracker.is_remote:
            _start_mlflow(servers, mlflow_port, tracker)
        _start_dagster(servers, port, Path(folder))
        for number in ports:
            servers.wait(partial(_answers, number), f"port {number}")
        if not ending.is_set():
            pages = masked(tracker.uri) if tracker.is_remote else f"http://{LOOPBACK}:{mlflow_port}"
            print(f"\nDagster:  http://{LOOPBACK}:{port}/asset-groups")
            print(f"MLflow:   {pages}\n\nCtrl-C ends these servers.", flush=True)
        while not ending.wait(0.5):
            servers.require_running()
        print("\nEnding.", flush=True)


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
            # MLflow would start eight idle job runners for its GenAI features, which we do not use.
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                MARK: self.mark,
            },
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


def _start_mlflow(servers: _Servers, port: int, tracker: Tracker) -> None:
    servers.start(
        "MLflow's server",
        [Path(sys.executable).with_name("mlflow"), "server", "--backend-store-uri", tracker.uri,
         "--artifacts-destination", tracker.artifacts, "--host", LOOPBACK,
         "--port", port, "--workers", 1],
    )  # fmt: skip


def _start_dagster(servers: _Servers, port: int, folder: Path) -> None:
    """Start the code server; when it answers, start the daemon and the guarded pages, which use it.

    ``dagster dev`` starts the same three servers, but its pages answer every request. The code
    server runs any code on request, so it listens on a socket in ``folder``, which no other user
    can enter.
    """
    workspace, code = folder / "workspace.yaml", folder / "code"
    location = {"location_name": "dragon", "socket": str(code)}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))
    module = ["-m", "pipelines.definitions", "-d", CHECKOUT, "--location-name", "dragon"]
    python = [sys.executable, "-P", "-m"]  # -P: no file of the project's folder is imported
    command = [*python, "dagster", "code-server", "start", *module, "-s", code, *QUIET]
    servers.start("Dagster's code server", command)
    servers.wait(code.exists, "Dagster's code server")
    servers.start("Dagster's daemon", [*python, "dagster._daemon", "run", "-w", workspace, *QUIET])
    servers.start(
        "Dagster's page server", [*python, "pipelines.orchestration.front", workspace, port]
    )


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
