"""Forgetting: replay ends where a training from scratch ends, and nothing of the text is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora.artefacts import Documents, RawText
from pipelines.lineage import absence
from pipelines.training.artefacts import Checkpoint
from tests.conftest import Place

KEPT = ("checkpoint_every: 4", "keep: {every: 2}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, where lists of forgotten documents may lie."""
    root = tmp_path / "project"
    (root / "recipes").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


@pytest.mark.timeout(900)
def test_a_document_is_forgotten_by_replay(
    made: Place, home: Path, project: Path, recipe_file: Callable[..., Path]
) -> None:
    recipe = recipe_file(KEPT)
    shutil.copy(recipe, project / "recipes")
    command = ("run", "smaller", "--select", "smaller/foundation")
    said = made.dragon(*command)
    assert said.code == 0, said.err
    before = made.store.current("smaller/foundation", Checkpoint)
    draws = sorted(before.draws(), key=lambda draw: draw.first_step)
    late = next(draw for draw in draws if draw.first_step > 6)
    text = next(
        d.text
        for d in made.store.current("talk/documents", Documents).split("train")
        if d.id == late.document_id
    )

    said = made.dragon("forget", "talk", late.document_id, "--reason", "asked for")
    assert "nothing was written" in said.out
    assert f"first read in step {late.first_step} of 12" in said.out
    assert not (project / "forgotten").exists()
    said = made.dragon("forget", "talk", late.document_id, "--reason", "asked for", "--yes")
    assert said.code == 0, said.err
    listed = json.loads((project / "forgotten/talk.json").read_text())["documents"]
    assert text not in json.dumps(listed)
    assert late.document_id in [entry["id"] for entry in listed]

    said = made.dragon(*command)
    assert said.code == 0, said.err
    after = made.store.current("smaller/foundation", Checkpoint)
    assert after.version != before.version
    assert late.document_id not in {draw.document_id for draw in after.draws()}
    states = made.store.current_record("smaller/foundation_states")
    same_tokenizer = len(made.store.versions("smaller/tokenizer")) == 1
    if same_tokenizer:
        assert states.made["replayed"]["step"] == (late.first_step - 1) // 2 * 2
    else:
        assert "begins anew: other tokenizer than" in said.out + said.err
    fresh = Place(home, project / "fresh")
    said = fresh.dragon(*command)
    assert said.code == 0, said.err
    assert fresh.store.versions("smaller/foundation") == [after.version]
    assert "replayed" not in fresh.store.current_record("smaller/foundation_states").made

    said = made.dragon("forget", "talk", "--certificate", "gone.json")
    assert said.code == 0, said.err
    told = json.loads((project / "gone.json").read_text())
    assert told["scan"]["texts"] >= 1
    assert told["scan"]["found"] == []
    assert told["forgotten"][0]["reason"] == "asked for"
    assert text not in (project / "gone.json").read_text()


def test_the_scan_finds_a_text_that_is_there(made: Place) -> None:
    document = next(made.store.current("talk/raw_text", RawText).documents())
    text = absence.Text("", document.id, document.text, is_clean=False)
    found = absence.scan(made.store, [text]).found
    assert any(place.startswith("talk/raw_text: documents.arrow") for place in found)


def test_a_near_copy_that_stays_is_told(
    home: Path, tmp_path: Path, project: Path, recipe_file: Callable[..., Path]
) -> None:
    words = [f"word{number}" for number in range(60)]
    texts = {f"{name}.txt": f"{name} " * 40 for name in ("one", "two", "three", "four", "five")}
    texts |= {"planted.txt": " ".join(words), "near.txt": " ".join([*words[:55], *"vwxyz"])}
    (project / "texts").mkdir()
    for name, text in texts.items():
        (project / "texts" / name).write_text(text)
    source = "source: {kind: folder, path: texts, licence: CC0-1.0}"
    old = "source: {kind: generated, generator: dialogues, documents: 300, seed: 5}"
    shutil.copy(recipe_file((old, source)), project / "recipes")
    place = Place(home, tmp_path / "store")
    said = place.dragon("run", "smaller", "--select", "talk/documents")
    assert said.code == 0, said.err
    said = place.dragon("forget", "talk", "planted.txt", "--reason", "asked for")
    assert said.code == 0, said.err
    assert "talk near.txt: " in said.out
    assert "of planted.txt" in said.out
    assert "one.txt" not in said.out
    said = place.dragon("forget", "talk", "planted.txt", "near.txt", "--reason", "asked for")
    assert "nearly the same" not in said.out
    assert said.out.index("talk/raw_text") < said.out.index("talk/documents")
    silent = place.dragon("forget", "talk", "planted.txt", "--reason", "x", "--no-near")
    assert "nearly the same" not in silent.out


def test_an_unknown_document_is_one_line(made: Place, project: Path) -> None:
    del project
    said = made.dragon("forget", "talk", "nobody", "--reason", "x")
    assert said.code == 1
    assert "has no document 'nobody'" in said.err
    assert "name the documents" in made.dragon("forget", "talk").err


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"documents": [{"sha256": "x"}]}', '{"documents": [{}]}'],
)
def test_a_damaged_list_is_named(
    made: Place, project: Path, recipe_file: Callable[..., Path], content: str
) -> None:
    shutil.copy(recipe_file(), project / "recipes")
    (project / "forgotten").mkdir()
    (project / "forgotten/talk.json").write_text(content)
    said: Any = made.dragon("run", "smaller", "--select", "talk/raw_text")
    assert said.code == 1
    assert "is no list of forgotten documents" in said.fault
