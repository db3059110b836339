"""``dragon ui`` in places of its own, for tests: its servers, what Dagster answers, a browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LATEST = """
query($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) {
    ... on Asset { assetMaterializations(limit: 1) {
      tags { key value }
      metadataEntries { label ... on MarkdownMetadataEntry { mdStr } }
    } }
  }
}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages:
    """Both servers of ``dragon ui`` in places of their own; ``root`` has the recipes."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        self.dagster, self.mlflow = free_port(), free_port()
        self.store = folder / "store"
        self.environment = {
            **os.environ,
            "DRAGON_HOME": str(folder / "home"),
            "DRAGON_STORE": str(self.store),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        command = ["ui", "--port", str(self.dagster), "--mlflow-port", str(self.mlflow)]
        self.log = (folder / "log").open("w+")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:  # as a shell starts it in the background
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from pipelines.cli.main import run; run()", *command],
                cwd=root,
                env=self.environment,
                stdout=self.log,
                stderr=subprocess.STDOUT,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def wait_until_ready(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if "Ctrl-C ends these servers" in Path(self.log.name).read_text():
                return
            time.sleep(0.5)
        raise AssertionError(Path(self.log.name).read_text())

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dagster}/dagster/graphql",
            body,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def materialize(self, *keys: str, seconds: float = 300) -> str:
        return self.await_run(self.launch(*keys), seconds)

    def launch(self, *keys: str) -> str:
        """A run's id; Dagster starts it when it is its turn."""
        selector = {
            "repositoryLocationName": "dragon",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": key.split("/")} for key in keys],
        }
        launched = self.ask(
            LAUNCH, parameters={"selector": selector, "runConfigData": {}, "mode": "default"}
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def await_run(self, run_id: str, seconds: float = 300) -> str:
        deadline = time.monotonic() + seconds
        status = ""
        while time.monotonic() < deadline:
            status = self.ask(STATUS, id=run_id)["runOrError"]["status"]
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                break
            time.sleep(1)
        return status

    def latest(self, key: str) -> Any:
        found = self.ask(LATEST, key={"path": key.split("/")})
        return found["assetOrError"]["assetMaterializations"][0]

    def processes(self) -> dict[int, tuple[int, str]]:
        """(parent, command line) of all that lives in these places, by its environment."""
        self.process.poll()
        wanted, found = f"DRAGON_STORE={self.store}".encode(), {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = int(parent), line
        return found

    def steps(self) -> list[int]:
        """The processes of steps: forked by a fork server."""
        found = self.processes()
        forks = {pid for pid, (_, line) in found.items() if "multiprocessing.forkserver" in line}
        return [pid for pid in forks if found[pid][0] in forks]

    def worker(self) -> int:
        """The process of a run: the code server's child."""
        found = self.processes()
        servers = {pid for pid, (_, line) in found.items() if "api grpc" in line}
        (worker,) = [p for p, (up, line) in found.items() if up in servers and "spawn_main" in line]
        return worker

    def published(self) -> set[Path]:
        return {path for path in self.store.glob("[!.]*/**/*") if ".work" not in path.parts}

    def end(self) -> None:
        """By two signals: the second must not break off what the first began."""
        if self.process.poll() is None:
            for _ in range(2):
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            self.process.wait(timeout=60)
        self.log.close()


def within(seconds: float, holds: Callable[[], Any]) -> Any:
    """The first truth that comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped on a machine that has none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        try:
            yield browser
        finally:
            browser.close()
