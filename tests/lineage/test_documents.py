"""The documents of a lineage: what a model read, and the page to unfold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.identity import canonical
from pipelines.lineage.documents import Drawn, documents_of, models_in
from pipelines.lineage.page import trace_page
from pipelines.lineage.root import lineage_root, lineage_root_at
from pipelines.lineage.trace import locate, trace
from pipelines.text.tables import Document
from tests.conftest import Place
from tests.lineage import made_up
from tests.lineage.made_up import MadeUp

EVIL = "<script>alert(1)</script>"
HELD = [made_up.document("a", number) for number in range(6)]
HELD += [Document(EVIL, "text", f"{EVIL}.txt", f"MIT{EVIL}")]


@pytest.fixture
def making(tmp_path: Path) -> MadeUp:
    making = MadeUp(tmp_path / "store")
    raw = making.publish(
        "a/raw_text", "RawText", made_up.raw_text(HELD),
        recipe={"kind": "generated", "generator": "x", "documents": 7, "licence": "CC0-1.0"},
    )  # fmt: skip
    clean = making.publish(
        "a/documents", "Documents", made_up.documents({"train": HELD}), {"raw": raw}
    )
    shards = making.publish(
        "m/token_shards", "TokenShards", made_up.shards({"a": HELD}), {"documents/a": clean}
    )
    draws = [("a", one.id, "", one.sha256, 4, 5 + n) for n, one in enumerate(HELD)]
    first = making.publish(
        "m/foundation", "Checkpoint", made_up.checkpoint(draws), {"shards": shards}
    )
    theirs = made_up.document("b", 0)._replace(id=HELD[0].id, licence="MIT")  # the same id!
    other = making.publish("b/documents", "Documents", made_up.documents({"train": [theirs]}))
    taught = making.publish("b/examples", "Examples", made_up.plain("e"), {"documents": other})
    examples = [("examples", HELD[0].id, f"{HELD[0].id}/1", "0" * 64, 2, 1)]
    making.publish(
        "m/reply_assistant", "Checkpoint", made_up.checkpoint(examples, "r"),
        {"from": first, "examples": taught},
    )  # fmt: skip
    making.publish("old/foundation", "Checkpoint", made_up.checkpoint(None), {"shards": shards})
    return making


def of(making: MadeUp, key: str) -> dict[str, list[Drawn]]:
    node = trace(making.store, locate(making.store, key))
    return {one.artefact.key: list(documents_of(one)) for one in models_in(node)}


def test_each_model_names_what_it_read(making: MadeUp) -> None:
    found = of(making, "m/reply_assistant")
    assert list(found) == ["m/foundation", "m/reply_assistant"]
    assert [(one.document, one.first_step) for one in found["m/foundation"]] == [
        (one.id, 5 + number) for number, one in enumerate(HELD)
    ]
    assert found["m/foundation"][1] == Drawn(
        "a", "a-1", "", HELD[1].sha256, 4, 6, "CC0-1.0", "a.txt"
    )
    example = found["m/reply_assistant"][0]
    assert example == Drawn("b", "a-0", "a-0/1", "0" * 64, 2, 1, "MIT", "b.txt")


def test_without_draws_it_is_what_could_be_read(making: MadeUp, tmp_path: Path) -> None:
    found = of(making, "old/foundation")["old/foundation"]
    assert [(one.document, one.tokens, one.first_step) for one in found] == [
        (one.id, None, None) for one in HELD
    ]
    assert found[1].sha256 == HELD[1].sha256
    here = Place(tmp_path / "home", tmp_path / "store")
    out = here.dragon("trace", "old/foundation", "--documents").out
    assert "could read 7 documents; it keeps no list of what it read: an earlier program" in out
    out = here.dragon("trace", "m/foundation", "--documents").out
    assert re.search(r"m/foundation [0-9a-f]{12} read 7 documents\n", out)
    assert re.search(r"  a +a-1 +- +4 +6 +CC0-1\.0\n", out)
    told = json.loads(here.dragon("trace", "m/foundation", "--documents", "--json").out)
    assert told["documents"][0]["drawn"] is True
    assert told["documents"][0]["documents"][1]["first_step"] == 6


class Tags(HTMLParser):
    """The tags of a page, and every address in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_page_stands_alone_and_escapes(making: MadeUp, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    here = Place(tmp_path / "home", tmp_path / "store")
    said = here.dragon("trace", "m/reply_assistant", "--html", str(page))
    assert said.code == 0
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "script" not in tags.tags
    assert tags.tags.count("details") >= 5
    assert all(one.startswith(("#", "data:")) for one in tags.addresses), tags.addresses
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert "What m/foundation read: 7 documents" in text
    node = trace(making.store, locate(making.store, "m/reply_assistant"))
    assert text == trace_page(node)


def test_the_root_is_of_the_whole_lineage(making: MadeUp) -> None:
    def root(key: str) -> str:
        artefact = locate(making.store, key)
        told = lineage_root(trace(making.store, artefact))
        assert told == lineage_root_at(making.store, artefact.version, artefact.derivation)
        return told

    before = root("m/reply_assistant")
    assert before == root("m/reply_assistant")
    assert before != root("m/foundation")
    # The same bytes from another source: another lineage.
    recipe = {"kind": "generated", "generator": "y", "licence": "CC0-1.0"}
    raw = making.publish("z/raw_text", "RawText", made_up.raw_text(HELD), recipe=recipe)
    assert raw.version == making.store.current_record("a/raw_text").version
    assert root("z/raw_text") != root("a/raw_text")


def reply(artefact: Artefact, **changed: str) -> bytes:
    told = {"model": artefact.key, "version": artefact.version, "settings": {}, **changed}
    return canonical({"choices": [], "dragon": told})


def test_a_served_reply_leads_to_its_model(making: MadeUp, tmp_path: Path) -> None:
    artefact = locate(making.store, "m/reply_assistant")
    root = lineage_root_at(making.store, artefact.version, artefact.derivation)
    path = tmp_path / "reply.json"
    path.write_bytes(reply(artefact, lineage_root=root))
    assert locate(making.store, str(path)) == artefact
    path.write_bytes(reply(artefact, lineage_root=root[::-1]))
    with pytest.raises(CorruptArtefact, match="its lineage_root is"):
        locate(making.store, str(path))
    path.write_bytes(reply(artefact))
    with pytest.raises(CorruptArtefact, match="names no lineage_root"):
        locate(making.store, str(path))
    path.write_bytes(reply(artefact, lineage_root=root, version="0" * 64))
    with pytest.raises(ValueError, match="does not hold"):
        locate(making.store, str(path))
