"""Impact: what a document is in, by every name that a person may have for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.core.identity import canonical
from pipelines.core.record import StoreError
from pipelines.lineage.impact import Impact
from pipelines.lineage.index import Index
from pipelines.lineage.near import NearIndex
from pipelines.lineage.subjects import impact_of, impact_of_text
from pipelines.lineage.trace import locate
from pipelines.text.tables import Document
from tests.conftest import Place
from tests.lineage import made_up
from tests.lineage.made_up import MadeUp

RAW = [made_up.document("a", number) for number in range(30)]
CLEAN = [one._replace(text=one.text.upper()) for one in RAW]  # cleaning changed every text
OTHER = [made_up.document("a", number + 100) for number in range(30)]
OTHER = [one._replace(id=f"a-{number}") for number, one in enumerate(OTHER)]  # the same ids!
NEAR = " ".join([*CLEAN[3].text.split()[:-2], "quite", "different"])


@pytest.fixture
def making(tmp_path: Path) -> MadeUp:
    """Corpora ``a`` and ``b`` with the same ids; two models read ``a``, one only ``b``."""
    making = MadeUp(tmp_path / "store")
    clean, shards = {}, {}
    for name, raw, held in (("a", RAW, CLEAN), ("b", OTHER, OTHER)):
        text = making.publish(f"{name}/raw_text", "RawText", made_up.raw_text(raw))
        copy = [Document("copy", NEAR, "x", "MIT")] if name == "b" else []
        clean[name] = making.publish(
            f"{name}/documents", "Documents",
            made_up.documents({"train": [*held[:20], *copy], "test": held[20:]}), {"raw": text},
            libraries={"ftfy": "6.0"},
        )  # fmt: skip
        shards[name] = making.publish(
            f"{name}m/token_shards", "TokenShards", made_up.shards({name: held[:20]}, name),
            {f"documents/{name}": clean[name]},
        )  # fmt: skip
    draws = [("a", one.id, "", one.sha256, 4, 5 + n) for n, one in enumerate(CLEAN[:10])]
    first = making.publish(
        "am/foundation", "Checkpoint", made_up.checkpoint(draws, "a"), {"shards": shards["a"]},
        libraries={"torch": "2.13.0"},
    )  # fmt: skip
    making.publish("am/reply_assistant", "Checkpoint", made_up.checkpoint([], "r"), {"from": first})
    making.publish("old/foundation", "Checkpoint", made_up.checkpoint(None), {"s": shards["a"]})
    other = [("b", one.id, "", one.sha256, 4, 1) for one in OTHER[:20]]
    making.publish(
        "bm/foundation", "Checkpoint", made_up.checkpoint(other, "b"), {"s": shards["b"]}
    )
    return making


def told(found: Impact) -> dict[str, str]:
    return {one.key: one.how for one in found.reached}


def of(making: MadeUp, target: str) -> Impact:
    with Index(making.store, None) as index:
        return impact_of(index, target)


READ_FROM_A = {
    "a/raw_text": "holds",
    "a/documents": "holds",
    "am/token_shards": "holds",
    "am/foundation": "read",
    "am/reply_assistant": "from",
    "old/foundation": "hangs",
}


def test_a_document_is_followed_by_its_text(making: MadeUp) -> None:
    """By the digest of its clean text, of its raw text, and by the texts themselves."""
    with Index(making.store, None) as index:
        for name in (CLEAN[4].sha256, RAW[4].sha256):
            found = impact_of(index, name)
            assert told(found) == READ_FROM_A, name
            assert {(one.corpus, one.id) for one in found.documents} == {("a", "a-4")}
        for text in (CLEAN[4].text, f"{RAW[4].text}\n"):
            assert told(impact_of_text(index, text)) == READ_FROM_A
    model = next(one for one in found.reached if one.key == "am/foundation")
    assert model.facts == {"tokens": 4, "first_step": 9}
    old = next(one for one in found.reached if one.key == "old/foundation")
    assert old.remark == "it keeps no list of what it read"
    assistant = next(one for one in found.reached if one.key == "am/reply_assistant")
    assert assistant.through == ("am/foundation",)


def test_what_was_not_drawn_was_not_read(making: MadeUp) -> None:
    found = told(of(making, CLEAN[15].sha256))
    assert found == {**READ_FROM_A, "am/foundation": "hangs", "am/reply_assistant": "hangs"}


def test_an_id_of_two_corpora_is_told_of_both(making: MadeUp) -> None:
    found = of(making, "a-4")
    assert {(one.corpus, one.id) for one in found.documents} == {("a", "a-4"), ("b", "a-4")}
    assert told(found)["bm/foundation"] == "read"


def test_each_artefact_says_of_which_document_it_is(making: MadeUp, tmp_path: Path) -> None:
    found = {one.key: one.documents for one in of(making, "a-4").reached}
    assert found["a/documents"] == found["am/foundation"] == ("a/a-4",)
    assert found["old/foundation"] == found["am/reply_assistant"] == ("a/a-4",)
    assert found["b/documents"] == found["bm/foundation"] == ("b/a-4",)
    here = Place(tmp_path / "home", tmp_path / "store")
    lines = here.dragon("impact", "a-4").out.splitlines()
    for corpus in ("a", "b"):
        (read,) = [line for line in lines if line.startswith(f"{corpus}m/foundation")]
        assert read.endswith(f"  of {corpus}/a-4")
    assert "  of a/a-4" not in here.dragon("impact", "a/a-4").out


def test_a_document_is_named_by_its_corpus_too(making: MadeUp) -> None:
    found = of(making, "a/a-4")
    assert {(one.corpus, one.id) for one in found.documents} == {("a", "a-4")}
    assert told(found) == READ_FROM_A
    assert "am/foundation" not in told(of(making, "b/a-4"))
    with pytest.raises(ValueError, match="no document"):
        of(making, "b/a-30")


def test_an_example_is_of_the_corpus_that_it_was_made_from(making: MadeUp) -> None:
    """What was fine-tuned above a corpus has not read that corpus' documents in its examples."""
    foundation, other = (
        making.store.current(key, made_up.view_of(makes))
        for key, makes in (("am/foundation", "Checkpoint"), ("b/documents", "Documents"))
    )
    examples = making.publish("b/examples", "Examples", made_up.plain("e"), {"documents": other})
    states = making.publish("am/states", "KeptStates", made_up.plain("s"), {"examples": examples})
    draws = [("examples", "a-4", "a-4/1", "0" * 64, 2, 1)]
    making.publish(
        "am/taught", "Checkpoint", made_up.checkpoint(draws, "t"),
        {"from": foundation, "states": states},
    )  # fmt: skip
    by_key = {one.key: one for one in of(making, "a-4").reached}
    assert (by_key["am/taught"].how, by_key["am/taught"].documents) == ("read", ("b/a-4",))
    assert told(of(making, "b/a-4"))["am/taught"] == "read"
    assert told(of(making, "a/a-4"))["am/taught"] == "from"


