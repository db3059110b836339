"""What a file is: by name, by content, and an error where the two differ; text out of markup."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.text.errors import TextError

PAGE = """<?xml version="1.0"?><!-- saved
from the web --><!DOCTYPE html><html><head><title>Bread</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><h1>Bread</h1><p>Flour &amp; water, <b>bak</b>ed.</p>
<ul><li>salt</li><li>yeast</li></ul><p hidden>secret</p><pre>a\n  b</pre>
<script>if (1 < 2) {}</script><img alt="a loaf"><footer>Cookies</footer></body></html>"""
TEXT_OF_PAGE = "Bread\n\nFlour & water, baked.\n\n  • salt\n  • yeast\na\n  b"
ROW = b'{"text": "one"}\n'


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["one"]}), sink)
    return sink.getvalue()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstandard(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data).to_pybytes()


def tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return sink.getvalue()


def zip_slip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("../../etc/passwd", "out of the folder")
    return sink.getvalue()


def texts(
    folder: Path, name: str, data: bytes, notes: Counter[str] | None = None, **options: Any
) -> list[str]:
    """The texts of one file among the files of a folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    source = FolderSource(**{"kind": "folder", "path": ".", "licence": "MIT", **options})
    return [d.text for d in read_source(source, folder_root=folder, cache=folder, notes=notes)]


