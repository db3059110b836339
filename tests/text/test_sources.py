"""Sources: one order, one text for equal content, and errors that name the place."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe import FolderSource, GeneratedSource, PackageSource
from pipelines.text import sources
from pipelines.text.errors import TextError
from pipelines.text.sources import Document, folder_state, read_source, render_conversation

NO_CACHE = Path("no-cache")


def folder_source(**changes: Any) -> FolderSource:
    return FolderSource(**{"kind": "folder", "path": "texts", "licence": "CC0-1.0", **changes})


def read(root: Path, **changes: Any) -> list[Document]:
    return list(read_source(folder_source(**changes), folder_root=root, package_cache=NO_CACHE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "two.txt").write_text("two")
    (folder / "a.txt").write_text("one")
    (folder / "Z.txt").write_text("zed")
    (folder / "note.md").write_text("not asked for")
    return tmp_path


def test_folder_order_is_by_code_point_of_the_relative_path(root: Path) -> None:
    assert [(d.id, d.text) for d in read(root)] == [
        ("Z.txt", "zed"),
        ("a.txt", "one"),
        ("b/two.txt", "two"),
    ]


def test_a_shuffled_listing_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = read(root)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *args: reversed(list(glob(*args))))
    assert read(root) == straight


def test_a_folder_moved_elsewhere_gives_the_same_documents(root: Path) -> None:
    before = read(root)
    (root / "texts").rename(root / "moved")
    assert read(root, path="moved") == before


def test_a_folders_state_is_its_content(root: Path) -> None:
    state = folder_state(folder_source(), root)
    assert [name for name, _ in state] == ["Z.txt", "a.txt", "b/two.txt"]
    os.utime(root / "texts" / "a.txt", (1, 1))
    assert folder_state(folder_source(), root) == state
    (root / "texts" / "a.txt").write_text("One")  # the same size
    changed = folder_state(folder_source(), root)
    assert [old == new for old, new in zip(state, changed, strict=True)] == [True, False, True]


def test_byte_order_mark_is_dropped(root: Path) -> None:
    (root / "texts" / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    assert read(root)[1].text == "one"


@pytest.mark.parametrize(
    ("bad", "offset"), [(b"abc\xff\xc0\x80", 3), (b"\xed\xa0\x80", 0), (b"ok \xe2\x82", 3)]
)
def test_bad_utf8_names_file_and_offset(root: Path, bad: bytes, offset: int) -> None:
    (root / "texts" / "a.txt").write_bytes(bad)
    with pytest.raises(TextError, match=rf"a\.txt: no UTF-8 at byte offset {offset} ") as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_bad_utf8_replaced_is_counted(root: Path) -> None:
    (root / "texts" / "a.txt").write_bytes(b"abc\xff")
    notes: Counter[str] = Counter()
    source = folder_source(on_bad_utf8="replace")
    found = list(read_source(source, folder_root=root, package_cache=NO_CACHE, notes=notes))
    assert found[1].text == "abc\ufffd"
    assert notes == {"bad_utf8_replaced": 1}


def test_missing_folder_and_empty_match_are_named(root: Path) -> None:
    with pytest.raises(TextError, match=r"absent: no such folder"):
        read(root, path="absent")
    with pytest.raises(TextError, match=r"no file matches glob='\*\.tex'"):
        read(root, glob="*.tex")


@pytest.mark.parametrize("glob", ["/etc/*", "../*.txt", ""])
def test_a_glob_cannot_leave_the_folder(root: Path, glob: str) -> None:
    (root / "outside.txt").write_text("secret")
    with pytest.raises(TextError):
        read(root, glob=glob)


def test_a_link_out_of_the_folder_is_refused(root: Path) -> None:
    (root / "outside.txt").write_text("secret")
    (root / "texts" / "link.txt").symlink_to(root / "outside.txt")
    with pytest.raises(TextError, match=r"link\.txt: a link out of the folder"):
        read(root)


def test_a_pipe_among_the_files_is_refused(root: Path) -> None:
    os.mkfifo(root / "texts" / "pipe.txt")
    with pytest.raises(TextError, match=r"pipe\.txt: not a regular file"):
        read(root)


def test_a_file_that_grows_while_it_is_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat, grown = os.fstat, root / "texts" / "a.txt"

    def stat_then_grow(descriptor: int) -> os.stat_result:
        result = fstat(descriptor)
        with grown.open("a") as file:
            file.write("more")
        return result

    monkeypatch.setattr(os, "fstat", stat_then_grow)
    with pytest.raises(TextError, match=r"a\.txt: changed while it was read"):
        read(root)


def test_a_file_past_the_cap_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_DOCUMENT_BYTES", 2)
    with pytest.raises(TextError, match=r"Z\.txt: 3 bytes"):
        read(root)


# --- formats of package files -------------------------------------------------------------------


def turn(sender: str, *said: str) -> list[dict[str, Any]]:
    return [{"text": text, "sender": sender, "timestamp": "2018"} for text in said]


def test_a_conversation_is_a_line_a_turn() -> None:
    turns = [
        turn("x", "Hello", "how are\nyou?"),
        turn("y", " ", ""),
        turn("y", "Good  \t thanks"),
        turn("x", "And now?"),
        turn("x", "Still there?"),
        [],
        turn("z", "May I?"),
    ]
    assert render_conversation(turns) == (
        "A: Hello how are you?\nB: Good thanks\nA: And now?\nA: Still there?\nC: May I?"
    )


def package_source(monkeypatch: pytest.MonkeyPatch, data: bytes, form: str) -> PackageSource:
    monkeypatch.setattr(sources, "package_file", lambda *_: data)
    return PackageSource(
        kind="package",
        package="old-talk",
        version="1.0",
        file="old_talk/data",
        sha256="0" * 64,
        format=form,  # type: ignore[arg-type]
        licence="MIT",
    )


def rows(source: PackageSource) -> list[Document]:
    return list(read_source(source, folder_root=Path(), package_cache=NO_CACHE))


def test_conversations_keep_their_own_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"c2": {"messages": [turn("x", "Hi")]}, "c1": {"messages": []}}
    found = rows(package_source(monkeypatch, json.dumps(data).encode(), "conversations"))
    assert found == [
        Document("c2", "A: Hi", "old-talk==1.0/old_talk/data", "MIT"),
        Document("c1", "", "old-talk==1.0/old_talk/data", "MIT"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b'{"c": {}}',
        b'{"c": {"messages": [[{"text": "no sender"}]]}}',
        b'{"c": {"messages": [[{"text": 3, "sender": "x"}]]}}',
        b'{"c": {"messages": [[{"text": "half \\ud800", "sender": "x"}]]}}',
    ],
)
def test_broken_conversations_are_named(monkeypatch: pytest.MonkeyPatch, broken: bytes) -> None:
    with pytest.raises(TextError, match=r"old-talk==1\.0/old_talk/data: "):
        rows(package_source(monkeypatch, broken, "conversations"))


def test_quotes_in_labelled_lines_are_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'ham\tsay "so"\tnow\r\nspam\t"Win!\n' + b"ham\tx\n" * 8
    found = rows(package_source(monkeypatch, data, "labelled_lines"))
    assert [(d.id, d.text, d.label) for d in found[:2]] == [
        ("01", 'say "so"\tnow', "ham"),
        ("02", '"Win!', "spam"),
    ]


@pytest.mark.parametrize("broken", [b"ham\tx\nno tab\n", b"ham\tx\n\ty\n", b"ham\tx\n\nham\ty\n"])
def test_a_line_without_label_is_named(monkeypatch: pytest.MonkeyPatch, broken: bytes) -> None:
    with pytest.raises(TextError, match="line 2 is not"):
        rows(package_source(monkeypatch, broken, "labelled_lines"))


def test_plain_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [d.text for d in rows(package_source(monkeypatch, b"all\nof it", "plain"))] == [
        "all\nof it"
    ]


def test_generated_documents_are_numbered_and_labelled() -> None:
    source = GeneratedSource(kind="generated", generator="messages", documents=3, seed=1)
    found = list(read_source(source, folder_root=Path(), package_cache=NO_CACHE))
    assert [d.id for d in found] == ["000000", "000001", "000002"]
    assert {d.label for d in found} <= {"spam", "ham"}
    assert {d.licence for d in found} == {"CC0-1.0"}
