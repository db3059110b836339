"""``dragon ui``: Dagster's and MLflow's pages on the loopback interface, as one foreground job."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipelines.cli.front import LOOPBACK
from pipelines.project import CHECKOUT, Project
from pipelines.tracking import Tracker

START_SECONDS = 120
QUIET = ["--log-level", "warning"]


def serve(port: int, mlflow_port: int) -> None:
    """Start both, say where they are, and end both when one ends or a person says so."""
    project = Project.here()
    for number, option in ((port, "--port"), (mlflow_port, "--mlflow-port")):
        _require_free(number, option)
    project.prepare_dagster()
    tracker = Tracker(project.mlflow)
    print("Starting; the first start takes half a minute ...", flush=True)
    tracker.initialise()
    servers: list[subprocess.Popen[bytes]] = []
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(0))
    try:
        servers.append(_start_mlflow(mlflow_port, tracker))
        for server in _start_dagster(port):
            servers.append(server)  # each at once: what is started is ended, whatever comes next
        for number in (port, mlflow_port):
            _wait(partial(_answers, number), servers, f"port {number}")
        print(f"\nDagster:  http://{LOOPBACK}:{port}/asset-groups")
        print(f"MLflow:   http://{LOOPBACK}:{mlflow_port}\n\nCtrl-C ends both.", flush=True)
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nEnding.")
    finally:
        _end(servers)
    codes = [server.returncode for server in servers]
    if any(code not in (0, -signal.SIGTERM, -signal.SIGINT) for code in codes):
        raise ValueError(f"the servers (Dagster, MLflow) ended with {codes}; see above")


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise ValueError(f"port {port} is taken; choose another with {option}") from None


def _start_mlflow(port: int, tracker: Tracker) -> subprocess.Popen[bytes]:
    return _start(
        [Path(sys.executable).with_name("mlflow"), "server", "--backend-store-uri", tracker.uri,
         "--artifacts-destination", tracker.artifacts, "--host", LOOPBACK,
         "--port", port, "--workers", 1]
    )  # fmt: skip


def _start_dagster(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The code server, and once it answers the daemon and the guarded pages, which share it.

    ``dagster dev`` starts the same three, but its pages answer whoever asks. The code server
    listens on a socket in a folder that is ours alone: it runs whatever it is asked to run.
    """
    folder = Path(tempfile.mkdtemp(prefix="dragon-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    workspace, code = folder / "workspace.yaml", folder / "code"
    location = {"location_name": "dragon", "socket": str(code)}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))
    module = ["-m", "pipelines.definitions", "-d", CHECKOUT, "--location-name", "dragon"]
    python = [sys.executable, "-P", "-m"]  # -P: no file of the project's folder is imported
    server = _start([*python, "dagster", "code-server", "start", *module, "-s", code, *QUIET])
    yield server
    _wait(code.exists, [server], "Dagster's code server")
    yield _start([*python, "dagster._daemon", "run", "-w", workspace, *QUIET])
    yield _start([*python, "pipelines.cli.front", workspace, port])


def _start(command: Sequence[object]) -> subprocess.Popen[bytes]:
    # A session of its own: its children get our signal too, and none is left behind.
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=Project.here().root,
        # MLflow's job runners (for its GenAI features) are eight idle processes that nobody uses.
        env={
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait(ready: Callable[[], bool], servers: Sequence[subprocess.Popen[bytes]], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(server.poll() is not None for server in servers):
            raise ValueError("a server ended while it started; see above")
        if ready():
            return
        time.sleep(0.3)
    raise ValueError(f"{what} does not answer after {START_SECONDS} s")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _end(servers: Sequence[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
    for server in servers:
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