@pytest.mark.parametrize("pack", [bytes, gz, zstandard])
@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"one\n", ["one\n"]),
        ("A.TEXT", b"one\n", ["one\n"]),
        ("readme.md", b"---\ntitle: x\n---\n# One\n", ["# One\n"]),
        ("a.Markdown", b"# One\n", ["# One\n"]),
        ("a.html", PAGE.encode(), [TEXT_OF_PAGE]),
        ("a.htm", b"<p>one", ["one"]),
        ("a.jsonl", ROW + ROW, ["one", "one"]),
        ("a.ndjson", ROW, ["one"]),
        ("a.json", ROW, ["one"]),
        ("a.csv", b"id;text\n1;one\n", ["one"]),
        ("a.tsv", b"text\tx,y,z\none\t2\n", ["one"]),
        ("a.parquet", parquet(), ["one"]),
        ("a", b"one\n", ["one\n"]),
        ("a.log", b"one\n", ["one\n"]),
        ("a.v2", ROW, ["one"]),
        ("a.page", PAGE.encode(), [TEXT_OF_PAGE]),
        ("part-00", parquet(), ["one"]),
        ("a.txt", b"an <html>", ["an <html>"]),
        ("a.txt", ROW, [ROW.decode()]),
    ],
)
def test_a_format_is_known_by_name_else_by_content(
    tmp_path: Path, pack: Any, name: str, data: bytes, expected: list[str]
) -> None:
    suffix = {bytes: "", gz: ".gz", zstandard: ".zst"}[pack]
    assert texts(tmp_path, name + suffix, pack(data)) == expected


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"<!doctype html><html>", "named .txt, but its content is HTML"),
        ("a.md", b"<html lang=en>", "named .md, but its content is HTML"),
    ],
)
def test_a_name_that_its_text_belies_is_an_error(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    with pytest.raises(TextError, match=told):
        texts(tmp_path, name, data)
    if name == "a.txt":
        assert texts(tmp_path, name, data, format="plain") == [data.decode()]


def test_a_packed_file_without_a_telling_name_is_unpacked(tmp_path: Path) -> None:
    assert texts(tmp_path, "dump", gz(ROW)) == ["one"]


def test_a_declared_format_goes_before_the_name(tmp_path: Path) -> None:
    assert texts(tmp_path, "a.txt", ROW, format="jsonl") == ["one"]
    assert texts(tmp_path, "a.txt", b"a,text\n1,one\n", format="csv") == ["one"]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.jsonl", parquet(), r"a\.jsonl: read as jsonl, but its content is Parquet; correct"),
        ("a.txt", parquet(), r"read as plain, but its content is Parquet"),
        ("a.parquet", ROW, r"read as parquet, but its content is no Parquet; correct"),
        ("a.parquet", b"", r"read as parquet, but its content is no Parquet; correct"),
        ("a.txt.gz", b"one", r"named \.gz, but its content is not gzip; give it"),
        ("a.txt.gz", b"", r"named \.gz, but its content is not gzip; give it"),
        ("a.txt.zst", gz(b"one"), r"named \.zst, but its content is packed with gzip"),
        ("a.csv", gz(b"one"), r"named \.csv, but its content is packed with gzip"),
        ("a.csv.gz", gz(gz(b"x")), r"content is gzip data; unpack it"),
        ("a.jsonl.gz", gz(parquet()), r"read as jsonl, but its content is Parquet"),
        ("a.txt", zip_slip(), r"read as plain, but its content is a zip archive; unpack it"),
        ("a.zip", zip_slip(), r"a\.zip: its content is a zip archive; unpack it"),
        ("a.zip", b"", r"a\.zip: its content is a \.zip archive; unpack it"),
        ("a", tar(), r"its content is a tar archive; unpack it"),
        ("a.tar.gz", gz(tar()), r"its content is a tar archive; unpack it"),
        ("a.tgz", gz(tar()), r"its content is a tar archive; unpack it"),
        ("a.txt", b"%PDF-1.7\n", r"its content is a PDF; convert it"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", r"its content is a PNG image; convert it"),
        ("a.txt", b"\0\0\1\0" * 9, r"many NUL bytes, so it is not text in encoding=utf-8"),
        ("a.txt", "wide".encode("utf-16-le"), r"many NUL bytes.*declare utf-16"),
    ],
)
def test_name_and_content_that_differ_are_an_error(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    """Fault 8: an archive is refused whole, so no member of it can go anywhere."""
    with pytest.raises(TextError, match=told) as caught:
        texts(tmp_path, name, data)
    assert "\n" not in str(caught.value)


def test_a_packed_source_cut_short_is_an_error_and_never_short_data(tmp_path: Path) -> None:
    """Fault 6; at the end of a line too, where all that came out is good rows."""
    whole = gz(ROW * 1000)
    for length in (len(whole) - 1, len(whole) - 8, len(whole) // 2):
        with pytest.raises(TextError, match=r"rows\.jsonl\.gz: gzip data cut short or damaged"):
            texts(tmp_path, "rows.jsonl.gz", whole[:length], on_bad_row="drop")


def test_a_declared_format_cannot_make_parquet_text(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="read as plain, but its content is Parquet"):
        texts(tmp_path, "a.parquet", parquet(), format="plain")


# --- encodings ----------------------------------------------------------------------------------


def test_marks_line_ends_nuls_and_decomposed_letters_stay_as_they_are(tmp_path: Path) -> None:
    """Fault 13: only the byte order mark goes; the rest is for cleaning to decide."""
    data = b"\xef\xbb\xbfone\r\ntwo\rthree\0 e\xcc\x81 \xef\xbb\xbf end"
    assert texts(tmp_path, "a.txt", data) == ["one\r\ntwo\rthree\0 e\u0301 \ufeff end"]
    assert texts(tmp_path, "b.jsonl", b"\xef\xbb\xbf" + ROW, glob="*.jsonl") == ["one"]
    assert texts(tmp_path, "c.csv", b"\xef\xbb\xbftext\r\none\r\n", glob="*.csv") == ["one"]
    assert texts(tmp_path, "d", b"\xef\xbb\xbf" + ROW, glob="d") == ["one"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "shift_jis", "gb18030"])
@pytest.mark.parametrize("form", ["plain", "jsonl"])
def test_a_declared_encoding_is_read(tmp_path: Path, encoding: str, form: str) -> None:
    data = ('{"text": "日本"}\n' if form == "jsonl" else "日本").encode(encoding)
    assert texts(tmp_path, "a.x", data, encoding=encoding, format=form) == ["日本"]


def test_the_first_glob_that_fits_decides_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_bytes("é".encode())
    encodings = {"old/*.txt": "latin-1", "*": "utf-8"}
    assert texts(tmp_path, "old/deep/a.txt", b"\xe9", encoding=encodings) == ["é", "é"]
    with pytest.raises(TextError, match=r"new\.txt: no glob of encoding=old/\*\.txt matches"):
        texts(tmp_path, "old/a.txt", b"\xe9", encoding={"old/*.txt": "latin-1"})


@pytest.mark.parametrize(
    ("bad", "offset"), [(b"abc\xff\xc0\x80", 3), (b"\xed\xa0\x80", 0), (b"ok \xe2\x82", 3)]
)
@pytest.mark.parametrize("before", [0, 300_000])
def test_bad_utf8_names_file_and_offset(
    tmp_path: Path, bad: bytes, offset: int, before: int
) -> None:
    """Fault 1, also far into a file and in a packed one, where the offset is of the content."""
    data = "é".encode() * before + bad
    for name, packed in (("a.txt", data), ("a.txt.gz", gz(data))):
        folder = tmp_path / name
        told = rf"{name}: not UTF-8 at byte offset {2 * before + offset} of the content \(found"
        with pytest.raises(TextError, match=told) as caught:
            texts(folder, name, packed)
        assert "\n" not in str(caught.value)


def test_utf16_without_a_mark_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"not utf-16 .*BOM.*correct the recipe's `encoding`"):
        texts(tmp_path, "a.txt", "text".encode("utf-16-le"), encoding="utf-16")


