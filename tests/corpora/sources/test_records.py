"""JSON lines, CSV and Parquet: what is mapped arrives, and a bad row has a line number."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora.sources import Document, Unread, read_source, records
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.corpora.sources.reading import documents_of_file
from pipelines.corpora.sources.records import Origin
from pipelines.text.errors import TextError

Row = dict[str, Any]


def source_of(**options: Any) -> FolderSource:
    return FolderSource(**{"kind": "folder", "path": ".", "licence": "MIT", **options})


def read(
    data: bytes, name: str, notes: Counter[str] | None = None, **options: Any
) -> list[Document]:
    notes = Counter() if notes is None else notes
    found = outcomes(data, name, notes, **options)
    return [one for one in found if isinstance(one, Document)]


def outcomes(
    data: bytes, name: str, notes: Counter[str], **options: Any
) -> list[Document | Unread]:
    origin = Origin(name, name, name)
    return list(documents_of_file(io.BytesIO(data), origin, source_of(**options), notes))


def json_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def comma_separated(rows: list[Row], delimiter: str = ",") -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def tab_separated(rows: list[Row]) -> bytes:
    return comma_separated(rows, "\t")


def parquet(rows: list[Row], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


WRITERS = {
    "a.jsonl": json_lines,
    "a.csv": comma_separated,
    "a.tsv": tab_separated,
    "a.parquet": parquet,
}


# --- what survives ------------------------------------------------------------------------------

# Every character of text but half surrogates; those that formats and decoders trip over, often.
awkward = st.text(st.sampled_from("\n\r\",;\t\0 \ufeff\u2028\x85\x1cé😀a{}'\\"), max_size=20)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | awkward
rows_of_text = st.lists(
    st.fixed_dictionaries({"body": anything, "key": anything, "of": anything, "kind": anything}),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["key"],
)


@settings(max_examples=40)
@given(rows=rows_of_text)
@pytest.mark.parametrize("name", WRITERS)
def test_any_records_survive(name: str, rows: list[Row]) -> None:
    fields = {"text": "body", "id": "key", "source": "of", "label": "kind"}
    found = read(WRITERS[name](rows), name, fields=fields)
    expected = [Document(r["key"], r["body"], r["of"], "MIT", r["kind"]) for r in rows]
    assert found == expected


class Dribble(io.BytesIO):
    """A file whose reads give as many bytes as a list says, over and over."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self.sizes, self.turn = sizes, 0

    def read(self, _: int | None = -1, /) -> bytes:
        self.turn += 1
        return super().read(self.sizes[self.turn % len(self.sizes)])


