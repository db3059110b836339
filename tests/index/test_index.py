"""An index finds what a plain scan finds, and nothing else, from files that are checked."""

from __future__ import annotations

import gc
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.core.artefact import CorruptArtefact, read_manifest
from pipelines.core.work import seal
from pipelines.index import building
from pipelines.index.artefacts import OpenIndex, TextIndex
from pipelines.index.building import write_parts
from pipelines.index.spans import spans, units
from pipelines.text.blocks import BLOCK, BlockFile, checksums
from pipelines.text.errors import TextError
from pipelines.text.tables import Document

# éè and 日旦 begin with the same bytes.
ALPHABETS = ("ab", "a b.", "aé日 \0", "aéè日旦", "ab\n日\U0001f600\u0301 '")
TEXTS = st.sampled_from(ALPHABETS).flatmap(
    lambda letters: st.tuples(
        st.lists(st.text(letters, min_size=1, max_size=30), min_size=1, max_size=8),
        st.text(letters, max_size=40),
    )
)


def documents(texts: Sequence[str]) -> list[Document]:
    return [Document(f"d{n}", text, "made", "MIT") for n, text in enumerate(texts)]


def indexed(folder: Path, texts: Sequence[str], limit: int = 1 << 20) -> OpenIndex:
    """The texts as an index in ``folder``, in parts of at most ``limit`` bytes."""
    write_parts(documents(texts), folder, folder, limit=limit)
    version = seal(folder)
    return TextIndex("some/index", version, "", folder, read_manifest(folder, version)).open()


def parts_of(index: OpenIndex) -> list:
    return [part for _, part in index.parts()]


def places_of(index: OpenIndex, wanted: str) -> list[tuple[str, int]]:
    """The (document, character) where a text stands, from the index."""
    found = []
    for begin, part in index.parts():
        for place in part.places(wanted.encode()).tolist():
            document = index.document(begin + place)
            found.append((document.id, len(index.text(document.start, begin + place))))
    return found


def scanned(texts: Sequence[str], wanted: str) -> list[tuple[str, int]]:
    """The same from a plain scan."""
    return [
        (f"d{n}", m.start())
        for n, text in enumerate(texts)
        for m in re.finditer(f"(?={re.escape(wanted)})", text)
    ]


def naive(texts: Sequence[str], text: str, words: int, characters: int) -> set[tuple[int, int]]:
    """The spans from trying all pairs of borders."""
    pieces = units(text)
    standing = {
        (one.start, other.end)
        for n, one in enumerate(pieces)
        for other in pieces[n:]
        if not (one.is_space or other.is_space)
        and any(text[one.start : other.end] in document for document in texts)
    }

    def longest(span: tuple[int, int]) -> bool:
        return not any(o != span and o[0] <= span[0] and span[1] <= o[1] for o in standing)

    def long_enough(span: tuple[int, int]) -> bool:
        inside = [u for u in pieces if span[0] <= u.start and u.end <= span[1] and u.is_word]
        return len(inside) >= words and span[1] - span[0] >= characters

    return {span for span in standing if longest(span) and long_enough(span)}


@given(TEXTS, st.integers(0, 3), st.integers(1, 5), st.sampled_from([12, 40, 1 << 20]))
@settings(max_examples=300)
@example((["abab", "ba"], "ababa"), 1, 1, 6)
def test_spans_are_those_of_a_plain_scan(
    given_texts: tuple[list[str], str], words: int, characters: int, limit: int
) -> None:
    texts, text = given_texts
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(Path(folder), texts, limit)
        found = list(spans(text, parts_of(index), words=words, characters=characters))
        assert {(span.start, span.end) for span in found} == naive(texts, text, words, characters)
        assert found == sorted(found)
        for span in found:
            piece = text[span.start : span.end]
            assert places_of(index, piece) == scanned(texts, piece)


