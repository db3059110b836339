"""Our pages: every link works, nothing runs or changes by a look, and faults are told in words."""

from __future__ import annotations

import base64
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.core.tracking.live import MOST, Watch
from pipelines.core.tracking.spool import Spool
from pipelines.core.work import seal
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage.views import open_current
from pipelines.server.app import POLICY, application
from pipelines.server.guard import Guard
from pipelines.server.site import Run, Site
from pipelines.training.artefacts import Checkpoint
from tests.conftest import Chain

ORIGIN = "http://127.0.0.1:3000"
RUNS = {
    "tiny": [Run("0" * 8 + "-0", "success", 1_700_000_000.0, 1_700_000_075.0)],
    "bert": [Run("1" * 8 + "-1", "started", 1_700_000_100.0, None)],
    "chat": [Run("2" * 8 + "-2", "failure", 1_600_000_000.0, 1_600_000_003.0)],
}


async def no_dagster(scope: Any, _: Any, send: Any) -> None:
    """Stands for Dagster: it answers every request below its path."""
    found = scope["path"].startswith("/dagster")
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def client_of(project: Project, runs: Callable[[str], Sequence[Run]] | None = None) -> TestClient:
    site = Site(project, "http://127.0.0.1:9", runs or (lambda name: RUNS.get(name, [])))
    return TestClient(
        Guard(application(site, no_dagster), 3000), base_url=ORIGIN, follow_redirects=False
    )


@pytest.fixture(scope="module")
def client(chain: Chain) -> TestClient:
    return client_of(chain.project)


