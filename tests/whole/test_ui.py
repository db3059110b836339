"""The pages: Dagster's graph materializes, shows pictures and lineage; MLflow shows the runs."""

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
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
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

MUTATION = (
    'launchPipelineExecution(executionParams:{selector:{repositoryLocationName:"dragon",'
    'repositoryName:"__repository__",jobName:"__ASSET_JOB"},runConfigData:{},mode:"default"})'
    "{__typename}"
)
JSON = ("Content-Type", "application/json")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages:
    """Both servers of ``dragon ui`` in places of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dagster, self.mlflow = free_port(), free_port()
        self.store = folder / "store"
        self.environment = {
            **os.environ,
            "DRAGON_HOME": str(folder / "home"),
            "DRAGON_STORE": str(self.store),
            "OMP_NUM_THREADS": "1",
        }
        command = ["ui", "--port", str(self.dagster), "--mlflow-port", str(self.mlflow)]
        self.log = (folder / "log").open("w+")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:  # as a shell starts it in the background
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from pipelines.cli.main import run; run()", *command],
                cwd=ROOT,
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


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    started = Pages(tmp_path_factory.mktemp("ui"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


def test_the_ui_materializes_what_the_store_then_holds(pages: Pages) -> None:
    keys = ("toy_messages/raw_text", "toy_messages/documents")
    assert pages.materialize(*keys) == "SUCCESS"
    for key in keys:
        event = pages.latest(key)
        tags = {tag["key"]: tag["value"] for tag in event["tags"]}
        current = (pages.store / key / "current").resolve()
        assert tags["dagster/data_version"] == current.name
    pictures = [e["mdStr"] for e in event["metadataEntries"] if e["label"] == "lengths"]
    assert pictures[0].startswith("![picture](data:image/png;base64,")


def test_no_other_sites_page_reaches_it(pages: Pages) -> None:
    launch = "/dagster/graphql?query=" + urllib.parse.quote("mutation{" + MUTATION + "}")

    def status(
        path: str, *headers: tuple[str, str], body: bytes | None = None, port: int = pages.dagster
    ) -> int:
        address = f"http://127.0.0.1:{port}{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, body, dict(headers)), timeout=60
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    before = pages.ask("{runsOrError{... on Runs{results{runId}}}}")
    evil = ("Host", "evil.example"), ("Origin", "https://evil.example")
    for header in (*evil, ("Sec-Fetch-Site", "cross-site")):
        assert status("/", header) == 403
        assert status(launch, header) == 403
        assert status("/dagster/graphql", header, JSON, body=b'{"query": "{version}"}') == 403
    assert status(launch) == 405
    assert status(launch, body=b"") == 415  # a form
    assert status("/dagster/graphql", ("Content-Type", "text/plain"), body=b"{}") == 415
    assert status("/") == status("/dagster") == 200
    runs = "/api/2.0/mlflow/experiments/search"
    for header in (*evil, ("Sec-Fetch-Site", "cross-site")):
        assert status("/", header, port=pages.mlflow) == 403
        assert status(runs, header, JSON, body=b'{"max_results": 1}', port=pages.mlflow) == 403
    assert status(runs, ("Content-Type", "text/plain"), body=b"{}", port=pages.mlflow) == 415
    assert status("/graphql?query={x}", port=pages.mlflow) == 405
    assert status(runs, JSON, body=b'{"max_results": 1}', port=pages.mlflow) == 200
    assert pages.ask("{runsOrError{... on Runs{results{runId}}}}") == before


@pytest.mark.slow
def test_a_person_materializes_and_sees_curve_and_lineage(pages: Pages) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    parents = [f"toy_dialogues/{name}" for name in ("raw_text", "documents")]
    assert pages.materialize(*parents, "tiny/tokenizer", "tiny/token_shards") == "SUCCESS"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        address = f"http://127.0.0.1:{pages.dagster}/dagster/assets/tiny/foundation"
        page.goto(f"{address}?view=lineage", timeout=60_000)
        page.locator("button:has-text('Materialize')").first.click(timeout=90_000)
        made, deadline = pages.store / "tiny/foundation/current", time.monotonic() + 300
        while time.monotonic() < deadline and not made.exists():
            time.sleep(2)
        page.goto(f"{address}?view=overview", timeout=60_000)
        page.get_by_text("loss", exact=True).first.wait_for(timeout=90_000)
        page.get_by_text("final_training_loss").first.wait_for(timeout=60_000)
        page.goto(f"{address}?view=lineage", timeout=60_000)
        page.get_by_text("tiny").first.wait_for(timeout=60_000)
        runs = f"http://127.0.0.1:{pages.mlflow}/#/experiments/1/runs?workflowType=machine_learning"
        page.goto(runs, timeout=60_000)
        page.get_by_text("matching runs").first.wait_for(timeout=60_000)
        browser.close()


def test_the_ui_ends_with_all_that_it_started(pages: Pages) -> None:
    assert len(pages.processes()) > 5
    began = time.monotonic()
    pages.end()
    assert pages.processes() == {}
    assert time.monotonic() - began < 20, "ten seconds, and as many for a busy machine"
    for port in (pages.dagster, pages.mlflow):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "a server outlived the command"


# Long before the store has it: data, tokens, and a training.
CHAIN = ("toy_dialogues/raw_text", "toy_dialogues/documents", "tiny/tokenizer")
CHAIN += ("tiny/token_shards", "tiny/foundation")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_runs_end_publish_nothing_and_go_on(tmp_path: Path) -> None:
    first = Pages(tmp_path)
    try:
        first.wait_until_ready()

        # Clicked twice: each asset is made once.
        asked = [first.launch(*CHAIN[:2]) for _ in range(2)]
        assert [first.await_run(run_id, 900) for run_id in asked] == ["SUCCESS", "SUCCESS"]
        assert [len(list((first.store / key).glob("?" * 64))) for key in CHAIN[:2]] == [1, 1]
        assert sum(made(first, run_id) for run_id in asked) == 2

        # A worker is killed in a training: its step ends with it and publishes nothing.
        run_id = first.launch(*CHAIN)
        within(900, lambda: list((first.store / ".work").glob("*/checkpoint.json")))
        steps = first.steps()
        os.kill(first.worker(), signal.SIGKILL)
        within(10, lambda: not set(steps) & set(first.processes()))
        assert first.await_run(run_id, 60) == "FAILURE"
        before = first.published()
        time.sleep(3)
        assert first.published() == before
        assert not (first.store / CHAIN[-1]).exists()

        # All is killed, as by a restart of the machine.
        run_id = first.launch(*CHAIN)
        within(900, first.steps)
        while left := first.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    finally:
        first.end()
    again = Pages(tmp_path)
    try:
        again.wait_until_ready()
        assert again.await_run(run_id, 60) == "FAILURE"
        assert again.materialize(*CHAIN, seconds=900) == "SUCCESS"
        # dragon ui itself is killed: what it started ends all the same.
        again.process.kill()
        within(10, lambda: not again.processes())
    finally:
        again.end()


def made(pages: Pages, run_id: str) -> int:
    """How many assets a run did not reuse."""
    with dg.DagsterInstance.from_config(str(pages.folder / "home" / "dagster")) as instance:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        events = [entry.asset_materialization for entry in instance.all_logs(run_id, of_type=kind)]
    return sum(not event.metadata["reused"].value for event in events)
