"""The certificate of forgetting: it finds what is still there, and proves nothing unsearched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.core.artefact import Artefact
from pipelines.core.identity import canonical
from pipelines.lineage.absence import Text, scan
from pipelines.lineage.chosen import Entry
from pipelines.lineage.forget import hanging, stale, write_list
from pipelines.lineage.graph import Graph
from pipelines.text.tables import Document, write_index
from tests.conftest import Place, Said
from tests.lineage.made_up import (
    Drawn,
    Fill,
    MadeUp,
    checkpoint,
    document,
    documents,
    raw_text,
    shards,
    table_of,
)

ROWS = [document("c", number) for number in range(4)]
GONE = ROWS[0]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """An empty store beside a project without recipes, in which the document is on the list."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    forget(tmp_path, GONE)
    return MadeUp(tmp_path / "store")


def forget(root: Path, *gone: Document) -> None:
    entries = [Entry(one.id, one.sha256, len(one.text)) for one in gone]
    write_list(root, "forgotten/c.json", entries, "asked for", "2026-11-30")


def corpus(made: MadeUp, rows: Sequence[Document], kept: Sequence[Document]) -> Artefact:
    recipe = {"texts": [one.sha256 for one in rows]}
    raw = made.publish("c/raw_text", "RawText", raw_text(rows), recipe=recipe)
    fill = documents({"train": kept}, mark=raw.version)  # as the list of the dropped documents
    return made.publish("c/documents", "Documents", fill, {"raw_text": raw})


def network(made: MadeUp, recipe: str, clean: Artefact, held: Sequence[Document]) -> Artefact:
    inputs = {"documents/c": clean}
    tokens = made.publish(
        f"{recipe}/token_shards", "TokenShards", shards({"c": held}, recipe), inputs
    )
    draws: list[Drawn] = [("c", one.id, "", one.sha256, 4, at + 1) for at, one in enumerate(held)]
    fill = checkpoint(draws, f"{recipe} {len(held)}")
    return made.publish(f"{recipe}/foundation", "Checkpoint", fill, {"token_shards": tokens})


def certify(root: Path) -> tuple[Said, dict[str, Any]]:
    said = Place(root / "home", root / "store").dragon("forget", "c", "--certificate", "told.json")
    return said, json.loads((root / "told.json").read_text())


def test_a_recipe_that_did_not_run_again_is_found(made: MadeUp, tmp_path: Path) -> None:
    before = corpus(made, ROWS, ROWS)
    old = {recipe: network(made, recipe, before, ROWS) for recipe in ("one", "two")}
    after = corpus(made, ROWS[1:], ROWS[1:])
    new = network(made, "one", after, ROWS[1:])
    said, told = certify(tmp_path)
    assert said.code == 1
    assert "the text is still there" in said.err
    found = told["scan"]["found"]
    assert f"two/token_shards: train/c-00000.arrow: {GONE.id}" in found
    assert f"two/foundation: draws.arrow: {GONE.id}" in found
    assert not [place for place in found if not place.startswith("two/")]
    models = {model["key"]: model for model in told["models"]}
    assert models["two/foundation"]["version"] == old["two"].version
    assert models["one/foundation"]["version"] == new.version
    assert models["one/foundation"]["before"] == [old["one"].version]
    network(made, "two", after, ROWS[1:])
    said, told = certify(tmp_path)
    assert said.code == 0, said.err
    assert told["scan"]["found"] == told["not_searched"] == []
    assert "none was found" in said.out


def test_turns_of_the_document_are_found_by_their_lineage(made: MadeUp, tmp_path: Path) -> None:
    before = corpus(made, ROWS, ROWS)
    schema = pa.schema([(name, pa.string()) for name in ("id", "document_id", "text", "label")])

    def turns(folder: Path) -> None:
        row = (f"{GONE.id}/1", GONE.id, GONE.text[:9], "ham")
        write_index(folder, [table_of(folder, "train.arrow", schema, [row])])

    made.publish("c/examples", "Examples", turns, {"documents": before})
    raw = made.store.current_record("c/raw_text").version
    corpus(made, ROWS[1:], ROWS[1:])
    said, told = certify(tmp_path)
    assert said.code == 1
    assert told["scan"]["found"] == [f"c/examples: made from c/raw_text@{raw[:12]}"]


