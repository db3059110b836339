"""What a person means by the documents to forget: equals, copies, parts, dropped documents."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipelines.core.artefact import Artefact
from pipelines.core.record import StoreError
from pipelines.corpora.artefacts import DROPPED, DroppedRow, Forgotten, RawText, dropped_schema
from pipelines.corpora.cleaning.steps import sections
from pipelines.corpora.documents import make_documents
from pipelines.corpora.forgotten import read_list
from pipelines.corpora.raw_text import _without
from pipelines.corpora.splitting import Splitting
from pipelines.lineage.chosen import Entry, chosen, raw_id
from pipelines.lineage.forget import write_list
from pipelines.text.tables import (
    Document,
    Hole,
    TableWriter,
    open_table,
    rows_of,
    write_documents,
    write_index,
)
from tests.lineage.made_up import Fill, MadeUp, document, documents, raw_text

STEPS = TypeAdapter(tuple[sections(), ...])
ALL_TRAIN = Splitting(validation=0, test=0)


def made_of(name: str, text: str) -> Document:
    return Document(name, text, "c.txt", "CC0-1.0")


def left(name: str, reason: str, original: str = "", text: str = "x") -> DroppedRow:
    return DroppedRow(name, "c.txt", "CC0-1.0", reason, "", len(text), text, None, original)


def cleaned(raw: Artefact, *steps: str) -> Fill:
    """The files of documents that the named steps make of a raw text, all of them for training."""
    cleaning = STEPS.validate_python([{"step": step} for step in steps])

    def fill(folder: Path) -> None:
        index = raw.table(RawText.TABLE).index
        make_documents(raw.folder, index, cleaning, ALL_TRAIN, folder)

    return fill


def corpus(
    made: MadeUp, rows: Sequence[Document], kept: Sequence[Document], dropped: Iterable[DroppedRow]
) -> None:
    raw = made.publish("c/raw_text", "RawText", raw_text(rows))
    fill = documents({"train": kept}, dropped)
    made.publish("c/documents", "Documents", fill, {"raw_text": raw})


def ids_of(entries: Iterable[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def with_holes(folder: Path, rows: Sequence[Document], listed: Artefact) -> list[str]:
    """The training documents of rows whose listed ones are holes; a hole's id has a sign."""
    assert isinstance(listed, Forgotten)
    (folder / "raw").mkdir(parents=True)
    holes = _without(listed.by_digest(), rows, Counter())
    index = write_documents(folder / "raw", RawText.TABLE, holes)
    steps = STEPS.validate_python([{"step": "duplicates"}])
    make_documents(folder / "raw", index, steps, ALL_TRAIN, folder)
    (batch,) = open_table(folder, "train.arrow").batches()
    return [f"-{row.id}" if isinstance(row, Hole) else row.id for row in rows_of(batch)]


def test_an_equal_text_that_was_dropped_leaves_no_hole_of_its_own(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "store")
    rows = [document("c", number) for number in range(6)]
    rows.append(document("c", 6, rows[0].text))
    raw = made.publish("c/raw_text", "RawText", raw_text(rows))
    made.publish("c/documents", "Documents", cleaned(raw, "duplicates"), {"raw_text": raw})
    entries = chosen(made.store, "c", ["c-0"]).entries
    assert [(entry.id, entry.because, len(entry.parts)) for entry in entries] == [
        ("c-0", "", 1),
        ("c-6", "c-0", 0),
    ]
    path, count = write_list(tmp_path, "lists/c.json", entries, "asked for", "2026-11-30")
    assert (path, count) == (tmp_path / "lists/c.json", 2)
    assert write_list(tmp_path, "lists/c.json", entries, "again", "2026-12-01")[1] == 0
    told = json.dumps(read_list(tmp_path, "lists/c.json"))
    listed = made.publish("c/forgotten", "Forgotten", lambda to: write(to, told))
    kept = with_holes(tmp_path / "after", rows, listed)
    assert kept == ["-c-0", "c-1", "c-2", "c-3", "c-4", "c-5"]


def write(folder: Path, content: str) -> None:
    (folder / Forgotten.LIST).write_text(content)


def test_a_listed_text_under_another_id_is_left_out_too(tmp_path: Path) -> None:
    entry = {"id": "a", "sha256": made_of("a", "text").sha256, "bytes": 4, "parts": []}
    told = json.dumps({"documents": [entry]})
    made = MadeUp(tmp_path / "store")
    listed = made.publish("c/forgotten", "Forgotten", lambda to: write(to, told))
    rows = [made_of("renamed", "text"), made_of("other", "another")]
    assert with_holes(tmp_path / "after", rows, listed) == ["other"]


