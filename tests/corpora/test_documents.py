"""Tables, splitting, and raw text to documents with a ledger that accounts for it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipelines.corpora.artefacts import DROPPED, read_dropped
from pipelines.corpora.cleaning.step import StepOptions
from pipelines.corpora.cleaning.steps import sections
from pipelines.corpora.cleaning.steps.normalise import clean_text
from pipelines.corpora.documents import make_documents
from pipelines.corpora.ledger import LEDGER, LICENCES, MAX_LICENCE, OTHER_LICENCES, Ledger
from pipelines.corpora.splits import SPLITS
from pipelines.corpora.splitting import Splitting, split_of
from pipelines.report import card
from pipelines.text import tables
from pipelines.text.errors import TextError
from pipelines.text.tables import (
    TABLES,
    Document,
    Unread,
    open_table,
    read_documents,
    write_documents,
    write_index,
)

any_text = st.text(st.characters(exclude_categories=["Cs"]))
STEPS = TypeAdapter(tuple[sections(), ...])


def documents(texts: Sequence[str]) -> list[Document]:
    return [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts)]


def steps(*told: str | dict[str, Any]) -> tuple[StepOptions, ...]:
    return STEPS.validate_python([{"step": t} if isinstance(t, str) else t for t in told])


def make(
    folder: Path,
    given_in: Sequence[Document],
    cleaning: tuple[StepOptions, ...] | None = None,
    splitting: Splitting | None = None,
    workers: int = 1,
) -> Ledger:
    """Documents of a raw table beside them."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    index = write_documents(raw, "documents.arrow", given_in)
    chosen = steps("normalise", "duplicates") if cleaning is None else cleaning
    return make_documents(raw, index, chosen, splitting or Splitting(), folder, workers=workers)


def kept_in(folder: Path) -> dict[str, list[Document]]:
    return {s: list(read_documents(open_table(folder, f"{s}.arrow"))) for s in SPLITS}


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- tables -------------------------------------------------------------------------------------


def test_documents_come_back(tmp_path: Path) -> None:
    made = [
        Document("1", "text", "s", "MIT", "ham", ("normalise", "personal_data: 1 email")),
        Document("2", "\0 é 猫", "s", "MIT", None),
    ]
    index = write_documents(tmp_path, "d.arrow", iter(made))
    write_index(tmp_path, [index])
    assert index.rows == 2
    table = open_table(tmp_path, "d.arrow")
    assert list(read_documents(table)) == made
    assert [row[0] for row in table.rows(["sha256"])] == [d.sha256 for d in made]


def test_batches_are_bounded_in_rows_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 3)
    monkeypatch.setattr(tables, "BYTES_PER_BATCH", 100)
    index = write_documents(tmp_path, "d.arrow", documents(["x"] * 7 + ["y" * 200] * 2))
    assert [batch.rows for batch in index.batches] == [3, 3, 1, 1, 1]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_documents(tmp_path, name, documents(["one", "two"]))
    assert sha(tmp_path / "a") == sha(tmp_path / "b")


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"absent\.arrow: no such table"):
        open_table(tmp_path, "absent.arrow")
    (tmp_path / TABLES).write_text("{}")
    with pytest.raises(TextError, match=r"tables\.json: not an index of tables"):
        open_table(tmp_path, "d.arrow")


# --- splitting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "split"), [("0" * 64, "test"), ("f" * 64, "train"), ("1" + "9" * 63, "validation")]
)
def test_known_splits(digest: str, split: str) -> None:
    assert split_of(digest, Splitting(validation=0.1, test=0.05)) == split


def test_appended_documents_move_no_old_one(tmp_path: Path, texts: list[str]) -> None:
    where: list[dict[str, str]] = []
    for count in (200, 300):
        make(tmp_path / str(count), documents(texts[:count]))
        kept = kept_in(tmp_path / str(count))
        where.append({d.id: split for split, rows in kept.items() for d in rows})
    old, new = where
    assert len(new) > len(old)
    assert old.items() <= new.items()