def test_what_hangs_on_equal_bytes_is_reached(making: MadeUp) -> None:
    """Equal bytes that another program or another corpus made: what read them read these."""
    making.publish("a/raw_text", "RawText", made_up.raw_text(RAW), recipe={"again": 1})
    making.publish("c/raw_text", "RawText", made_up.raw_text(RAW))
    below = dict.fromkeys(READ_FROM_A, "hangs")
    for target in ("a/raw_text", "c/raw_text", making.store.current_record("a/raw_text").version):
        found = of(making, target)
        assert told(found) == {**below, "a/raw_text": "holds", "c/raw_text": "holds"}, target
        assert all(one.current for one in found.reached)
    derivation = making.store.references.current("c/raw_text")[0]
    assert set(told(of(making, derivation))) == {*READ_FROM_A, "c/raw_text"}
    assert set(told(of(making, "c"))) == {*READ_FROM_A, "c/raw_text"}


@pytest.mark.parametrize("text", ["x" * 300, "many words " * 50, "a\0b", "x" * 5000])
def test_a_text_that_can_name_no_file_is_one(making: MadeUp, text: str) -> None:
    with pytest.raises(StoreError, match="no document of"):
        of(making, text)
    with pytest.raises(StoreError, match=r"no asset|no such file"):
        locate(making.store, text)


