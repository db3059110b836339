"""MLflow's page opens on trainings; everything else that MLflow answers stays as it is."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from pipelines.server.tracking import PRESET, Preset

PAGE = "<!doctype html><html><head><title>MLflow</title></head><body></body></html>"


@pytest.fixture(scope="module")
def client() -> TestClient:
    def page(_: Request) -> Response:
        return HTMLResponse(PAGE, headers={"etag": "x"})

    def unchanged(_: Request) -> Response:
        return Response(status_code=304)

    routes = [
        Route("/", page),
        Route("/api", lambda _: JSONResponse({"head": "<head>"})),
        Route("/other", unchanged),
    ]
    return TestClient(Preset(Starlette(routes=routes)))


def test_the_page_begins_with_the_presets(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["etag"] == "x"
    assert int(answer.headers["content-length"]) == len(answer.content)
    before, script, after = answer.text.partition("</script>")
    assert before.startswith("<!doctype html><html><head><script>")
    assert json.dumps(PRESET) in before
    assert script + after == "</script>" + PAGE.partition("<head>")[2]


def test_other_answers_are_mlflows(client: TestClient) -> None:
    assert client.get("/api").json() == {"head": "<head>"}
    assert client.get("/other").status_code == 304
    assert client.head("/").text == ""