@settings(max_examples=60)
@given(
    texts=st.lists(anything, min_size=1, max_size=5),
    sizes=st.lists(st.sampled_from([1, 2, 3, 17, 40]), min_size=1, max_size=5),
    form=st.sampled_from(["a.jsonl", "a.csv", "a.txt", "a.md", "a"]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    most=st.integers(4, 60),
)
def test_however_a_file_is_chunked_its_documents_are_the_same(
    texts: list[str], sizes: list[int], form: str, encoding: str, most: int
) -> None:
    if form in (*WRITERS, "a"):
        data = WRITERS.get(form, json_lines)([{"text": text, "n": "1"} for text in texts])
    else:
        data = b"---\na: b\n---\n" + "\n".join(texts).encode()
    data = data.decode().encode(encoding)
    source = source_of(encoding=encoding, max_document_bytes=most, on_long="split")
    origin, notes = Origin(form, form, form), Counter[str]()
    whole = list(documents_of_file(io.BytesIO(data), origin, source, notes))
    assert list(documents_of_file(Dribble(data, sizes), origin, source, notes)) == whole
    assert all(len(d.text.encode()) <= most for d in whole)


# --- fields -------------------------------------------------------------------------------------


def test_a_record_without_an_id_is_named_by_its_line() -> None:
    data = b'{"text": "a"}\n\n  \r\n{"text": "b"}\r\n{"text": "no line end"}'
    assert [d.id for d in read(data, "x/a.jsonl")] == [f"x/a.jsonl:{n}" for n in (1, 4, 5)]
    lines = b'n,text\n1,"two\nlines"\n\n2,three\n'
    assert [d.id for d in read(lines, "a.csv")] == ["a.csv:2", "a.csv:5"]
    rows = [{"text": str(number)} for number in range(200)]
    assert [d.id for d in read(parquet(rows, row_group_size=7), "p")] == [
        f"p:{number}" for number in range(1, 201)
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_dot_goes_into_a_nested_record(name: str) -> None:
    row = {"text": "a", "meta": {"id": 7, "by": {"who": "x"}, "unused": [1]}}
    fields = {"id": "meta.id", "source": "meta.by.who"}
    assert read(WRITERS[name]([row]), name, fields=fields)[0][:3] == ("7", "a", "x")


def test_a_column_with_a_dot_in_its_name_is_found() -> None:
    assert read(b"meta.id,text\n7,a\n", "a.csv", fields={"id": "meta.id"})[0].id == "7"
    assert read(b'{"text": "a", "b.c": "7"}', "a.jsonl", fields={"id": "b.c"})[0].id == "7"


@pytest.mark.parametrize(
    ("label", "expected"),
    [("spam", "spam"), (3, "3"), (-1, "-1"), (True, "true"), (False, "false"), (None, None)],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_label_may_be_a_word_a_number_or_a_truth(name: str, label: Any, expected: Any) -> None:
    data = WRITERS[name]([{"text": "a", "y": label}])
    assert read(data, name, fields={"label": "y"})[0].label == expected


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert read(b'{"text": "a", "text": "b"}', "a.jsonl")[0].text == "b"


# --- bad rows -----------------------------------------------------------------------------------

GOOD = '{"text": "fine", "key": "%s", "y": 1}'
BAD_LINES = [
    ('{"text": "cut mid', r"not one JSON object a line \(column 10: Unterminated string"),
    ('{"text": 1}', r"field 'text' is int, not a string"),
    ('{"text": null}', r"field 'text' is null, not a string"),
    ('{"texts": "x", "other": 1}', r"no field 'text' \(the nearest is 'texts'\)"),
    ('["text"]', r"not a JSON object"),
    ('{"text": "\\ud83d half"}', r"field 'text' has half a surrogate pair"),
    ('{"text": "x", "key": null}', r"field 'key' is null"),
    ('{"text": "x", "key": true}', r"field 'key' is bool"),
    ('{"text": "x", "key": "k", "y": 1.5}', r"field 'y' is float"),
    ('{"text": "x", "key": "k"}', r"no field 'y' \(there are text, key\)"),
    ('{"text": "x", "deep": ' + "[" * 100_000 + "}", r"JSON that Python cannot read"),
    ('{"text": "x", "n": ' + "9" * 5000 + "}", r"JSON that Python cannot read"),
]


@pytest.mark.parametrize(("line", "told"), BAD_LINES)
def test_a_bad_json_line_is_named_or_counted(line: str, told: str) -> None:
    """Faults 1 and 5."""
    data = f"{GOOD % 'a'}\n{line}\n{GOOD % 'b'}\n".encode()
    fields = {"id": "key", "label": "y"}
    with pytest.raises(TextError, match=rf"^a\.jsonl:2: {told}.*; .*on_bad_row: drop") as caught:
        read(data, "a.jsonl", fields=fields)
    assert "\n" not in str(caught.value)
    notes: Counter[str] = Counter()
    found = read(data, "a.jsonl", notes, fields=fields, on_bad_row="drop")
    assert [d.id for d in found] == ["a", "b"]
    assert notes == {"bad_rows_dropped": 1}


def test_each_row_that_is_left_out_is_given_with_its_place_and_its_reason(tmp_path: Path) -> None:
    lines = (
        '{"text": "fine"}',
        '{"text": null}',
        '{"Text": "x"}',
        '{"text": 7}',
        "{",
        '{"text": ""}',
        json.dumps({"text": "x" * 80}),
    )
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = source_of(on_bad_row="drop", max_document_bytes=50)
    left: list[Unread] = []
    found = read_source(source, folder_root=tmp_path, cache=tmp_path, leave=left.append)
    assert [d.text for d in found] == ["fine", ""], "an empty text is a text"
    assert [(row.id, row.source, row.licence, row.reason) for row in left] == [
        (f"a.jsonl:{line}", "a.jsonl", "MIT", reason)
        for line, reason in (
            (2, "null_field"),
            (3, "no_field"),
            (4, "not_a_string"),
            (5, "unreadable_row"),
            (7, "long_row"),
        )
    ]
    assert left[1].detail == "no field 'text' (the nearest is 'Text')"
    (tmp_path / "a.jsonl").write_text('{"body": "all of them"}\n{"body": "so"}\n')
    with pytest.raises(TextError, match=r"no text in it, and 2 bad rows were left out; read with"):
        list(read_source(source, folder_root=tmp_path, cache=tmp_path))


def test_what_is_told_of_a_row_is_short() -> None:
    row = {f"{letter * 10_000}": 1 for letter in "abcdefgh"}
    (left,) = outcomes(json_lines([row]), "a.jsonl", Counter(), on_bad_row="drop")
    assert isinstance(left, Unread)
    assert len(left.detail) <= records.MAX_TOLD
    with pytest.raises(TextError) as caught:
        read(json_lines([row]), "a.jsonl")
    assert len(str(caught.value)) < 1000


MARK = "\ufeff"


def test_a_byte_order_mark_at_the_start_of_a_line_is_passed_over() -> None:
    """Files that begin with one, joined end to end."""
    one, two = (f"{MARK}{json_lines([{'text': text}]).decode()}" for text in ("one", "two"))
    assert [d.text for d in read((one + two + MARK).encode(), "a.jsonl")] == ["one", "two"]
    assert [d.text for d in read((one + two).encode("utf-16"), "a.jsonl", encoding="utf-16")] == [
        "one",
        "two",
    ]
    labelled = f"{MARK}ham\tone\n{MARK}ham\ttwo\n".encode()
    found = read(labelled, "a", format="labelled_lines")
    assert [(d.label, d.text) for d in found] == [("ham", "one"), ("ham", "two")]
    pairs = f"{MARK}one\teins\n{MARK}two\tzwei\n".encode()
    found = read(pairs, "a", format="pairs")
    assert [d.text for d in found] == ["A: one\nB: eins", "A: two\nB: zwei"]


def test_a_byte_order_mark_elsewhere_is_named() -> None:
    joined = f'{{"text": "one"}}{MARK}{{"text": "two"}}\n'.encode()
    with pytest.raises(TextError, match=r"^a\.jsonl:1: .*column 16: Extra data, there is U\+FEFF"):
        read(joined, "a.jsonl")
    header = f"{MARK}text,n\none,1\n{MARK}text,n\ntwo,2\n".encode()
    with pytest.raises(TextError, match=r"^a\.csv:3: the header again, after U\+FEFF: files"):
        read(header, "a.csv")
    found = read(header, "a.csv", on_bad_row="drop")
    assert [d.text for d in found] == ["one", "two"]


def test_a_csv_row_of_another_width_is_named_or_counted() -> None:
    data = b'n,text\n1,"a\nb"\n2,c,d\n3\n4,e\n'
    with pytest.raises(TextError, match=r"^a\.csv:4: 3 fields under a header of 2; mend the row"):
        read(data, "a.csv")
    notes: Counter[str] = Counter()
    found = read(data, "a.csv", notes, on_bad_row="drop")
    assert [d.text for d in found] == ["a\nb", "e"]
    assert notes == {"bad_rows_dropped": 2}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'text\na\n"never\nclosed\n', r"a\.csv:3: broken CSV \(unexpected end of data"),
        (b'text\n"a"b\nc\n', r"a\.csv:2: broken CSV"),
        (b"text\ra\rb\r", r"a\.csv:1: broken CSV \(new-line"),
        (b"body,n\na,1\n", r"a\.csv:1: no field 'text' \(there are body, n\); correct"),
        (b"Text\na\n", r"a\.csv:1: no field 'text' \(the nearest is 'Text'\)"),
        (b"text,text\na,b\n", r"a\.csv:1: two columns 'text'; correct"),
        (b"", r"a\.csv:1: no field 'text' \(there are none\)"),
    ],
)
def test_a_broken_csv_is_an_error_even_where_rows_may_be_dropped(data: bytes, told: str) -> None:
    with pytest.raises(TextError, match=told):
        read(data, "a.csv", on_bad_row="drop")


