"""The pages: Dagster's graph materializes, shows pictures and lineage; MLflow shows the runs."""

from __future__ import annotations

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

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
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from pipelines.cli.main import run; run()", *command],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_ready(self, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if "Ctrl-C ends both" in Path(self.log.name).read_text():
                return
            time.sleep(0.5)
        raise AssertionError(Path(self.log.name).read_text())

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dagster}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def materialize(self, *keys: str, seconds: float = 300) -> str:
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
        return self.await_run(launched["run"]["runId"], seconds)

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

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        self.log.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    started = Pages(tmp_path_factory.mktemp("ui"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


def test_the_ui_materializes_what_the_store_then_holds(pages: Pages) -> None:
    keys = ("raw_text/toy_messages", "documents/toy_messages")
    assert pages.materialize(*keys) == "SUCCESS"
    for key in keys:
        event = pages.latest(key)
        tags = {tag["key"]: tag["value"] for tag in event["tags"]}
        current = json.loads((pages.store / key / "current").read_text())
        assert tags["dagster/data_version"] == current["version"]
    pictures = [e["mdStr"] for e in event["metadataEntries"] if e["label"] == "lengths"]
    assert pictures[0].startswith("![picture](data:image/png;base64,")


def test_no_other_sites_page_reaches_it(pages: Pages) -> None:
    launch = "/graphql?query=" + urllib.parse.quote("mutation{" + MUTATION + "}")

    def status(path: str, *headers: tuple[str, str], body: bytes | None = None) -> int:
        address = f"http://127.0.0.1:{pages.dagster}{path}"
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
        assert status("/graphql", header, JSON, body=b'{"query": "{version}"}') == 403
    assert status(launch) == 405
    assert status(launch, body=b"") == 415  # a form
    assert status("/graphql", ("Content-Type", "text/plain"), body=b"{}") == 415
    assert status("/") == 200
    assert pages.ask("{runsOrError{... on Runs{results{runId}}}}") == before


@pytest.mark.slow
def test_a_person_materializes_and_sees_curve_and_lineage(pages: Pages) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    parents = [f"{kind}/toy_dialogues" for kind in ("raw_text", "documents")]
    assert pages.materialize(*parents, "tokenizer/tiny", "token_shards/tiny") == "SUCCESS"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        address = f"http://127.0.0.1:{pages.dagster}/assets/foundation/tiny"
        page.goto(f"{address}?view=lineage", timeout=60_000)
        page.locator("button:has-text('Materialize')").first.click(timeout=90_000)
        made, deadline = pages.store / "foundation/tiny/current", time.monotonic() + 300
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


def test_the_ui_ends_with_its_servers(pages: Pages) -> None:
    pages.end()
    for port in (pages.dagster, pages.mlflow):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "a server outlived the command"