def test_an_equal_text_that_was_kept_is_named(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "store")
    rows = [made_of("a", "the same"), made_of("b", "another"), made_of("c", "the same")]
    raw = made.publish("c/raw_text", "RawText", raw_text(rows))
    made.publish("c/documents", "Documents", cleaned(raw, "normalise"), {"raw_text": raw})
    entries = chosen(made.store, "c", ["a"]).entries
    assert [[part["id"] for part in entry.parts] for entry in entries] == [["a"], ["c"]]


def test_copies_are_those_whose_every_part_is_one(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g", "x")
    kept = [document("c", 0)._replace(id="a"), document("c", 1)._replace(id="x")]
    kept.append(document("c", 2)._replace(id="e#2/2"))
    dropped = [
        left("b", "near_duplicate_other_label", "a"),
        left("c", "contradicting_label", "a"),
        left("d", "duplicate", "x", kept[0].text),  # as long as the text of a, and begins so
        left("e#1/2", "duplicate", "a"),
        left("f#1/2", "duplicate", "a"),
        left("f#2/2", "short"),
        left("g", "near_duplicate", "b"),
    ]
    made = MadeUp(tmp_path)
    rows = [document("raw", at)._replace(id=name) for at, name in enumerate(names)]
    corpus(made, rows, kept, dropped)
    found = chosen(made.store, "c", ["a"])
    because = {entry.id: entry.because for entry in found.entries}
    assert because == {"a": "", "b": "a", "c": "a", "f": "a", "g": "b"}
    assert found.partly == {"e": "a"}
    assert ids_of(chosen(made.store, "c", ["x"]).entries) == ["d", "x"]


def test_a_dropped_document_can_be_taken_back(tmp_path: Path) -> None:
    made = MadeUp(tmp_path)
    rows = [document("c", number) for number in range(3)]
    text = rows[1].text[:20]
    corpus(made, rows, rows[:1], [left("c-1", "short", "", text), left("c-2", "short")])
    for name in ("c-1", rows[1].sha256, hashlib.sha256(text.encode()).hexdigest()):
        assert ids_of(chosen(made.store, "c", [name]).entries) == ["c-1"]
    with pytest.raises(StoreError, match="has no document 'bad'"):  # a row that is no document
        chosen(made.store, "c", ["bad"])


def test_a_sign_in_an_id_is_no_part(tmp_path: Path) -> None:
    assert raw_id("C#/intro.txt") == "C#/intro.txt"
    assert raw_id("C#/intro.txt#2/3#1/2") == "C#/intro.txt"
    assert raw_id("a#1/2", {"a#1/2"}) == "a#1/2"
    assert raw_id("a#1/2#1/2", {"a#1/2"}) == "a#1/2"
    made = MadeUp(tmp_path)
    texts = {name: f"the text of {name}" for name in ("C#/intro.txt", "a", "a#1/2", "b")}
    rows = [made_of(name, text) for name, text in texts.items()]
    corpus(made, rows, [*rows[:3], made_of("b#1/2", "one"), made_of("b#2/2", "two")], [])
    assert ids_of(chosen(made.store, "c", ["C#/intro.txt"]).entries) == ["C#/intro.txt"]
    assert ids_of(chosen(made.store, "c", ["a"]).entries) == ["a"]
    (entry,) = chosen(made.store, "c", ["b#2/2"]).entries
    assert [part["id"] for part in entry.parts] == ["b#1/2", "b#2/2"]


def test_documents_of_an_earlier_program_are_not_guessed_at(tmp_path: Path) -> None:
    made = MadeUp(tmp_path)
    rows = [document("c", number) for number in range(2)]
    raw = made.publish("c/raw_text", "RawText", raw_text(rows))
    fill = documents({"train": rows[:1]})

    def older(folder: Path) -> None:
        fill(folder)
        schema = dropped_schema()
        schema = schema.remove(schema.get_field_index("original"))
        with TableWriter(folder, DROPPED, schema) as writer:
            writer.add(left("c-1", "duplicate")[:-1], 1)
        told = json.loads((folder / "tables.json").read_text())["tables"]
        indexes = [open_table(folder, one["path"]).index for one in told if one["path"] != DROPPED]
        write_index(folder, [*indexes, writer.index])

    made.publish("c/documents", "Documents", older, {"raw_text": raw})
    with pytest.raises(StoreError, match=r"c/documents: an earlier program .* run the recipe"):
        chosen(made.store, "c", ["c-0"])


def test_an_unknown_corpus_is_named_with_the_nearest(tmp_path: Path) -> None:
    made = MadeUp(tmp_path)
    made.publish("tales/documents", "Documents", documents({"train": [document("c", 0)]}))
    with pytest.raises(StoreError, match=r"tale: this store has no documents .* 'tales'"):
        chosen(made.store, "tale", ["c-0"])