class Links(HTMLParser):
    """The addresses that a page links to and shows, and the ids of its parts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("href", "src"):
            if given.get(name) and tag != "link":
                self.links.add(given[name] or "")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag == "script":
            self.scripts.append(given)


def walk(client: TestClient, start: str) -> Iterator[tuple[str, str]]:
    """Every page of ours that can be reached, with its content; Dagster's and MLflow's are left."""
    waiting, seen = [start], {start}
    while waiting:
        place = waiting.pop()
        answer = client.get(place)
        assert answer.status_code == 200, (place, answer.status_code, answer.text[-300:])
        if "text/html" not in answer.headers["content-type"]:
            continue
        yield place, answer.text
        for found in Links(answer.text).links:
            bare = found.partition("#")[0]
            inner = bare.startswith("/") and not re.match(r"/(dagster|mlflow)(/|$)", bare)
            if inner and bare not in seen:
                seen.add(bare)
                waiting.append(bare)


def test_every_link_of_every_page_leads_somewhere(client: TestClient, chain: Chain) -> None:
    pages = dict(walk(client, "/"))
    keys = Store(chain.root).keys()
    assert {f"/assets/{key}" for key in keys} <= set(pages)
    assert {f"/trace/{key}" for key in keys} <= set(pages)
    assert {"/", "/live", "/recipes/tiny", "/recipes/chat", "/reports/tiny"} <= set(pages)
    for place, content in pages.items():
        found = Links(content)
        assert len(found.ids) == len(set(found.ids)), place
        for address in found.links:
            assert re.match(r"[/#]|data:", address), (place, address)
            if address.startswith("#"):
                assert address[1:] in found.ids, (place, address)


def test_the_documents_of_a_model_have_a_page(client: TestClient, chain: Chain) -> None:
    page = client.get("/documents/tiny/foundation").text
    draws = list(Store(chain.root).current("tiny/foundation", Checkpoint).draws())
    assert f"What tiny/foundation read: {len(draws):,} documents" in page
    first = next(draw for draw in draws if draw.first_step == 1)
    assert f"<td>{first.document_id}</td>" in page
    below = client.get("/documents/tiny/toy_reply_assistant").text
    assert "What tiny/toy_reply_assistant read" in below
    assert "What tiny/foundation read" in below, "the text of what it was fine-tuned from too"
    assert client.get("/documents/tiny/nothing").status_code == 404


def test_the_difference_to_the_version_before_has_a_page(copy: Chain) -> None:
    client = client_of(copy.project)
    page = client.get("/diff/tiny/foundation").text
    assert "It is the first version of this asset." in page
    store = copy.store
    record = store.current_record("tiny/foundation_evaluation")
    decides = {**record.decides, "recipe": {"samples": ["<b>another</b>"]}}
    changed = replace(record, decides=decides, made={**record.made, "finished": "2099"})
    with store.work("tiny/foundation_evaluation", changed.derivation) as work:
        draft = work.draft()
        for file in store.folder(record.version).iterdir():
            shutil.copy(file, draft)
        (draft / "manifest.json").unlink()
        seal(draft)
        store.publish("tiny/foundation_evaluation", draft, changed)
    page = client.get("/diff/tiny/foundation_evaluation").text
    assert "dragon diff tiny/foundation_evaluation@" in page
    assert "<b>another</b>" not in page


def test_a_page_runs_nothing_but_the_script_of_the_live_page(client: TestClient) -> None:
    for place in ("/", "/assets/tiny/foundation", "/reports/tiny", "/trace/tiny/foundation"):
        answer = client.get(place)
        assert answer.headers["content-security-policy"] == POLICY
        assert Links(answer.text).scripts == []
    (script,) = Links(client.get("/live").text).scripts
    assert script["src"] == "/live.js"
    assert client.get("/live.js").headers["content-type"].startswith("text/javascript")


def test_home_tells_state_and_figures(client: TestClient) -> None:
    page = client.get("/").text
    assert (
        page.index('id="recipe-bert"')
        < page.index('id="recipe-tiny"')
        < page.index('id="recipe-chat"')
    ), "the newest run first"
    assert "bits per byte" in page
    assert '<span class="good">success</span>, 2023-11-14 22:13 UTC, 1 min 15 s' in page
    assert "Never run" in page


def test_pictures_are_drawn_for_a_version(client: TestClient, chain: Chain) -> None:
    version = Store(chain.root).current_record("tiny/foundation").version
    answer = client.get(f"/pictures/{version}/loss.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    narrow = client.get(f"/pictures/{version}/loss.png?w=440")
    assert narrow.content.startswith(b"\x89PNG")
    assert int.from_bytes(narrow.content[16:20], "big") == 440
    for place in (
        f"/pictures/{version}/nothing.png",
        f"/pictures/{'0' * 64}/loss.png",
        "/pictures/..%2f..%2fetc/passwd.png",
        "/assets/tiny/nothing",
        "/assets/..%2f..%2fetc/passwd",
        "/assets/Tiny/Foundation",
        "/trace/tiny/nothing",
        "/reports/bert",
        "/recipes/nothing",
        "/recipes/%3Cscript%3E",
        "/nothing",
        "/dagster_of_another_name",
    ):
        missing = client.get(place)
        assert missing.status_code == 404, place
        assert "<main" in missing.text or place.startswith("/pictures"), place
        assert "<script" not in missing.text


def test_a_lineage_can_be_verified_on_its_page(client: TestClient, copy: Chain) -> None:
    quick = client.get("/trace/tiny/toy_reply_assistant").text
    assert "Hash every byte again" in quick
    assert "Verified" in client.get("/trace/tiny/toy_reply_assistant?verify=yes").text
    for part in ("toy_dialogues/raw_text", "The first documents of the training split"):
        assert part in quick
    store = Store(copy.root)
    weights = open_current(store, "tiny/foundation").folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    answer = client_of(copy.project).get("/trace/tiny/toy_reply_assistant?verify=yes")
    assert answer.status_code == 500
    assert "model.safetensors: sha256 is" in answer.text


def test_a_corrupt_version_does_not_hide_the_others(copy: Chain) -> None:
    store = Store(copy.root)
    findings = open_current(store, "tiny/foundation_evaluation").folder / "comparison.json"
    findings.chmod(0o644)
    findings.write_text("{}")
    client = client_of(copy.project)
    for place in ("/", "/recipes/tiny"):
        page = client.get(place)
        assert page.status_code == 200
        assert "corrupt" in page.text
        assert "comparison.json" in page.text
    assert client.get("/assets/tiny/foundation_evaluation").status_code == 500


def test_nothing_changes_by_a_look(client: TestClient, chain: Chain) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        paths = [path for root in (chain.root, chain.home) for path in root.rglob("*")]
        return {p: (s.st_mtime_ns, s.st_size) for p in paths if (s := p.lstat())}

    before = state()
    for _ in walk(client, "/"):
        pass
    assert state() == before
    json = {"content-type": "application/json"}
    for place in ("/", "/live", "/assets/tiny/foundation", "/reports/tiny"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, place, headers=json).status_code in (404, 405)


def test_a_recipes_words_are_text(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.project.recipes, tmp_path / "recipes")
    tiny = tmp_path / "recipes" / "tiny.yaml"
    text = re.sub("^description:.*$", "description: <script>alert(1)</script>", tiny.read_text(),
                  flags=re.MULTILINE)  # fmt: skip
    tiny.write_text(text)
    (tmp_path / "recipes" / "bad.yaml").write_text("description: <script>x</script>\nseed: -1\n")
    client = client_of(Project(tmp_path, chain.home, chain.root))
    for place in ("/", "/recipes/tiny"):
        page = client.get(place).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
    assert "This recipe was left out" in client.get("/").text


def test_a_training_shows_while_it_goes_on(chain: Chain, tmp_path: Path) -> None:
    project = Project(chain.project.root, tmp_path, chain.root)
    client = client_of(project)
    assert "Nothing is being made now" in client.get("/live").text
    spool = Spool.begin(
        project.spools,
        key="tiny/foundation",
        derivation="d",
        dagster_run="12345678-run",
        parameters={"recipe.training.steps": "200"},
        inputs={},
    )
    for step in range(0, 50, 10):
        spool.add("points", step=step, values={"training_loss": 5 - step / 50})
    for place in ("/live", "/live/tiny/foundation"):
        page = client.get(place).text
        assert "step 40 of 200" in page
        assert 'value="0.2000"' in page
        assert "<polyline" in page
    assert "step 40 of 200" in client.get("/").text
    assert "Nothing is being made" in client.get("/live/tiny/toy_reply_assistant").text
    spool.add("points", step=60, values={"training_loss": 3.5, "utilisation": 0.613})
    spool.add("event", step=60, event="sample", text="A: <b>hello")
    spool.add("event", step=60, event="saved", text="")
    page = client.get("/live").text
    assert "<pre>A: &lt;b&gt;hello</pre>" in page
    assert "61.3%" in page
    assert "dragon watch tiny/foundation" in page
    assert "step 60 of 200" in client.get("/live").text, "new lines are read too"
    spool.add("end", status="FINISHED")
    assert "Nothing is being made now" in client.get("/live").text
    spool.close()
    assert "Nothing is being made now" in client.get("/live/tiny/foundation").text


def test_several_networks_in_one_making_have_no_share(chain: Chain, tmp_path: Path) -> None:
    project = Project(chain.project.root, tmp_path, chain.root)
    spool = Spool.begin(
        project.spools,
        key="ladder/attention_ladder",
        derivation="d",
        dagster_run="12345678-run",
        parameters={"recipe.training.steps": "200"},
        inputs={},
    )
    for step in range(201):
        spool.add("points", step=step, values={"simple_training_loss": 3.0})
    page = client_of(project).get("/live").text
    spool.close()
    assert "ladder/attention_ladder" in page
    assert "<progress" not in page
    assert "left" not in page.partition("<main")[2]


def test_a_long_curve_is_thinned_and_read_once(tmp_path: Path) -> None:
    spool = Spool.begin(
        tmp_path, key="a/b", derivation="d", dagster_run="r", parameters={}, inputs={}
    )
    watch = Watch(tmp_path)
    for first in (0, 6000):
        for step in range(first, first + 6000):
            spool.add("points", step=step, values={"training_loss": float(step)})
        (making,) = watch.going()
        curve = making.curves["training_loss"]
        assert MOST / 2 <= len(curve) <= MOST
        assert curve[0] == (0, 0.0)
        assert curve[-1][0] >= first + 5990
        assert all(a[0] < b[0] for a, b in pairwise(curve))
    spool.close()
    assert watch.going() == []


def test_any_title_of_a_picture_is_an_address(copy: Chain) -> None:
    store = Store(copy.root)
    evaluation = store.current("tiny/foundation_evaluation", Evaluation)
    lines = {"x": "a", "y": "b", "lines": {"c": [[0, 1], [1, 2]]}}
    titles = ["A: how are you?", "19/01/2030", "50% #1", "a/../b", "ü .png"]
    making = Making("x", copy.root / "draft", copy.project)
    making.folder.mkdir()
    replace(evaluation.findings(), curves=dict.fromkeys(titles, lines)).write(making)
    version = seal(making.folder)
    record = replace(store.current_record("tiny/foundation_evaluation"), version=version)
    store.publish("tiny/foundation_evaluation", making.folder, record)
    client = client_of(copy.project)
    shown = Links(client.get("/assets/tiny/foundation_evaluation").text).links
    pictures = [place for place in shown if place.startswith("/pictures/")]
    assert len(pictures) == len(titles) + 1
    for place in pictures:
        assert client.get(place).content.startswith(b"\x89PNG"), place


def test_an_address_is_no_path_on_the_disk(client: TestClient) -> None:
    assert client.get("/trace/recipes/tiny.yaml").status_code == 404
    assert client.get("/trace/pipelines/server").status_code == 404


@pytest.mark.parametrize("answer", [b"[1, 2]", b"<html>", b"{"])
def test_another_program_in_mlflows_place_is_a_page(chain: Chain, answer: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://bob:HUNTER2@127.0.0.1:{server.server_port}"
        site = Site(chain.project, address, lambda _: [])
        guarded = Guard(application(site, no_dagster), 3000)
        page = TestClient(guarded, base_url=ORIGIN).get("/mlflow")
        server.shutdown()
    assert page.status_code == 502
    assert "HUNTER2" not in page.text
    assert asked == ["Basic " + base64.b64encode(b"bob:HUNTER2").decode()]


def test_mlflow_that_is_away_is_a_page(client: TestClient) -> None:
    assert client.get("/mlflow/tiny/nothing/current").status_code == 404
    for place in ("/mlflow", f"/mlflow/tiny/foundation/{'0' * 64}", "/mlflow/tiny/report/current"):
        answer = client.get(place)
        assert answer.status_code == 502
        assert "MLflow does not answer" in answer.text
