"""The servers of ``dragon ui``: they materialize, answer only this machine, and end with all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.whole.serving import Pages, within

MUTATION = (
    'launchPipelineExecution(executionParams:{selector:{repositoryLocationName:"dragon",'
    'repositoryName:"__repository__",jobName:"__ASSET_JOB"},runConfigData:{},mode:"default"})'
    "{__typename}"
)
JSON = ("Content-Type", "application/json")


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
    assert pictures == [f"![lengths](/pictures/{current.name}/lengths.png?w=440)"]


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
    return sum("reused" not in event.metadata for event in events)
