"""Attribution: which passages of a text a model may have from its training documents."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.core.record import StoreError
from pipelines.corpora.artefacts import Documents
from pipelines.index.artefacts import TextIndex
from pipelines.lineage.attribute import Reading, attribute, opened
from pipelines.training.artefacts import Checkpoint
from tests.conftest import Chain, Place

MADE = ("--select", "toy_dialogues/index", "--select", "toy_messages/index")


@pytest.fixture(scope="module")
def found(chain: Chain, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The chain's store with an index of each corpus. To be read."""
    root = tmp_path_factory.mktemp("found") / "store"
    place = Place(home, Path(shutil.copytree(chain.root, root, symlinks=True)))
    said = place.dragon("run", "tiny", *MADE)
    assert said.code == 0, said.err
    return place


def texts(place: Place, corpus: str = "toy_dialogues") -> dict[str, str]:
    documents = place.store.current(f"{corpus}/documents", Documents)
    return {document.id: document.text for document in documents.split("train")}


def test_a_run_makes_no_index_and_a_person_may(chain: Chain, found: Place) -> None:
    assert "toy_dialogues/index" not in chain.store.keys()  # noqa: SIM118 - no mapping
    index = found.store.current("toy_dialogues/index", TextIndex)
    figures = index.figures()
    assert figures["documents"] == len(texts(found))
    assert figures["text_bytes"] == sum(len(text.encode()) for text in texts(found).values())
    index.verify()
    assert "3 assets, 0 made" in found.dragon("run", "tiny", *MADE[:2]).out


def test_planted_passages_are_found_where_a_plain_scan_finds_them(found: Place) -> None:
    known = texts(found)
    name, text = list(known.items())[len(known) // 2]
    planted = text[10:90].strip()
    asked = f"Xyzzy frobnicates. {planted} Qwerty uiop!"
    searched = opened(found.store, "tiny/foundation")
    assert list(searched.indexes) == ["toy_dialogues"]
    passages = attribute(searched, asked, places=None)
    (whole,) = [p for p in passages if p.end - p.start >= len(planted) - 12]
    for passage in passages:
        assert passage.text == asked[passage.start : passage.end]
        standing = [
            (i, at)
            for i, t in known.items()
            for at in range(len(t))
            if t.startswith(passage.text, at)
        ]
        assert [(p.document_id, p.character) for p in passage.places] == standing
        assert passage.count == len(standing)
    place = next(p for p in whole.places if p.document_id == name)
    assert place.line == text[: place.character].count("\n") + 1
    assert (place.corpus, place.licence) == ("toy_dialogues", "CC0-1.0")
    assert not attribute(searched, asked, words=200)
    assert [p.places for p in attribute(searched, planted, places=0)] == [()]


def test_the_corpora_are_those_that_trained(found: Place) -> None:
    def corpora(target: str) -> set[str]:
        return set(opened(found.store, target).indexes)

    assert corpora("tiny") == corpora("tiny/toy_reply_assistant") == {"toy_dialogues"}
    assert corpora("tiny/toy_spam_classifier") == {"toy_dialogues", "toy_messages"}
    assert corpora("toy_messages") == corpora("toy_messages/documents") == {"toy_messages"}
    assert corpora("toy_messages/index") == {"toy_messages"}
    with pytest.raises(
        StoreError, match="toy_dialogue: no such file, version folder or asset; did"
    ):
        opened(found.store, "toy_dialogue")


def test_documents_without_an_index_are_named(
    chain: Chain, made: Place, recipe_file: Callable[..., Path]
) -> None:
    with pytest.raises(StoreError, match=r"dragon run tiny --select toy_dialogues/index$"):
        opened(chain.store, "tiny/foundation")
    with pytest.raises(StoreError, match=r"dragon run RECIPE --select talk/index$"):
        opened(made.store, "talk")
    assert made.dragon("run", str(recipe_file()), "--select", "talk/index").code == 0
    assert opened(made.store, "talk").indexes
    other = recipe_file(("documents: 300", "documents: 310"))
    assert made.dragon("run", str(other), "--select", "talk/documents").code == 0
    with pytest.raises(StoreError, match=r"talk/documents: version .* has no index"):
        opened(made.store, "talk")
    shards = opened(made.store, "smaller/token_shards")
    assert shards.indexes["talk"].artefact.key == "talk/index", "of the documents of these shards"


def test_the_command_says_it(found: Place, tmp_path: Path) -> None:
    text = next(iter(texts(found).values()))
    planted = text[:60].rsplit(" ", 1)[0]
    said = found.dragon("attribute", "tiny", f"Zzz! {planted}", "--places", "1")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == planted.replace("\n", "\\n")
    assert lines[1].startswith(f"  characters 5 to {5 + len(planted)}, ")
    assert lines[2].startswith("    toy_dialogues  ")
    assert ", character 0  CC0-1.0" in lines[2]
    assert lines[-1].startswith("1 passage, ")
    (tmp_path / "text").write_text(planted, encoding="utf-8")
    told = [
        found.dragon("attribute", "toy_dialogues", *how, "--json", stdin=planted)
        for how in (["-"], [planted], ["--file", str(tmp_path / "text")])
    ]
    assert told[0].out == told[1].out == told[2].out
    (passage,) = json.loads(told[0].out)["passages"]
    assert passage["text"] == planted
    assert passage["places"][0]["character"] == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["tiny"], "", "give either a text"),
        (["tiny", "-"], b"\xff", "standard input: not UTF-8 at byte 0"),
        (["tiny", "x" * 20_001], "", "text of 20001 characters: at most 20000"),
        (["tinny", "x"], "", "tinny: no such file"),
    ],
)
def test_what_cannot_be_asked_is_said(
    found: Place, arguments: list[str], stdin: str | bytes, told: str
) -> None:
    said = found.dragon("attribute", *arguments, stdin=stdin)
    assert said.code
    assert told in said.err