def test_a_parquet_file_without_the_column_names_the_nearest() -> None:
    with pytest.raises(TextError, match=r"^p: no field 'txt' \(the nearest is 'text'\); correct"):
        read(parquet([{"text": "a"}]), "p", fields={"text": "txt"})


def test_bad_rows_of_parquet_are_named_or_counted() -> None:
    binary = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": binary}), sink)
    with pytest.raises(TextError, match=r"^p:2: not UTF-8"):
        read(sink.getvalue(), "p")
    notes: Counter[str] = Counter()
    assert [d.text for d in read(sink.getvalue(), "p", notes, on_bad_row="drop")] == ["a", "c"]
    assert notes == {"bad_rows_dropped": 1}


def test_damaged_parquet_is_named() -> None:
    rows = [{"text": f"a text, the {number}th"} for number in range(1000)]
    data = parquet(rows, write_page_checksum=True, compression="none")
    for damaged in (data[:-1], data[:100], data.replace(b"the 500th", b"the 501st")):
        with pytest.raises(TextError, match=r"^p: damaged Parquet after row \d+ \(.*; fetch") as e:
            read(damaged, "p")
        assert "\n" not in str(e.value)


# --- long texts and wide lines ------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_a_long_text_in_a_row_is_named_counted_or_cut(name: str) -> None:
    """Bytes of UTF-8 count, not characters: nine here, five of text."""
    rows = [{"text": "éé\néé", "n": "1"}, {"text": "ninebytes", "n": "1"}, {"text": "x", "n": "1"}]
    data = WRITERS[name](rows)
    place = read(data, name)[0].id
    with pytest.raises(TextError, match=rf"^{place}: a text of more than max_document_bytes=8; ra"):
        read(data, name, max_document_bytes=8)
    notes: Counter[str] = Counter()
    left = read(data, name, notes, max_document_bytes=8, on_bad_row="drop")
    assert ([d.text for d in left], notes) == (["x"], {"bad_rows_dropped": 2})
    cut = read(data, name, max_document_bytes=8, on_long="split")
    assert [d.text for d in cut] == ["éé\n", "éé", "ninebyte", "s", "x"]
    assert [d.id for d in cut[:2]] == [f"{place}#1", f"{place}#2"]
    assert read(data, name, max_document_bytes=9) == read(data, name)


