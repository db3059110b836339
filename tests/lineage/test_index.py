"""The index says where a document stands; it is never trusted, and never in the way."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipelines.core.artefact import CorruptArtefact
from pipelines.lineage import blocks as blocks_module
from pipelines.lineage import index as index_module
from pipelines.lineage.blocks import Blocks
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.index import Index, place_of
from pipelines.lineage.tables import Row
from tests.lineage import made_up
from tests.lineage.made_up import MadeUp

HELD = [made_up.document("a", number) for number in range(50)]


@pytest.fixture
def making(tmp_path: Path) -> MadeUp:
    """A store with a corpus, its shards and a model that read them."""
    making = MadeUp(tmp_path / "store")
    raw = making.publish("a/raw_text", "RawText", made_up.raw_text(HELD))
    clean = making.publish(
        "a/documents", "Documents", made_up.documents({"train": HELD[:40], "test": HELD[40:]}),
        {"raw": raw},
    )  # fmt: skip
    shards = making.publish(
        "m/token_shards", "TokenShards", made_up.shards({"a": HELD[:40]}), {"documents/a": clean}
    )
    draws = [("a", d.id, "", d.sha256, 3, place + 1) for place, d in enumerate(HELD[:30])]
    making.publish(
        "m/foundation", "Checkpoint", made_up.checkpoint(draws), {"token_shards": shards}
    )
    return making


def places(rows: list[Row], making: MadeUp) -> set[str]:
    return {f"{making.store.key_of(row.version)}/{row.table}" for row in rows}


EVERYWHERE = {
    *("a/raw_text/documents.arrow", "a/documents/train.arrow"),
    *("m/token_shards/train/a-00000.arrow", "m/foundation/draws.arrow"),
}


def rows_of(index: Index, name: str) -> list[Row]:
    return index.rows(index.graph(), [name])


def test_a_document_is_found_by_its_id_and_by_its_text(making: MadeUp, tmp_path: Path) -> None:
    with Index(making.store, tmp_path / "index.db") as index:
        for number in (0, 29):
            for name in (HELD[number].id, HELD[number].sha256):
                assert places(rows_of(index, name), making) == EVERYWHERE
        drawn = [r for r in rows_of(index, HELD[7].id) if r.table == "draws.arrow"]
        assert (drawn[0].values["tokens"], drawn[0].values["first_step"]) == (3, 8)
        assert places(rows_of(index, HELD[45].id), making) == {
            "a/raw_text/documents.arrow",
            "a/documents/test.arrow",
        }
        assert rows_of(index, "a-50") == []


def test_only_what_is_new_is_read(making: MadeUp, tmp_path: Path, monkeypatch) -> None:
    path, opened = tmp_path / "index.db", []
    real = index_module.open_table
    monkeypatch.setattr(
        index_module, "open_table", lambda *given: opened.append(given) or real(*given)
    )
    with Index(making.store, path) as index:
        rows_of(index, HELD[0].id)
    assert len(opened) == 8  # raw and unread; three splits and dropped; a shard; the draws
    opened.clear()
    with Index(making.store, path) as index:
        rows_of(index, HELD[0].id)
    assert opened == []
    more = [*HELD, made_up.document("a", 50)]
    making.publish("a/raw_text", "RawText", made_up.raw_text(more))
    with Index(making.store, path) as index:
        assert places(rows_of(index, "a-50"), making) == {"a/raw_text/documents.arrow"}
    assert len(opened) == 1  # the rows that were no documents are the same


def test_what_was_removed_is_not_found(making: MadeUp, tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with Index(making.store, path) as index:
        version = next(r.version for r in rows_of(index, "a-0") if r.table == "draws.arrow")
    shutil.rmtree(making.store.folder(version))
    with Index(making.store, path) as index:
        assert len(rows_of(index, "a-0")) == 3
        assert not index.graph().holds(version)


@pytest.mark.parametrize("end", [1, 512])
def test_no_changed_byte_of_the_index_passes(
    making: MadeUp, tmp_path: Path, end: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever byte is changed, an answer is the right one: a lost entry is noticed."""
    path = tmp_path / "index.db"
    with Index(making.store, path) as index:
        expected = [rows_of(index, name) for name in ("a-3", HELD[3].sha256, "a-50")]
    content = path.read_bytes()
    step = max(1, len(content) // 100)
    noticed = 0
    for place in range(0, len(content), step):
        changed = bytearray(content)
        changed[place : place + end] = bytes(byte ^ 0x55 for byte in changed[place : place + end])
        path.write_bytes(changed)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "dragon"), Index(making.store, path) as index:
            assert [rows_of(index, name) for name in ("a-3", HELD[3].sha256, "a-50")] == expected, (
                place
            )
        noticed += bool(caplog.records)
    assert noticed


