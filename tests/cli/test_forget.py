"""``dragon forget``: the list that the recipes read, what it costs, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.corpora.forgotten import read_list
from tests.conftest import Place
from tests.lineage.made_up import MadeUp, checkpoint, document, documents, plain, raw_text, shards

ROWS = [document("talk", number) for number in range(3)]
CORPUS = "corpora:\n  talk:\n"
TOKENS = ("TokenizerFiles", plain("a tokenizer"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A store with a corpus and what two recipes made of it, in a project without recipes."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    made = MadeUp(tmp_path / "store")
    for corpus in ("talk", "tales"):  # of the same source
        raw = made.publish(f"{corpus}/raw_text", "RawText", raw_text(ROWS))
        fill = documents({"train": ROWS})
        clean = made.publish(f"{corpus}/documents", "Documents", fill, {"raw_text": raw})
        read = {f"documents/{corpus}": clean, "tokenizer": made.publish("one/tokenizer", *TOKENS)}
        if corpus == "talk":
            tokens = made.publish("one/token_shards", "TokenShards", shards({"talk": ROWS}), read)
    fill = _trained([("talk", one.id, "", one.sha256, 4, 3) for one in ROWS], "1")
    first = made.publish("one/foundation", "Checkpoint", fill, {"token_shards": tokens})
    made.publish("one/talk_reply_assistant", "Checkpoint", _trained([], "2"), {"foundation": first})
    return Place(tmp_path / "home", tmp_path / "store")


def _trained(draws: list[tuple[str, str, str, str, int, int]], mark: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        checkpoint(draws, mark)(folder)
        (folder / "receipt.json").write_text(json.dumps({"steps": 40, "last": "", "links": {}}))

    return fill


COMMAND = ("forget", "talk", "talk-0", "--reason", "asked for")


def test_it_says_what_it_costs_and_why(here: Place) -> None:
    said = here.dragon(*COMMAND, "--no-near")
    assert said.code == 0, said.err
    assert "one/foundation  0 s last time; first read in step 3 of 40" in said.out
    assert "none of its 40 steps read them, but one/foundation is made anew" in said.out
    assert "tales holds the same text and keeps it: dragon forget tales DOCUMENT" in said.out
    assert "tales/documents" not in said.out


def test_it_writes_the_list_that_the_recipes_read(
    here: Place, recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        file = recipe_file((CORPUS, f"{CORPUS}    forget: lists/mine.json\n"), name=name)
        file.rename(tmp_path / "recipes" / file.name)
    (tmp_path / "lists").mkdir()
    said = here.dragon(*COMMAND, "--no-near", "--yes")
    assert said.code == 0, said.err
    assert f"{tmp_path / 'lists/mine.json'}: has 1 more" in said.out
    assert [entry["id"] for entry in read_list(tmp_path, "lists/mine.json")["documents"]] == [
        "talk-0"
    ]
    assert not (tmp_path / "forgotten").exists()
    assert "has 0 more" in here.dragon(*COMMAND, "--no-near", "--yes").out
    file = recipe_file((CORPUS, f"{CORPUS}    forget: lists/other.json\n"), name="three")
    file.rename(tmp_path / "recipes" / file.name)
    fault = here.dragon(*COMMAND).fault
    assert "talk: the recipes name several lists (lists/mine.json, lists/other.json)" in fault


def test_what_it_cannot_do_is_one_line(here: Place, tmp_path: Path) -> None:
    certificate = ("--certificate", "told.json")
    for more in (("talk-0",), ("--reason", "x"), ("--yes",)):
        said = here.dragon("forget", "talk", *more, *certificate)
        assert said.code == 2
        assert "--certificate takes a corpus alone" in said.err
    fault = here.dragon("forget", "talk", *certificate).fault
    assert "forgotten/talk.json: no such list; nothing of talk was forgotten" in fault
    fault = here.dragon("forget", "talks", "talk-0", "--reason", "x").fault
    assert fault.endswith(
        "talks: this store has no documents of such a corpus; did you mean 'talk'?"
    )
    assert here.dragon(*COMMAND, "--no-near", "--yes").code == 0
    fault = here.dragon("forget", "talk", "--certificate", "nowhere/told.json").fault
    assert "nowhere: no such folder; make it" in fault
    (tmp_path / "forgotten/talk.json").write_text('{"documents": []}')
    assert "not proved" in here.dragon("forget", "talk", *certificate).fault