def test_bad_utf8_replaced_is_counted_once_a_document(tmp_path: Path) -> None:
    """What was written as U+FFFD is no damage, and equals what Python's own handler does."""
    good = "\ufffd fine".encode()
    data = {
        "a.txt": b"abc\xff\xc0\x80 \xe2\x82 \xed\xa0\x80",
        "b.txt": good,
        "c.jsonl": b'{"text": "\xff\xff"}\n' + b'{"text": "%s"}\n{"text": "\xff"}\n' % good,
        "d.csv": b'text,x\n"\xff\n\xff",\xff\n%s,1\n' % good,
        "e.html": b"<p>\xff</p>",
    }
    for name, content in data.items():
        notes: Counter[str] = Counter()
        found = texts(tmp_path, name, content, notes, glob=name, on_bad_utf8="replace")
        expected = {"a.txt": 1, "b.txt": 0, "c.jsonl": 2, "d.csv": 1, "e.html": 1}[name]
        assert notes["bad_utf8_replaced"] == expected, name
        if name == "a.txt":
            assert found == [content.decode(errors="replace")]


# --- markup -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("---\ntitle: x\ntags: [a]\n---\n\n# T\n", "\n# T\n"),
        ("\ufeff---\r\n# a comment\r\n\r\ntitle: x\r\n...\r\nT\r\n", "T\r\n"),
        ("---\nx: 1\n---", ""),
        ("---\n\nA rule above.\n\n---\nAnd below\n", None),
        ("---\nno end: here\n", None),
        ("Text\n---\nx: 1\n---\n", None),
        (" ---\nx: 1\n---\n", None),
    ],
)
def test_only_front_matter_leaves_markdown(tmp_path: Path, data: str, expected: str | None) -> None:
    (tmp_path / "other.md").write_text("not empty")
    found = texts(tmp_path, "a.md", data.encode())
    assert found == [data if expected is None else expected, "not empty"]


def test_pages_become_text_in_reading_order(tmp_path: Path) -> None:
    assert texts(tmp_path, "a.html", PAGE.encode()) == [TEXT_OF_PAGE]


def test_deeply_nested_markup_is_read(tmp_path: Path) -> None:
    assert texts(tmp_path, "a.html", b"<div>" * 50_000 + b"deep") == ["deep"]


@pytest.mark.parametrize(
    "stated",
    ["charset=ISO-8859-1", 'charset="iso-8859-1"', 'http-equiv=x content="a; charset=iso-8859-1"'],
)
def test_a_page_that_does_not_decode_is_told_with_the_charset_that_it_states(
    tmp_path: Path, stated: str
) -> None:
    page = f"<!doctype html><html><head><meta {stated}></head><body>caf\xe9".encode("latin-1")
    at = page.index(0xE9)
    told = rf"a\.html: not UTF-8 at byte offset {at} .*`encoding` \(it says charset=iso-8859-1\), "
    with pytest.raises(TextError, match=told):
        texts(tmp_path, "a.html", page)
    assert texts(tmp_path, "a.html", page, encoding={"*.html": "latin-1"}) == ["caf\xe9"]
