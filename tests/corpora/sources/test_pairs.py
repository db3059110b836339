"""Pairs, such as translations: two turns of a conversation, whatever they come as."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corpora.sources import Document, hub, read_source
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.corpora.sources.kinds.hub import HubSource
from pipelines.examples.pairs import conversation_pairs
from pipelines.text.errors import TextError

PAIRS = [("Go.", "Va\u202f!"), ("I see: a cat", "B: je vois"), ("x", "«\xa0y\xa0»")]


def read(path: Path, notes: Counter[str] | None = None, **options: Any) -> list[Document]:
    source = FolderSource.model_validate(
        {"kind": "folder", "path": str(path), "outside": True, "licence": "MIT", **options}
    )
    return list(read_source(source, folder_root=path, cache=path, notes=notes))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("more", ["", "\tCC-BY 2.0, by Anna", "\t"])
def test_lines_of_source_and_target_are_conversations(tmp_path: Path, end: str, more: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_bytes("".join(f"{a}\t{b}{more}{end}" for a, b in PAIRS).encode())
    found = read(file, format="pairs")
    assert [d.text for d in found] == [f"A: {a}\nB: {b}" for a, b in PAIRS]
    assert [conversation_pairs(d.text) for d in found] == [[([a], b)] for a, b in PAIRS]
    assert [d.id for d in found] == [f"pairs.txt:{line}" for line in (1, 2, 3)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no tab here", "not `source TAB target`; mend the line or correct `format`"),
        ("", "not `source TAB target`; mend the line or correct `format`"),
        ("alone\t", "field 'target' is empty, but a pair needs both; mend the row"),
        (" \tseul", "field 'text' is empty, but a pair needs both; mend the row"),
    ],
)
def test_half_a_pair_is_a_bad_row(tmp_path: Path, line: str, fault: str) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text(f"one\tun\n{line}\ntwo\tdeux\n")
    with pytest.raises(TextError) as error:
        read(file, format="pairs")
    assert f"pairs.tsv:2: {fault}" in str(error.value)
    notes: Counter[str] = Counter()
    found = read(file, notes, format="pairs", on_bad_row="drop")
    assert [d.text for d in found] == ["A: one\nB: un", "A: two\nB: deux"]
    assert notes == {"bad_rows_dropped": 1}


def test_records_with_a_target_are_conversations_too(tmp_path: Path) -> None:
    rows = [{"pair": {"en": a, "fr": b}, "of": "t"} for a, b in PAIRS]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    fields = {"text": "pair.en", "target": "pair.fr", "label": "of"}
    found = read(tmp_path, fields=fields)
    assert [d.text for d in found] == 2 * [f"A: {a}\nB: {b}" for a, b in PAIRS]
    assert {d.label for d in found} == {"t"}


def test_a_field_of_many_lines_is_one_turn_of_these_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('en,fr\n"one\ntwo ","\nun\n\n  B: deux"\n', newline="")
    (document,) = read(file, fields={"text": "en", "target": "fr"})
    assert document.text == "A: one\ntwo\nB: un\n\n\\  B: deux"
    assert conversation_pairs(document.text) == [(["one\ntwo"], "un\n\n  B: deux")]


def test_a_target_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one", "targets": "un"}\n')
    with pytest.raises(TextError, match=r"a\.jsonl:1: no field 'target' \(the nearest is 'targets"):
        read(file, fields={"target": "target"})


def test_pairs_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = HubSource.model_validate(
        {
            "kind": "hub",
            "dataset": "some/pairs",
            "revision": "a" * 40,
            "fields": {"text": "translation.en", "target": "translation.fr"},
            "licence": "MIT",
        }
    )
    rows = [{"translation": {"en": a, "fr": b}} for a, b in PAIRS]
    monkeypatch.setattr(hub, "hub_rows", lambda _: iter(rows))
    found = list(read_source(source, folder_root=tmp_path, cache=tmp_path))
    assert [d.text for d in found] == [f"A: {a}\nB: {b}" for a, b in PAIRS]


def test_sentences_of_tatoeba(reference: Path) -> None:
    file = reference / "translate" / "eng-fra.txt"
    found = read(file, format="pairs")
    assert len(found) == file.read_text().count("\n")
    assert found[0].text == "A: Go.\nB: Va !"
    assert all(len(conversation_pairs(d.text)) == 1 for d in found)
    assert not any("tatoeba" in d.text.lower() for d in found)


def test_rows_of_a_table_may_end_in_a_delimiter(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("en,fr\none,un,\ntwo,deux\n")
    fields = {"text": "en", "target": "fr"}
    assert [d.text for d in read(file, fields=fields)] == ["A: one\nB: un", "A: two\nB: deux"]
    file.write_text("en,fr\none,un,uno\n")
    with pytest.raises(TextError, match=r"a\.csv:2: 3 fields under a header of 2"):
        read(file, fields=fields)


SHARED = {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]}
OPEN = {"messages": [{"role": "user", "content": "Hi."}]}


@pytest.mark.parametrize("row", [SHARED, OPEN])
@pytest.mark.parametrize("mapped", [True, False])
def test_lists_of_messages_are_told_how_to_be_read(
    tmp_path: Path, row: dict[str, Any], mapped: bool
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "b.parquet")
    (name,) = row
    fields = {"text": name} if mapped else {}
    for file in ("a.jsonl", "b.parquet"):
        told = rf"{file}(:1)?: .*; set fields: \{{messages: {name}\}} to read a list of messages"
        with pytest.raises(TextError, match=told):
            read(tmp_path / file, fields=fields)


def test_another_layout_than_conversations_is_told_which_is_read(tmp_path: Path) -> None:
    for name, text in (("a", json.dumps(OPEN) + "\n" + json.dumps(OPEN)), ("b", "[]")):
        (tmp_path / name).write_text(text)
        with pytest.raises(
            TextError, match=rf'{name}: not .*; the format is one object, {{id: {{"me'
        ):
            read(tmp_path / name, format="conversations")


def test_an_input_that_no_field_names_is_counted(tmp_path: Path) -> None:
    rows = [{"instruction": "Add.", "input": told, "output": "3"} for told in ("1, 2", "", "2, 1")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    fields, notes = {"text": "instruction", "target": "output"}, Counter[str]()
    assert len(read(tmp_path, notes, fields=fields)) == 6
    assert notes == {"rows_whose_input_is_left_out": 4}