def test_equal_bytes_that_were_made_without_it_are_good(made: MadeUp, tmp_path: Path) -> None:
    """A forgotten document that cleaning had dropped changes nothing behind the cleaning."""
    before = corpus(made, ROWS, ROWS[1:])
    network(made, "one", before, ROWS[1:])
    after = corpus(made, ROWS[1:], ROWS[1:])
    assert certify(tmp_path)[0].code == 1
    fill = shards({"c": ROWS[1:]}, "one")
    made.publish("one/token_shards", "TokenShards", fill, {"documents/c": after}, recipe={"a": 1})
    said, told = certify(tmp_path)
    assert said.code == 0, said.err
    assert told["scan"]["texts"] == 1


def test_a_text_edited_under_the_same_name_is_another(made: MadeUp, tmp_path: Path) -> None:
    raw = made.publish("c/raw_text", "RawText", raw_text(ROWS))
    clean = [one._replace(text=f"clean {one.text[:30]}") for one in ROWS]
    fill = documents({"train": clean})
    made.publish("c/documents", "Documents", fill, {"raw_text": raw})
    edited = [GONE._replace(text="another text of the same file"), *ROWS[1:]]
    after = corpus(made, edited, edited)
    made.publish("note/report", "Report", _file(clean[0].text), {"documents": after})
    said, told = certify(tmp_path)
    assert said.code == 1
    assert told["scan"]["found"] == [f"note/report: page.html: {GONE.id}"]
    made.publish("note/report", "Report", _file("nothing"), {"documents": after})
    assert certify(tmp_path)[0].code == 0


def _file(text: str) -> Fill:
    return lambda folder: (folder / "page.html").write_text(text) and None


def test_what_no_version_holds_is_not_proved(made: MadeUp, tmp_path: Path) -> None:
    corpus(made, ROWS[1:], ROWS[1:])
    said, told = certify(tmp_path)
    assert said.code == 1
    assert "not proved" in said.err
    assert "none was found" not in said.out
    assert told["not_searched"] == [GONE.id]


def test_a_text_in_json_is_found_in_any_writing(tmp_path: Path) -> None:
    made = MadeUp(tmp_path)
    text = 'Zürich:\n"sagt er"'
    for escaped, name in enumerate(("plain", "escaped")):
        told = json.dumps({"a": text}, ensure_ascii=True).encode() if escaped else canonical([text])
        fill = lambda folder, told=told: (folder / "a.json").write_bytes(told) and None  # noqa: E731
        made.publish(f"{name}/report", "Report", fill)
    found = scan(made.store, [Text("", "d", text, is_clean=False)]).found
    assert found == ["escaped/report: a.json: d", "plain/report: a.json: d"]


def test_what_hangs_on_equal_bytes_is_made_anew(tmp_path: Path) -> None:
    made = MadeUp(tmp_path)
    clean = corpus(made, ROWS, ROWS)
    network(made, "one", clean, ROWS)
    entries = [Entry(GONE.id, GONE.sha256, 9, parts=[{"id": GONE.id}])]
    keys = ["c/raw_text", "c/documents", "one/token_shards", "one/foundation"]
    assert [one.key for one in stale(made.store, Graph.of(made.store), "c", entries)] == keys
    # Newer code makes equal raw text; another corpus takes the same source.
    raw = made.publish("c/raw_text", "RawText", raw_text(ROWS), recipe={"code": "newer"})
    made.publish("other/raw_text", "RawText", raw_text(ROWS), recipe={"code": "newer"})
    graph = Graph.of(made.store)
    assert {one.key for one in stale(made.store, graph, "c", entries)} == set(keys)
    assert {graph.name(place) for place in hanging(graph, [raw.version])} >= set(keys)
    # The network hangs on shards of the same bytes, which an earlier derivation made.
    after = corpus(made, [*ROWS, document("c", 9)], ROWS)
    fill = shards({"c": ROWS}, "one")
    made.publish("one/token_shards", "TokenShards", fill, {"documents/c": after}, recipe={"a": 1})
    graph = Graph.of(made.store)
    assert {one.key for one in stale(made.store, graph, "c", entries)} == set(keys)