@given(TEXTS, st.sampled_from([12, 1 << 20]))
@settings(max_examples=300)
def test_the_longest_beginning_is_that_of_a_plain_scan(
    given_texts: tuple[list[str], str], limit: int
) -> None:
    texts, text = given_texts
    with tempfile.TemporaryDirectory() as folder:
        parts = parts_of(indexed(Path(folder), texts, limit))
        for start in range(len(text)):
            wanted = text[start:]
            best = next(
                n for n in range(len(wanted), -1, -1) if any(wanted[:n] in t for t in texts)
            )
            found = max(part.longest(wanted.encode()) for part in parts)
            assert wanted.encode()[:found].decode() == wanted[:best]
            assert sum(p.count(wanted.encode()) for p in parts) == len(scanned(texts, wanted))


@given(st.text(max_size=60))
def test_units_are_the_whole_text(text: str) -> None:
    pieces = units(text)
    assert "".join(text[u.start : u.end] for u in pieces) == text
    assert all(text[u.start : u.end].isspace() for u in pieces if u.is_space)


def test_units_are_what_people_see() -> None:
    text = "Don't  pay 3 € — 日本, ने\U0001f44d\U0001f3fd!"
    pieces = units(text)
    assert [text[u.start : u.end] for u in pieces if u.is_word] == [
        *("Don't", "pay", "3", "日", "本", "ने"),
    ]
    assert "\U0001f44d\U0001f3fd" in [text[u.start : u.end] for u in pieces]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Texts of several blocks, with long repeats and with a sentence of its own in each."""
    again = "the same words come again and again. " * 40
    return [f"{again}Sentence {n} is planted here, once: {n * 7919}.\nEnd" for n in range(60)]


@pytest.mark.parametrize("limit", [5_000, 1 << 20])
def test_planted_sentences_are_found_exactly(tmp_path: Path, lines: list[str], limit: int) -> None:
    index = indexed(tmp_path, lines, limit)
    assert len(index.sizes) == (1 if limit > 100_000 else 20)
    for n in (0, 31, 59):
        planted = f"Sentence {n} is planted here, once: {n * 7919}."
        text = f"Nobody wrote this before! {planted} Nor that, zzz"
        (span,) = spans(text, parts_of(index), words=4)
        assert text[span.start : span.end] == planted
        assert places_of(index, planted) == [(f"d{n}", lines[n].index(planted))]
    everything = [part.count(b"again and again. the") for part in parts_of(index)]
    assert sum(everything) == 60 * 39
    assert list(spans(f"{lines[3]} {lines[4]}", parts_of(index))) == [
        (0, len(lines[3]), len([u for u in units(lines[3]) if u.is_word])),
        (len(lines[3]) + 1, 2 * len(lines[3]) + 1, len([u for u in units(lines[4]) if u.is_word])),
    ], "documents are never joined"


def test_what_no_document_can_hold_is_not_found(tmp_path: Path) -> None:
    index = indexed(tmp_path, ["ab cd", "ef"])
    assert list(spans("\ud800", parts_of(index))) == []
    assert list(spans("cd\udcffef", parts_of(index))) == [(0, 2, 1), (3, 5, 1)]
    assert list(spans("", parts_of(index))) == []
    assert list(spans("  \n", parts_of(index))) == []


def test_a_document_is_known_by_its_place(tmp_path: Path, lines: list[str]) -> None:
    index = indexed(tmp_path, lines, 5_000)
    start = 0
    for document in documents(lines):
        size = len(document.text.encode())
        for place in (start, start + size // 2, start + size - 1):
            found = index.document(place)
            assert (found.id, found.sha256) == (document.id, document.sha256)
            assert (found.start, found.size) == (start, size)
        assert index.text(start, start + size) == document.text
        start += size + 1


def test_many_rows_of_documents_are_searched_batch_by_batch(tmp_path: Path) -> None:
    index = indexed(tmp_path, [f"text {n}" for n in range(9_000)])
    assert len(index.firsts) == 3
    for n in (0, 4_095, 4_096, 8_191, 8_192, 8_999):
        assert places_of(index, f"text {n}")[0] == (f"d{n}", 0)


def test_equal_documents_give_equal_bytes(tmp_path: Path, lines: list[str]) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        made.append(indexed(tmp_path / name, lines, 9_000).artefact.version)
    assert made[0] == made[1]


def test_a_later_try_keeps_what_was_sorted(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sort, count = building.divsufsort, []

    def counted(text: bytearray) -> object:
        count.append(len(text))
        if len(count) == 3:
            raise KeyboardInterrupt
        return sort(text)

    monkeypatch.setattr(building, "divsufsort", counted)
    (tmp_path / "made").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_parts(documents(lines), tmp_path / "made", tmp_path / "made", limit=30_000)
    broken = tmp_path / "made" / "part-00001.order"
    broken.write_bytes(broken.read_bytes()[:-4] + b"\1\2\3\4")
    write_parts(documents(lines), tmp_path / "made", tmp_path / "made", limit=30_000)
    assert len(count) == 3 + 3, "the first part of four was kept, the changed one was not"
    (tmp_path / "whole").mkdir()
    assert seal(tmp_path / "made") == indexed(tmp_path / "whole", lines, 30_000).artefact.version


def test_a_document_too_long_for_a_part_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MOST", 10)
    with pytest.raises(TextError, match="document d1: 11 bytes, at most 10; divide it"):
        write_parts(documents(["short", "far too long"[:11]]), tmp_path, tmp_path)


# Changed files


def every_answer(index: OpenIndex, lines: Sequence[str]) -> Iterator[object]:
    """Searches that read all of an index."""
    for _, part in index.parts():
        yield part.text.read(0, part.text.size)
        yield part.order.read(0, part.order.size)
    for line in lines:
        yield [index.document(begin) for begin, _ in index.parts()]
        yield list(spans(line[-200:], parts_of(index)))


@pytest.mark.parametrize(
    "file",
    [*(f"part-00001.{kind}" for kind in ("text", "order", "heads", "checksums")), "documents.arrow",
     "parts.json", "tables.json"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["flipped", "cut", "removed", "a link"])
def test_a_changed_file_is_named(tmp_path: Path, lines: list[str], file: str, how: str) -> None:
    (tmp_path / "made").mkdir()
    index = indexed(tmp_path / "made", lines, 50_000)
    assert list(every_answer(index, lines[:3]))
    path = tmp_path / "made" / file
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[:-1])
    else:
        path.rename(tmp_path / "aside")
        if how == "a link":
            path.symlink_to(tmp_path / "aside")
    with pytest.raises((TextError, CorruptArtefact), match=re.escape(str(path))):
        list(every_answer(index.artefact.open(), lines[:3]))


def test_each_block_is_checked(tmp_path: Path) -> None:
    data = os.urandom(3 * BLOCK + 100)
    path = tmp_path / "data"
    path.write_bytes(data)
    file = BlockFile(path, len(data), checksums(data))
    for start, end in [(0, 1), (0, len(data)), (BLOCK - 1, BLOCK + 1), (3 * BLOCK, 9 * BLOCK)]:
        assert file.read(start, end) == data[start:end]
    assert file.read(len(data), len(data) + 5) == b""
    for number in range(4):
        changed = bytearray(data)
        changed[number * BLOCK + 50] ^= 1
        path.write_bytes(changed)
        other = BlockFile(path, len(data), checksums(data))
        for block in range(4):
            if block == number:
                with pytest.raises(TextError, match=rf"block {number} \(bytes {number * BLOCK} to"):
                    other.block(block)
            else:
                assert other.block(block) == data[block * BLOCK : (block + 1) * BLOCK]
    with pytest.raises(TextError, match="bytes and 32 of checksums"):
        BlockFile(path, len(data), bytes(32))


def test_a_file_is_closed_with_its_last_user(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"some")
    file = BlockFile(tmp_path / "data", 4, checksums(b"some"))
    number = file._file
    assert os.fstat(number)
    assert file.read(0, 4) == b"some"
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