def test_a_near_copy_is_told_as_near(making: MadeUp) -> None:
    with Index(making.store, None) as index, NearIndex(making.store, None) as near:
        found = impact_of(index, CLEAN[3].sha256, near)
        alike = [one for one in found.documents if one.similarity]
        assert [(one.corpus, one.id) for one in alike] == [("b", "copy")]
        assert 0.5 <= alike[0].similarity < 1
        by_key = {one.key: one for one in found.reached}
        assert by_key["b/documents"].facts["near"] == alike[0].similarity
        assert "near" not in by_key["a/documents"].facts
        # A text that stands nowhere is found by its copies alone.
        nearly = impact_of_text(index, f"{NEAR} altogether", near)
        assert {(one.corpus, one.id) for one in nearly.documents} == {("a", "a-3"), ("b", "copy")}
        with pytest.raises(ValueError, match="or nearly its words"):
            impact_of_text(index, "no such words here", near)
        with pytest.raises(ValueError, match="--near"):
            impact_of_text(index, "no such words here")


def test_files_corpora_libraries_and_versions(making: MadeUp, tmp_path: Path) -> None:
    foundation = making.store.current_record("am/foundation")
    weights = making.store.folder(foundation.version) / "model.safetensors"
    both = {"am/foundation": "holds", "am/reply_assistant": "hangs"}
    for target in (str(weights), "am/foundation", f"am/foundation@{foundation.version[:9]}"):
        assert told(of(making, target)) == both, target
    assert told(of(making, "torch==2.13.0")) == both
    assert told(of(making, foundation.version)) == both
    assert set(told(of(making, "a"))) == set(READ_FROM_A)
    assert "a/raw_text" not in told(of(making, "ftfy==6.0"))
    text = tmp_path / "found.txt"
    text.write_text(CLEAN[4].text)
    assert told(of(making, str(text))) == READ_FROM_A
    for target, words in {
        "torch==2.12.0": r"the records name 2\.13\.0",
        "torhc==2.13.0": "did you mean 'torch'",
        "no-such-id": "dragon documents CORPUS shows ids",
        str(weights.parent / "missing"): "no document",
    }.items():
        with pytest.raises(ValueError, match=words):
            of(making, target)


def test_the_command_prints_it_and_searches_exports(making: MadeUp, tmp_path: Path) -> None:
    here = Place(tmp_path / "home", tmp_path / "store")
    version = making.store.current_record("am/foundation").version
    export = tmp_path / "exports" / "mine"
    export.mkdir(parents=True)
    (export / "lineage.json").write_bytes(canonical({"key": "am/foundation", "version": version}))
    command = ("impact", CLEAN[4].sha256, "--exports", str(export.parent))
    out = here.dragon(*command).out
    assert f"{version[:12]}  read it: 4 tokens, first in step 9" in out
    assert "made from what read it: am/foundation" in out
    assert f"exported to {export}" in out
    found = json.loads(here.dragon(*command, "--json").out)
    assert found["exports"]["found"] == [str(export)]
    assert {one["key"]: one["how"] for one in found["reached"]} == READ_FROM_A
    here.home.mkdir()
    from_text = here.dragon("impact", "-", stdin=CLEAN[4].text)
    assert from_text.code == 0
    assert "read it: 4 tokens" in from_text.out
    assert [path.name.split("-")[1] for path in (here.home / "lineage").iterdir()] == ["index"]


def test_a_changed_record_or_manifest_stops_the_answer(making: MadeUp) -> None:
    manifest = making.store.folder(making.store.current_record("bm/foundation").version)
    path = manifest / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=str(path)):
        of(making, CLEAN[4].sha256)