# --- all of it ----------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(any_text, max_size=20))
def test_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    given_in = documents([*texts, "a text that stays for training, as its hash says"])
    cleaning = steps("normalise", {"step": "length", "min_characters": 2}, "duplicates")
    ledger = make(folder, given_in, cleaning)
    kept = kept_in(folder)
    assert {split: len(rows) for split, rows in kept.items()} == ledger.kept
    assert ledger.documents_in == len(given_in) == ledger.kept.total() + ledger.dropped.total()
    assert ledger.bytes_in == sum(len(d.text.encode()) for d in given_in)
    assert ledger.lengths.total() == ledger.licences.total() == ledger.kept.total()
    everything = [d.text for rows in kept.values() for d in rows]
    assert len(set(everything)) == len(everything)
    assert set(everything) == {
        text for d in given_in if len(text := clean_text(d.text, "NFC")) >= 2
    }
    for split, rows in kept.items():
        assert ledger.bytes_kept[split] == sum(len(d.text.encode()) for d in rows)
        assert {split_of(d.sha256, Splitting()) for d in rows} <= {split}
    left = list(read_dropped(open_table(folder, DROPPED)))
    assert len(left) == ledger.dropped.total()
    ids = [d.id for rows in kept.values() for d in rows] + [row.id for row in left]
    assert sorted(ids) == sorted(d.id for d in given_in)


def test_every_drop_has_its_reason_and_its_example(tmp_path: Path, texts: list[str]) -> None:
    rows = documents([*texts[:50], "", " \r\n", "tiny", texts[0] + "\r\n", texts[1]])
    cleaning = steps("normalise", {"step": "length", "min_characters": 5}, "duplicates")
    ledger = make(tmp_path, rows, cleaning)
    assert ledger.dropped == {"empty": 2, "short": 1, "duplicate": 2}
    written = (tmp_path / LEDGER).read_bytes()
    assert Ledger.from_json(written) == ledger
    assert json.loads(written) == ledger.as_dict()
    left = {row.id: row for row in read_dropped(open_table(tmp_path, DROPPED))}
    assert {i: left[f"d{i}"].reason for i in range(50, 55)} == {
        50: "empty",
        51: "empty",
        52: "short",
        53: "duplicate",
        54: "duplicate",
    }
    assert left["d52"].text == "tiny"
    assert [left[f"d{i}"].original for i in range(50, 55)] == ["", "", "", "d0", "d1"]


def test_rows_that_were_left_out_before_are_counted_and_listed(
    tmp_path: Path, texts: list[str]
) -> None:
    raw, rows = tmp_path / "raw", documents([*texts[:50], ""])
    raw.mkdir()
    index = write_documents(raw, "documents.arrow", rows)
    unread = [
        Unread(f"a.jsonl:{line}", "a.jsonl", "MIT", "null_field", "field 'text' is null")
        for line in (3, 7)
    ]
    cleaning, split = steps("normalise", "duplicates"), Splitting()
    ledger = make_documents(raw, index, cleaning, split, tmp_path, unread=unread)
    assert (ledger.documents_in, ledger.unread, ledger.kept.total()) == (53, 2, 50)
    assert ledger.dropped == {"empty": 1, "null_field": 2}
    assert [step.documents_in for step in ledger.steps] == [51, 50]
    assert Ledger.from_json((tmp_path / LEDGER).read_bytes()) == ledger
    left = [row for row in read_dropped(open_table(tmp_path, DROPPED)) if row.text == ""]
    assert [(row.id, row.reason, row.detail) for row in left[1:]] == [
        ("a.jsonl:3", "null_field", "field 'text' is null"),
        ("a.jsonl:7", "null_field", "field 'text' is null"),
    ]
    shown = card.tables(ledger)
    assert shown["cleaning"][0]["step"] == "reading"
    assert (shown["cleaning"][0]["in"], shown["cleaning"][0]["left"]) == (53, 51)
    assert card.headline(ledger).startswith("53 documents of ")
    assert card.steps(ledger)[:2] == [("came", 53, 0), ("reading", 51, 2)]
    ledger.unread = 1
    match = "step normalise counts documents_in=51, but 52 documents reached it"
    with pytest.raises(TextError, match=match):
        ledger.add_up()


def test_licences_beyond_a_thousand_are_counted_together() -> None:
    ledger = Ledger()
    for number in range(LICENCES + 5):
        ledger.keep("train", Document("d", "x", "s", f"licence {number}" + "." * 10_000), 1)
    ledger.keep("train", Document("d", "x", "s", "licence 3" + "." * 10_000), 1)
    assert len(ledger.licences) == LICENCES + 1
    assert ledger.licences[OTHER_LICENCES] == 5
    assert ledger.licences.total() == ledger.kept.total() == LICENCES + 6
    assert max(map(len, ledger.licences)) <= MAX_LICENCE
    assert max(ledger.licences.values()) == 5
    assert sorted(ledger.licences.values())[-2] == 2


