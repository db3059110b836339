"""Tables, cleaning, deduplication, splitting and the ledger that accounts for it all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipe import Cleaning, Splitting
from pipelines.text import tables
from pipelines.text.cleaning import Dropped, clean, clean_text
from pipelines.text.documents import LEDGER, Ledger, make_documents
from pipelines.text.errors import TextError
from pipelines.text.splitting import SPLITS, split_of
from pipelines.text.tables import Document, read_documents, write_documents

any_text = st.text(st.characters(exclude_categories=["Cs"]))


def documents(texts: list[str]) -> list[Document]:
    return [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts)]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- tables -------------------------------------------------------------------------------------


def test_documents_come_back_from_file_and_from_memory(tmp_path: Path) -> None:
    made = [Document("1", "text", "s", "MIT", "ham"), Document("2", "\0 é 猫", "s", "MIT", None)]
    path = tmp_path / "d.arrow"
    assert write_documents(path, iter(made)) == 2
    assert list(read_documents(path)) == made
    assert list(read_documents(pa.py_buffer(path.read_bytes()))) == made
    with pa.memory_map(str(path)) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    assert table["sha256"].to_pylist() == [d.sha256 for d in made]


def test_batches_are_bounded_in_rows_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 3)
    monkeypatch.setattr(tables, "BYTES_PER_BATCH", 100)
    made = documents(["x"] * 7 + ["y" * 200] * 2)
    write_documents(tmp_path / "d.arrow", made)
    with pa.memory_map(str(tmp_path / "d.arrow")) as mapped:
        reader = pa.ipc.open_file(mapped)
        rows = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    assert rows == [3, 3, 2, 1]
    assert list(read_documents(tmp_path / "d.arrow")) == made


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_documents(tmp_path / name, documents(["one", "two"]))
    assert sha(tmp_path / "a") == sha(tmp_path / "b")


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"absent\.arrow: no such table"):
        list(read_documents(tmp_path / "absent.arrow"))
    (tmp_path / "cut.arrow").write_bytes(b"ARROW1\0\0")
    with pytest.raises(TextError, match=r"cut\.arrow: not a readable Arrow file"):
        list(read_documents(tmp_path / "cut.arrow"))
    (tmp_path / "empty.arrow").write_bytes(b"")
    with pytest.raises(TextError, match=r"empty\.arrow: not a readable Arrow file"):
        list(read_documents(tmp_path / "empty.arrow"))
    with pa.OSFile(str(tmp_path / "other.arrow"), "wb") as sink:
        pa.ipc.new_file(sink, pa.schema([("id", pa.string())])).close()
    with pytest.raises(TextError, match=r"other\.arrow: no column text"):
        list(read_documents(tmp_path / "other.arrow"))


# --- cleaning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("nul\0 bell\x07 tab\t. del\x7f", "nul bell tab\t. del"),
        ("e\u0301", "\u00e9"),
        ("  indented  \n\n  kept \t\n\n", "  indented\n\n  kept"),
        (" \n\t\n", ""),
    ],
)
def test_cleaning_does_what_it_says(raw: str, cleaned: str) -> None:
    assert clean_text(raw, "NFC") == cleaned


def test_the_unicode_form_is_the_recipes() -> None:
    assert clean_text("ﬁ e\u0301", "NFKC") == "fi é"
    assert clean_text("ﬁ e\u0301", "NFC") == "ﬁ é"
    assert clean_text("ﬁ e\u0301", "none") == "ﬁ e\u0301"


@given(any_text, st.sampled_from(["NFC", "NFKC", "none"]))
def test_cleaning_the_clean_changes_nothing(text: str, form: Any) -> None:
    cleaned = clean_text(text, form)
    assert clean_text(cleaned, form) == cleaned
    assert form == "none" or unicodedata.normalize(form, cleaned) == cleaned
    assert not {c for c in cleaned if c < " "} - {"\n", "\t"}


def test_empty_and_short_are_dropped_for_their_reason() -> None:
    rule = Cleaning(min_characters=3)
    one, two, three = documents([" \0\n", "ab  ", "abc"])
    assert clean(one, rule) == Dropped("empty")
    assert clean(two, rule) == Dropped("short")
    assert clean(three, rule) == three


# --- splitting ----------------------------------------------------------------------------------


def test_shares_are_kept_and_the_text_alone_decides() -> None:
    digests = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(20_000)]
    rule = Splitting(validation=0.1, test=0.05)
    found = [split_of(digest, rule) for digest in digests]
    assert abs(found.count("test") / len(found) - 0.05) < 0.01
    assert abs(found.count("validation") / len(found) - 0.1) < 0.01
    wider = Splitting(validation=0.3, test=0.05)
    for digest, split in zip(digests, found, strict=True):
        after = split_of(digest, wider)
        assert (after == "test") == (split == "test")
        assert split != "validation" or after == "validation"


@pytest.mark.parametrize(
    ("digest", "split"), [("0" * 64, "test"), ("f" * 64, "train"), ("1" + "9" * 63, "validation")]
)
def test_known_splits(digest: str, split: str) -> None:
    assert split_of(digest, Splitting(validation=0.1, test=0.05)) == split


# --- all of it ----------------------------------------------------------------------------------


@given(st.lists(any_text, max_size=20))
def test_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    given_in = documents([*texts, "a text that stays for training, as its hash says"])
    ledger = make_documents(given_in, Cleaning(min_characters=2), Splitting(), folder)
    kept = {split: list(read_documents(folder / f"{split}.arrow")) for split in SPLITS}
    assert {split: len(rows) for split, rows in kept.items()} == ledger.kept
    assert ledger.documents_in == len(given_in) == ledger.kept.total() + ledger.dropped.total()
    assert ledger.bytes_in == sum(len(d.text.encode()) for d in given_in)
    everything = [d.text for rows in kept.values() for d in rows]
    assert len(set(everything)) == len(everything)
    assert set(everything) == {
        text for d in given_in if len(text := clean_text(d.text, "NFC")) >= 2
    }
    for split, rows in kept.items():
        assert ledger.bytes_kept[split] == sum(len(d.text.encode()) for d in rows)
        assert {split_of(d.sha256, Splitting()) for d in rows} <= {split}


def test_every_drop_has_its_reason(tmp_path: Path, texts: list[str]) -> None:
    rows = documents([*texts[:50], "", " \r\n", "tiny", texts[0] + "\r\n", texts[1]])
    ledger = make_documents(rows, Cleaning(min_characters=5), Splitting(), tmp_path)
    assert ledger.dropped == {"empty": 2, "short": 1, "duplicate": 2}
    written = (tmp_path / LEDGER).read_bytes()
    assert Ledger.from_json(written) == ledger
    assert json.loads(written) == ledger.as_dict()


def test_a_ledger_that_does_not_add_up_is_refused() -> None:
    ledger = Ledger(documents_in=3)
    ledger.keep("train", 1)
    with pytest.raises(TextError, match="documents_in=3 is not kept=1 \\+ dropped=0"):
        ledger.add_up()
    with pytest.raises(TextError, match=r"ledger\.json: not a ledger"):
        Ledger.from_json('{"unknown": 1}')
    with pytest.raises(TextError):
        Ledger.from_json(dataclasses.replace(ledger).to_json())


def test_appended_documents_move_no_old_one(tmp_path: Path, texts: list[str]) -> None:
    where: list[dict[str, str]] = []
    for count in (200, 300):
        folder = tmp_path / str(count)
        folder.mkdir()
        make_documents(documents(texts[:count]), Cleaning(), Splitting(), folder)
        where.append(
            {d.id: split for split in SPLITS for d in read_documents(folder / f"{split}.arrow")}
        )
    old, new = where
    assert len(new) > len(old)
    assert old.items() <= new.items()


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"2 documents in, 0 kept.*dropped: 1 empty, 1 short"):
        make_documents(documents(["", "x"]), Cleaning(min_characters=9), Splitting(), tmp_path)
    assert not (tmp_path / LEDGER).exists()