def test_a_line_too_wide_to_hold_is_named_or_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "HELD_BYTES", 20)
    data = b'{"text": "a"}\n{"text": "%s"}\n{"text": "b"}\n' % (b"x" * 300_000)
    with pytest.raises(TextError, match=r"^a\.jsonl:2: a line of more than 20 characters; "):
        read(data, "a.jsonl", max_document_bytes=20)
    notes: Counter[str] = Counter()
    left = read(data, "a.jsonl", notes, max_document_bytes=20, on_bad_row="drop")
    assert ([d.text for d in left], notes) == (["a", "b"], {"bad_rows_dropped": 1})
    with pytest.raises(TextError, match=r"^a\.csv:1: broken CSV \(a record of more than 20 "):
        read(b"x" * 30, "a.csv", max_document_bytes=20)
    for wide in (b"text\n" + b"x" * 30 + b"\n", b'text\n"' + b"x\n" * 30 + b'"\n'):
        with pytest.raises(TextError, match=r"^a\.csv:2: broken CSV \(a record of more than 20 "):
            read(wide, "a.csv", max_document_bytes=20, on_bad_row="drop")


def test_what_is_parsed_as_a_whole_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "HELD_BYTES", 20)
    for data, form in ((b"<p>" + b"x" * 30, "html"), (b'{"c": ' + b" " * 30, "conversations")):
        with pytest.raises(TextError, match=r"^a: more than 20 characters.* as a whole; split"):
            read(data, "a", format=form, max_document_bytes=20)


# --- ids ----------------------------------------------------------------------------------------


def test_a_mapped_id_may_come_once_in_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "key": 1}\n{"text": "b", "key": 2}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "c", "key": "1"}\n')
    with pytest.raises(TextError, match=r"^b\.jsonl: id='1' occurs twice; map a field"):
        list(read_source(source_of(fields={"id": "key"}), folder_root=tmp_path, cache=tmp_path))
    assert len(list(read_source(source_of(), folder_root=tmp_path, cache=tmp_path))) == 3