def test_each_step_has_its_entry_and_each_document_its_changes(tmp_path: Path) -> None:
    long = "A line of words that is long enough to stay for training. " * 3
    rows = documents([f"{long}\r\nno. {i} from someone{i}@example.org" for i in range(30)])
    cleaning = steps("duplicates", "personal_data", "normalise", "duplicates")
    ledger = make(tmp_path, rows, cleaning)
    first, masked, normal, again = ledger.steps
    assert (first.documents_in, first.changed, first.dropped) == (30, 0, 0)
    assert (masked.step, masked.documents_in, masked.changed) == ("personal_data", 30, 30)
    assert masked.bytes_out < masked.bytes_in == first.bytes_out
    assert (normal.changed, normal.dropped) == (30, 0)
    assert again.documents_in == 30
    (document, *_) = kept_in(tmp_path)["train"]
    assert [change.split(":")[0] for change in document.changes] == ["personal_data", "normalise"]


def test_near_duplicates_name_what_they_are_like(tmp_path: Path, texts: list[str]) -> None:
    words = " ".join(texts[:3]).split()
    edited = " ".join(["changed", *words[1:]])
    rows = documents([" ".join(words), edited, *texts[10:40]])
    ledger = make(tmp_path, rows, steps("normalise", "near_duplicates"))
    (like, *_) = [
        row
        for row in read_dropped(open_table(tmp_path, DROPPED))
        if row.reason == "near_duplicate" and row.id == "d1"
    ]
    assert "d0" in like.detail
    assert like.original == "d0"
    assert ledger.dropped["near_duplicate"] >= 1


def test_labels_that_contradict_are_told_from_repeats(tmp_path: Path) -> None:
    words = "one two three four five six seven eight nine ten"
    given_in = [
        (words, "ham"), (words, "spam"), (words, "ham"), (words, None), (f"{words} more", "spam"),
        (f"{words} still", "ham"), ("no label", None), ("no label", "a"), ("no label", "b"),
    ]  # fmt: skip
    rows = [Document(f"d{i}", t, "made", "CC0-1.0", label) for i, (t, label) in enumerate(given_in)]
    cleaning = steps("duplicates", {"step": "near_duplicates", "similarity": 0.5})
    ledger = make(tmp_path, rows, cleaning, Splitting(validation=0, test=0))
    assert ledger.dropped == {
        "contradicting_label": 2,
        "duplicate": 3,
        "near_duplicate_other_label": 1,
        "near_duplicate": 1,
    }
    left = {row.id: row for row in read_dropped(open_table(tmp_path, DROPPED))}
    assert left["d1"].label == "spam"
    assert left["d1"].detail == "the same text as an earlier document, whose label is ham"
    assert left["d4"].reason == "near_duplicate_other_label"
    assert left["d4"].detail.endswith("like d0, whose label is ham")
    assert (left["d8"].reason, left["d8"].label) == ("contradicting_label", "b")
    assert {name: left[name].original for name in ("d1", "d2", "d4", "d8")} == {
        "d1": "d0",
        "d2": "d0",
        "d4": "d0",
        "d8": "d6",
    }


def test_any_number_of_workers_gives_the_same_bytes(
    tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 20)
    cleaning = steps("normalise", "personal_data", "duplicates", "near_duplicates")
    for workers in (1, 2):
        make(tmp_path / str(workers), documents(texts), cleaning, workers=workers)
    for path in (*(f"{s}.arrow" for s in SPLITS), DROPPED, LEDGER, TABLES):
        assert sha(tmp_path / "1" / path) == sha(tmp_path / "2" / path), path


def test_a_ledger_that_does_not_add_up_is_refused() -> None:
    ledger = Ledger(documents_in=3)
    ledger.keep("train", Document("a", "b", "c", "d"), 1)
    with pytest.raises(TextError, match="documents_in=3 \\+ added=0 is not kept=1 \\+ dropped=0"):
        ledger.add_up()
    with pytest.raises(TextError, match=r"ledger\.json: not a ledger"):
        Ledger.from_json('{"unknown": 1}')
    with pytest.raises(TextError):
        Ledger.from_json(ledger.to_json())


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    cleaning = steps("normalise", {"step": "length", "min_characters": 9})
    with pytest.raises(TextError, match=r"2 documents in, 0 kept.*dropped: 1 empty, 1 short"):
        make(tmp_path, documents(["", "x"]), cleaning)
    assert not (tmp_path / LEDGER).exists()
