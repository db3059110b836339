"""``dragon ui``: Dagster's and MLflow's pages on the loopback interface, as one foreground job."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.project import CHECKOUT, Project
from pipelines.tracking import Tracker

LOOPBACK = "127.0.0.1"
START_SECONDS = 120


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
    servers = [
        _start([binaries / "dagster", "dev", "-w", workspace, "-h", LOOPBACK, "-p", port]),
        _start(
            [binaries / "mlflow", "server", "--backend-store-uri", tracker.uri,
             "--artifacts-destination", tracker.artifacts, "--host", LOOPBACK,
             "--port", mlflow_port, "--workers", 1]
        ),
    ]  # fmt: skip
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(0))
    try:
        for number in (port, mlflow_port):
            _wait(number, servers)
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


def _wait(port: int, servers: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(server.poll() is not None for server in servers):
            raise ValueError("a server ended while it started; see above")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.3)
    raise ValueError(f"nothing answers on port {port} after {START_SECONDS} s")


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
