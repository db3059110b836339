"""The guard before Dagster's pages: what another site's page, or a foreign name, can send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.project import Project
from pipelines.orchestration.graph import build
from pipelines.recipe.loading import load_recipe
from pipelines.server.guard import Guard

PORT = 3000
OURS = ("127.0.0.1:3000", "localhost:3000", "[::1]:3000", "LOCALHOST:3000")
JSON = {"content-type": "application/json"}
LAUNCH = b"query=mutation%7BlaunchPipelineExecution(executionParams:%7B%7D)%7B__typename%7D%7D"


def ask(
    *headers: tuple[str, str],
    kind: str = "http",
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
) -> int:
    """The status that a request is answered with; 200, and 101 for a socket, if it was let in."""
    said: list[dict[str, Any]] = []

    async def pages(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    asyncio.run(Guard(pages, PORT)(scope, receive, send))
    if kind == "websocket":
        return 101 if said == [{"type": "websocket.accept"}] else 403
    return int(said[0]["status"])


def host(name: str = OURS[0]) -> tuple[str, str]:
    return "host", name


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_its_own_pages_and_programs_of_this_machine_are_let_in(name: str, kind: str) -> None:
    let_in = 101 if kind == "websocket" else 200
    assert ask(host(name), kind=kind) == let_in
    for site in ("same-origin", "none"):
        own = (("origin", f"http://{name}"), ("sec-fetch-site", site))
        assert ask(host(name), *own, kind=kind) == let_in
        posted = (*own, ("content-type", "application/json; charset=utf-8"))
        if kind == "http":
            assert ask(host(name), *posted, method="POST", path="/graphql") == 200


FOREIGN = [
    "evil.example",
    "evil.example:3000",
    "127.0.0.1.evil.example:3000",
    "127.0.0.1:3001",
    "127.0.0.1",
    "localhost",
    "localhost.:3000",
    "0.0.0.0:3000",
    "127.0.0.1:3000@evil.example",
    "127.0.0.1:3000, evil.example",
    " 127.0.0.1:3000",
    "",
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_foreign_name_is_refused(name: str, kind: str) -> None:
    assert ask(host(name), kind=kind) == 403
    assert ask(host(), ("origin", f"http://{name}"), kind=kind) == 403
    assert ask(host(), ("origin", f"https://{name}"), kind=kind) == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_no_host_two_hosts_and_two_origins_are_refused(kind: str) -> None:
    assert ask(kind=kind) == 403
    assert ask(host(), host(), kind=kind) == 403
    assert ask(host(), host("evil.example"), kind=kind) == 403
    ours, evil = ("origin", "http://127.0.0.1:3000"), ("origin", "https://evil.example")
    for origins in ((ours, evil), (evil, ours), (("origin", "null"),)):
        assert ask(host(), *origins, kind=kind) == 403


@given(st.text(st.characters(max_codepoint=255), max_size=30), st.sampled_from(["host", "origin"]))
def test_no_other_text_is_a_name_of_this_server(text: str, header: str) -> None:
    given = text if header == "host" else f"http://{text}"
    expected = 200 if text.lower() in {name.lower() for name in OURS} else 403
    others = () if header == "host" else (host(),)
    assert ask(*others, (header, given)) == expected


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "none, cross-site", ""])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_another_sites_page_asks_is_refused(site: str, kind: str) -> None:
    assert ask(host(), ("sec-fetch-site", site), kind=kind) == 403
    own = ("sec-fetch-site", "same-origin")
    assert ask(host(), own, ("sec-fetch-site", site), kind=kind) == 403


LINK = ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")


def test_a_link_of_another_port_of_this_machine_can_be_followed() -> None:
    near, far = ("sec-fetch-site", "same-site"), ("sec-fetch-site", "cross-site")
    assert ask(host(), near, *LINK) == 200
    assert ask(host(), far, *LINK) == 403
    assert ask(host(), near, far, *LINK) == 403
    assert ask(host(), near, *LINK, method="POST") == 403
    assert ask(host(), near, *LINK, ("origin", "http://127.0.0.1:5000")) == 403
    for part in LINK:
        assert ask(host(), near, part) == 403
    frame = (LINK[0], ("sec-fetch-dest", "iframe"))
    assert ask(host(), near, *frame) == 403
    launch = {"path": "/dagster/graphql", "query": LAUNCH}
    assert ask(host(), near, *LINK, **launch) == 405  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/graphql\n", "/dagster/graphql"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_picture_starts_no_run(path: str, method: str) -> None:
    assert ask(host(), method=method, path=path, query=LAUNCH) == 405
    assert ask(host(), ("accept", "text/html"), method=method, path=path, query=LAUNCH) == 405


def test_the_pages_own_addresses_are_let_in() -> None:
    assert ask(host(), path="/graphql") == 200
    assert ask(host(), path="/assets/foundation/chat", query=b"view=lineage") == 200


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "text/plain; application/json",  # a form may say so without being asked first
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json, text/plain",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/foundation/chat"])
def test_a_form_changes_nothing(kind: str | None, path: str) -> None:
    given = () if kind is None else (("content-type", kind),)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(host(), *given, method=method, path=path, query=LAUNCH) == 415
    assert ask(host(), *JSON.items(), *given, method="POST", path=path) == (
        200 if not given else 415
    )


def test_the_server_itself_starts_and_ends() -> None:
    reached = []

    async def pages(scope: Any, *_: Any) -> None:
        reached.append(scope["type"])

    asyncio.run(Guard(pages, PORT)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert reached == ["lifespan"]


def test_places_are_no_run_configuration(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    job = build(project, [load_recipe(recipe_file())]).resolve_implicit_global_asset_job_def()
    dg.validate_run_config(job, {})
    chosen = str(tmp_path / "chosen")
    for resource in ("store", "tracker"):
        for config in ({"store": chosen}, {"root": chosen}, {"folder": chosen}, chosen):
            with pytest.raises(dg.DagsterInvalidConfigError, match=resource):
                dg.validate_run_config(job, {"resources": {resource: {"config": config}}})