def test_a_changed_index_is_named(found: Place, tmp_path: Path) -> None:
    root = Path(shutil.copytree(found.root, tmp_path / "store", symlinks=True))
    place = Place(found.home, root)
    index = place.store.current("toy_dialogues/index", TextIndex)
    path = index.folder / "part-00000.order"
    data = bytearray(path.read_bytes())
    for block in range(0, len(data), 4096):
        data[block] ^= 1
    path.write_bytes(data)
    said = place.dragon("attribute", "tiny", "I like the cat very much")
    assert said.fault.startswith(f"dragon: {path}: block ")


class Draw(NamedTuple):
    corpus: str
    document_id: str
    tokens: int
    first_step: int


def test_a_place_says_when_a_training_read_it(
    found: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = texts(found)
    phrase = "What is your hobby?"
    having = [name for name, text in known.items() if phrase in text]
    late = having[5]
    rows = {
        "tiny/foundation": [Draw("toy_dialogues", late, 640, 12)],
        "tiny/toy_reply_assistant": [
            Draw("examples", late, 20, 7), Draw("examples", late, 30, 3),
            Draw("examples", having[0], 9, 1),
        ],
    }  # fmt: skip
    monkeypatch.setattr(Checkpoint, "draws", lambda self: iter(rows[self.key]), raising=False)
    searched = opened(found.store, "tiny/toy_reply_assistant")
    (passage,) = attribute(searched, phrase, places=3)
    assert [place.document_id for place in passage.places] == [having[0], late, having[1]]
    assert passage.places[0].readings == (Reading("tiny/toy_reply_assistant", 1, 9),)
    assert set(passage.places[1].readings or ()) == {
        Reading("tiny/foundation", 12, 640), Reading("tiny/toy_reply_assistant", 3, 50),
    }  # fmt: skip
    assert passage.places[2].readings == ()
    lines = found.dragon("attribute", "tiny", phrase, "--places", "2").out.splitlines()
    assert lines[2].endswith("  tiny/foundation read it from step 12 on, 640 tokens")
    assert lines[3].endswith("  never read")
    monkeypatch.setattr(Checkpoint, "draws", lambda _: iter(()))
    (passage,) = attribute(opened(found.store, "tiny"), phrase)
    assert [place.readings for place in passage.places] == [None] * 3
