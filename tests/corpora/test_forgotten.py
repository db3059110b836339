"""The list of forgotten documents: what is no list is named, and nobody's entries are lost."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.stanza import RecipeError
from pipelines.corpora.forgotten import read_list
from pipelines.lineage.chosen import Entry
from pipelines.lineage.forget import write_list

LIST = "forgotten/talk.json"
PART = {"id": "a", "split": "train", "bytes": 1, "tokens": {"t": 1}}
GOOD: dict[str, Any] = {
    "id": "a",
    "sha256": "a" * 64,
    "bytes": 1,
    "because": "",
    "reason": "asked",
    "when": "2026-11-30",
    "parts": [PART],
}


def listed(root: Path, content: str) -> None:
    (root / "forgotten").mkdir(exist_ok=True)
    (root / LIST).write_text(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(({name: None}, f"entry 1 has no {name}") for name in ("id", "because", "reason", "when")),
        ({"sha256": "A" * 64}, "entry 1: sha256 'AAAA"),
        ({"sha256": " ".join(["aa"] * 32)[:64]}, "entry 1: sha256 'aa aa"),
        ({"bytes": -1}, "entry 1: bytes of 'a'"),
        ({"bytes": True}, "entry 1: bytes of 'a'"),
        ({"parts": None}, "entry 1 has no parts"),
        ({"parts": [{**PART, "split": "all"}]}, "entry 1: split of 'a'"),
        ({"parts": [{**PART, "tokens": {"t": 0}}]}, "entry 1: parts of 'a'"),
        ({"parts": [{**PART, "id": 3}]}, "entry 1: parts of 'a'"),
    ],
)
def test_an_entry_that_is_none_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    listed(tmp_path, json.dumps({"documents": [GOOD]}))
    assert read_list(tmp_path, LIST) == {"documents": [GOOD]}
    listed(tmp_path, json.dumps({"documents": [{**GOOD, **change}]}))
    with pytest.raises(RecipeError, match=f"talk.json: is no list of forgotten.*{words}"):
        read_list(tmp_path, LIST)


@pytest.mark.parametrize("content", ["{}", "[]", "{", "3", '{"documents": [3]}'])
def test_nothing_is_added_to_what_is_no_list(tmp_path: Path, content: str) -> None:
    listed(tmp_path, content)
    with pytest.raises(RecipeError, match=r"talk\.json: is no list of forgotten documents"):
        write_list(tmp_path, LIST, [Entry("a", "a" * 64, 1)], "asked", "2026-11-30")
    assert (tmp_path / LIST).read_text() == content


def test_many_that_forget_at_once_lose_nothing(tmp_path: Path) -> None:
    def add(number: int) -> int:
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        return write_list(tmp_path, LIST, [Entry(str(number), sha256, 1)], "asked", "today")[1]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(40))) == 40
    known = {entry["id"] for entry in read_list(tmp_path, LIST)["documents"]}
    assert known == set(map(str, range(40)))
    assert add(3) == 0
    assert [path.name for path in (tmp_path / "forgotten").iterdir()] == ["talk.json"]