def test_an_index_that_is_no_database_is_made_again(making: MadeUp, tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    for content in (b"", b"not a database at all, but long enough to be read as one" * 100):
        path.write_bytes(content)
        with Index(making.store, path) as index:
            assert places(rows_of(index, "a-1"), making) == EVERYWHERE
    path.unlink()
    with Index(making.store, path) as index:
        assert places(rows_of(index, "a-1"), making) == EVERYWHERE


def test_a_locked_index_is_left_alone(
    making: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "PATIENCE", 0.05)
    path = tmp_path / "index.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with Index(making.store, path) as index:
        assert places(rows_of(index, "a-1"), making) == EVERYWHERE
    other.execute("ROLLBACK")
    other.close()
    with Index(making.store, path) as index:
        assert places(rows_of(index, "a-1"), making) == EVERYWHERE
    assert path.stat().st_size > 10_000


def test_a_lie_of_the_index_is_not_told(making: MadeUp, tmp_path: Path) -> None:
    """Blocks that were made for other rows have right digests; the tables say otherwise."""
    path = tmp_path / "index.db"
    with Index(making.store, path) as index:
        graph = index.graph()
        rows_of(index, "a-1")
    sha256 = graph.files(graph.current["m/foundation"].version)["draws.arrow"].sha256
    blocks = Blocks(path)
    bits = json.loads(blocks.get("tables"))[sha256]
    parts = {part: blocks.get(sha256, part) for part in range(1 << bits)}
    # Every entry leads to the next row.
    lied = {}
    for part, content in parts.items():
        keys = len(content) // 12 * 8
        rows = [content[i : i + 4] for i in range(keys, len(content), 4)]
        turned = [((int.from_bytes(r, "big") + 1) % 30).to_bytes(4, "big") for r in rows]
        lied[part] = content[:keys] + b"".join(turned)
    blocks.put({sha256: lied})
    blocks.close()
    with Index(making.store, path) as index:
        assert places(rows_of(index, "a-1"), making) == EVERYWHERE - {"m/foundation/draws.arrow"}


def test_a_damaged_table_or_record_is_named(making: MadeUp, tmp_path: Path) -> None:
    with Index(making.store, tmp_path / "index.db") as index:
        rows = rows_of(index, "a-1")
        clean = next(row for row in rows if row.table == "train.arrow")
        path = making.store.folder(clean.version) / "train.arrow"
        content = bytearray(path.read_bytes())
        path.chmod(0o644)
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"train\.arrow"):
            rows_of(index, "a-1")
        record = next((making.store.root / "records").glob("*.json"))
        record.write_bytes(record.read_bytes()[:-1])
        graph = index.graph()
        with pytest.raises(CorruptArtefact, match=record.name):
            graph.require_whole()


def test_a_record_that_changed_since_is_seen(making: MadeUp) -> None:
    graph = Graph.of(making.store)
    place = graph.current["m/foundation"]
    assert graph.proven(making.store, place).version == place.version
    (making.store.root / "records" / f"{place.derivation}.json").unlink()
    with pytest.raises(CorruptArtefact, match="m/foundation"):
        graph.proven(making.store, place)


def test_the_graph_walks_up_and_down(making: MadeUp) -> None:
    graph = Graph.of(making.store)
    keys = ["a/raw_text", "a/documents", "m/token_shards", "m/foundation"]
    raw, model = graph.current["a/raw_text"], graph.current["m/foundation"]
    assert [graph.name(place) for place in graph.above([model])] == keys
    assert [graph.name(place) for place in graph.below([raw])] == keys
    assert graph.below([model]) == [model]
    assert isinstance(model, Place)
    assert graph.keys(model) == ["m/foundation"]


def test_the_index_lies_in_the_home_and_a_store_may_be_read_only(
    making: MadeUp, tmp_path: Path
) -> None:
    before = sorted(making.store.root.rglob("*"))
    home = tmp_path / "home"
    with Index(making.store, place_of(making.store, home)) as index:
        assert rows_of(index, "a-1")
    assert sorted(making.store.root.rglob("*")) == before
    assert [path.suffix for path in (home / "lineage").iterdir()] == [".db"]
