"""Instruction and preference data: every usual layout becomes turns; a wrong one is named."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.sources import Document, read_source
from pipelines.corpora.sources.json_list import json_list_rows
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.corpora.sources.messages import Malformed, preference_turns, turns_of_messages
from pipelines.corpora.sources.options import Fields
from pipelines.corpora.sources.records import BadRow
from pipelines.corpora.turns import turns_of
from pipelines.text.errors import TextError

OPEN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "List "}, "two:"]},
    {"role": "assistant", "content": "- one\n- two\n", "weight": 0},
    {"role": "user", "content": "And the weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "1", "function": {"name": "weather", "arguments": '{"city": "Żyła"}'}},
            {"id": "2", "function": {"name": "now", "arguments": "not JSON"}},
        ],
    },
    {"role": "tool", "content": "sunny"},
    {"role": "assistant", "content": "A: Sunny.", "weight": 1},
]
TURNS = [
    ("S", "Be brief."),
    ("A", "List two:"),
    ("N", "- one\n- two"),
    ("A", "And the weather?"),
    (
        "B",
        '{"name": "weather", "arguments": {"city": "Żyła"}}\n'
        '{"name": "now", "arguments": "not JSON"}',
    ),
    ("T", "sunny"),
    ("B", "A: Sunny."),
]


def read(path: Path, notes: Counter[str] | None = None, **options: Any) -> list[Document]:
    source = FolderSource.model_validate(
        {"kind": "folder", "path": str(path), "outside": True, "licence": "MIT", **options}
    )
    return list(read_source(source, folder_root=path, cache=path, notes=notes))


def turns(document: Document) -> list[tuple[str, str]]:
    return [tuple(turn) for turn in turns_of(document.text)]


# --- layouts ------------------------------------------------------------------------------------


def test_messages_of_openai_are_turns_with_their_lines(tmp_path: Path) -> None:
    rows = [{"messages": OPEN, "id": "a"}, {"messages": OPEN[:4], "id": "b"}]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=2))
    cells = io.StringIO()
    writer = csv.writer(cells, delimiter="\t")
    writer.writerows([["id", "messages"], *([r["id"], json.dumps(r["messages"])] for r in rows)])
    (tmp_path / "table.tsv").write_text(cells.getvalue(), newline="")
    for name in ("lines.jsonl", "list.json", "table.tsv"):
        first, second = read(tmp_path / name, fields={"messages": "messages", "id": "id"})
        assert (first.id, second.id) == ("a", "b")
        assert turns(first) == TURNS
        assert turns(second) == TURNS[:4]


def test_messages_of_sharegpt_are_turns(tmp_path: Path) -> None:
    said = [
        *(("system", "Be kind."), ("human", "Hi"), ("gpt", "Hello")),
        *(("function_call", "{}"), ("observation", "2"), ("GPT", "Two.")),
    ]
    rows = [{"conversations": [{"from": role, "value": words} for role, words in said]}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    for name in ("a.json", "b.parquet"):
        (document,) = read(tmp_path / name, fields={"messages": "conversations"})
        assert [letter for letter, _ in turns(document)] == list("SABBTB")
        assert turns(document)[3:] == [("B", "{}"), ("T", "2"), ("B", "Two.")]


def test_columns_of_messages_are_turns_too() -> None:
    columns = {"role": ["user", "assistant"], "content": ["Hi", "Hello"]}
    assert turns_of_messages(columns, "m") == [("A", "Hi"), ("B", "Hello")]


def test_nulls_of_a_table_are_fields_that_are_not_there(tmp_path: Path) -> None:
    rows = [{"messages": OPEN[:1] + OPEN[5:]}, {"messages": [{"from": "human", "value": "Hi"}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet", fields={"messages": "messages"})
    assert turns(first) == [TURNS[0], *TURNS[5:]]
    assert turns(second) == [("A", "Hi")]


def test_an_instruction_and_its_input_are_one_request(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1, 2", "output": "3", "system": "Be exact."},
        {"instruction": "Greet.", "input": "", "output": "Hi", "system": None},
        {"instruction": "Verse.", "output": "one\n\n  two"},
    ]
    (tmp_path / "alpaca.json").write_text(json.dumps(rows, indent=4))
    names = {"text": "instruction", "input": "input", "target": "output", "system": "system"}
    found = read(tmp_path / "alpaca.json", fields=names)
    assert [turns(document) for document in found] == [
        [("S", "Be exact."), ("A", "Add.\n\n1, 2"), ("B", "3")],
        [("A", "Greet."), ("B", "Hi")],
        [("A", "Verse."), ("B", "one\n\n  two")],
    ]
    assert [document.id for document in found] == [f"alpaca.json:{n}" for n in (1, 2, 3)]


HI = {"role": "user", "content": "Hi"}
WELL, BADLY = {"role": "assistant", "content": "Hello!"}, {"from": "gpt", "value": "What?"}
PREFERRED = [("A", "Hi"), ("B", "Hello!"), ("R", "What?")]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}, {"text": "prompt"}),
        ({"prompt": "Hi", "chosen": [HI, WELL], "rejected": [HI, BADLY]}, {"text": "prompt"}),
        ({"chosen": [HI, WELL], "rejected": [HI, BADLY]}, {}),
        ({"prompt": "Hi", "chosen": WELL, "rejected": BADLY}, {"text": "prompt"}),
        ({"prompt": [HI], "chosen": [WELL], "rejected": [BADLY]}, {"messages": "prompt"}),
        ({"talk": [HI], "chosen": WELL, "rejected": "What?"}, {"messages": "talk"}),
        ({"chosen": json.dumps([HI, WELL]), "rejected": json.dumps([HI, BADLY])}, {}),
    ],
)
def test_a_preference_is_the_chosen_reply_and_then_the_rejected(
    row: dict[str, Any], fields: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([row]))
    fields = {**fields, "chosen": "chosen", "rejected": "rejected"}
    (document,) = read(tmp_path / "a.json", fields=fields)
    assert turns(document) == PREFERRED


def test_a_reply_that_looks_like_json_is_a_reply() -> None:
    told = preference_turns([("A", "Write JSON")], ('[{"a": 1}]', "c"), ('{"a": 2}', "r"))
    assert told[1:] == [("B", '[{"a": 1}]'), ("R", '{"a": 2}')]


# --- faults -------------------------------------------------------------------------------------

DEEP = "[" * 100_000 + "]" * 100_000
MALFORMED = {
    "no list": ({"a": 1}, "field 'm' is dict, not a list of messages"),
    "null": (None, "field 'm' is null, not a list of messages"),
    "text": ("hello", "field 'm' is text, and not the JSON of messages"),
    "deep": (DEEP, "field 'm' is text, and not the JSON of messages"),
    "empty": ([], "field 'm' is an empty list"),
    "a message that is none": ([3], r"field 'm\[0\]' is int, not a message"),
    "no role": ([{"content": "x"}], r"field 'm\[0\]' has neither a role nor a from"),
    "a role of another type": ([{"role": 3}], r"field 'm\[0\].role' is int, not a string"),
    "an unknown role": ([HI, {"role": "robot"}], r"field 'm\[1\].role' is 'robot'; known are"),
    "null content": ([{**HI, "content": None}], r"field 'm\[0\].content' is null, and the message"),
    "no content": ([{"role": "user"}], r"field 'm\[0\]' has no content, and the message calls no"),
    "a picture": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        r"field 'm\[0\].content\[0\].type' is 'image_url', and only text is read",
    ),
    "a part without text": (
        [{"role": "user", "content": [{"type": "text"}]}],
        r"field 'm\[0\].content\[0\].text' is null, not a string",
    ),
    "a number": ([{"from": "human", "value": 3}], r"field 'm\[0\].value' is int, not a string"),
    "a weight": ([{**WELL, "weight": 0.5}], r"field 'm\[0\].weight' is '0.5', and not 0 or 1"),
    "a call": (
        [{"role": "assistant", "tool_calls": ["x"]}],
        r"field 'm\[0\].tool_calls' has a str, not a call of a tool",
    ),
    "half a pair": ([{**HI, "content": "\ud800"}], r"field 'm\[0\].content' has half a surrogate"),
    "columns": ({"role": ["user"], "content": []}, "field 'm' has lists of different lengths"),
}


@pytest.mark.parametrize(("value", "fault"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_conversation_names_its_field(value: Any, fault: str) -> None:
    with pytest.raises(Malformed, match=fault) as error:
        turns_of_messages(value, "m")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_fault_names_file_row_and_field(tmp_path: Path) -> None:
    rows = [{"messages": [HI]}, {"messages": [HI, {"role": "robot", "content": "x"}]}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = r"a\.jsonl:2: field 'messages\[1\]\.role' is 'robot'; known are .*; mend the row, or"
    with pytest.raises(TextError, match=told):
        read(tmp_path, fields={"messages": "messages"})
    notes: Counter[str] = Counter()
    kept = read(tmp_path, notes, fields={"messages": "messages"}, on_bad_row="drop")
    assert (len(kept), notes) == (1, {"bad_rows_dropped": 1})


def test_a_row_of_another_layout_is_named(tmp_path: Path) -> None:
    rows = [{"messages": [HI, WELL]}, {"instruction": "Add.", "output": "3"}]
    (tmp_path / "mixed.json").write_text(json.dumps(rows))
    with pytest.raises(TextError, match=r"mixed\.json:2: no field 'messages' \(there are instr"):
        read(tmp_path, fields={"messages": "messages"})
    with pytest.raises(TextError, match=r"mixed\.json:1: no field 'instruction'.*messages: mess"):
        read(tmp_path, fields={"text": "instruction", "target": "output"})


@pytest.mark.parametrize(
    ("chosen", "rejected", "fault"),
    [
        ([HI, WELL], [{**HI, "content": "Ho"}, BADLY], "the turns before the last of 'c' and 'r'"),
        ([HI], [HI], "the last message of 'c' is not the assistant's"),
        ("Hello!", "What?", "'c' and 'r' have replies alone, and the turns before them are miss"),
        (None, "x", "field 'c' is null, not a list of messages"),
    ],
)
def test_a_malformed_preference_is_named(chosen: Any, rejected: Any, fault: str) -> None:
    with pytest.raises(Malformed, match=fault):
        preference_turns([], (chosen, "c"), (rejected, "r"))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"chosen": "c"}, "chosen and rejected belong together"),
        ({"messages": "m", "target": "t"}, "messages and target exclude each other"),
        ({"messages": "m", "text": "t"}, "messages already have the request"),
        ({"input": "i"}, "input and system belong to a conversation"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(fields: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Fields(**fields)


def test_ten_thousand_turns_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"messages": [HI, WELL] * 5_000}]))
    (document,) = read(tmp_path, fields={"messages": "messages"})
    assert len(turns(document)) == 10_000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "type", "text", "tool_calls"])
            | st.text(max_size=3),
            inner | st.sampled_from(["user", "assistant", "gpt", "text", "Hi"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


def told_of(reading: Callable[[], list[tuple[str, str]]]) -> list[tuple[str, str]] | str:
    """The turns, or else the words of the fault."""
    try:
        return reading()
    except Malformed as fault:
        return str(fault)


@given(anything)
def test_whatever_a_field_holds_it_is_turns_or_one_clear_line(value: Any) -> None:
    told = told_of(lambda: turns_of_messages(value, "m"))
    if isinstance(told, str):
        assert told.startswith("field ")
        assert "\n" not in told
    else:
        assert all(letter in "SABNT" for letter, _ in told)
        assert "".join(words for _, words in told).encode() is not None


@given(anything, anything)
def test_whatever_a_preference_holds_it_is_turns_or_one_clear_line(a: Any, b: Any) -> None:
    told = told_of(lambda: preference_turns([("A", "Hi")], (a, "c"), (b, "r")))
    if isinstance(told, str):
        assert "\n" not in told
    else:
        assert [letter for letter, _ in told[-2:]] == ["B", "R"]


# --- one JSON list ------------------------------------------------------------------------------


def rows_of(text: str, size: int = 7, most: int = 10_000) -> list[Any]:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    rows = json_list_rows(chunks, most, Counter(), "a.json")
    return [str(row) if isinstance(row, BadRow) else row for _, row in rows]


@given(st.lists(st.dictionaries(st.text(), anything, max_size=3), max_size=5), st.integers(1, 50))
def test_a_list_comes_back_whatever_the_pieces(rows: list[Any], size: int) -> None:
    rows = json.loads(json.dumps(rows).replace("NaN", "0").replace("Infinity", "1"))
    for text in (json.dumps(rows), "\ufeff " + json.dumps(rows, indent=1, ensure_ascii=False)):
        assert rows_of(text, size) == rows


def test_an_element_that_is_no_object_is_a_bad_row() -> None:
    assert rows_of('[{"a": 1}, 12345678901, "x", [2], {}]', 3) == [
        *({"a": 1}, "not a JSON object", "not a JSON object", "not a JSON object", {}),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"a": 1} {"a": 2}]', r"a\.json:1: a broken JSON list \(there is '\{' where ',' must"),
        ('[{"a": 1}, {"a" 2}]', r"a\.json:2: a broken JSON list \(Expecting ':' delimiter\)"),
        ('[{"a": 1}, ', r"a\.json:2: a broken JSON list \(Expecting value\)"),
        ('[{"a": 1}', r"a\.json:1: a broken JSON list \(the file ends where ',' must be\)"),
        ('[{"a": "x', r"a\.json:1: a broken JSON list \(Unterminated string starting at\)"),
        ("[1] 2", r"a\.json:1: a broken JSON list \(there is text behind the list\)"),
        ("[" + "[" * 100_000, r"a\.json:1: a broken JSON list \(maximum recursion depth"),
        ('["' + "x" * 20_000 + '"]', r"a\.json:1: .*an element of more than 10000 characters"),
    ],
)
def test_a_broken_list_names_the_element(text: str, fault: str) -> None:
    with pytest.raises(TextError, match=fault):
        rows_of(text)


def test_files_of_instructions_of_several_makers(reference: Path) -> None:
    folder = reference / "instruct"
    alpaca = {"text": "instruction", "input": "input"}
    plain = read(folder / "instruction-data.json", fields={**alpaca, "target": "output"})
    assert len(plain) == 1_100
    assert turns(plain[0])[0][1].endswith("spelling given.\n\nfreind --> friend")
    preferred = read(
        folder / "instruction-data-with-preference.json",
        fields={**alpaca, "chosen": "chosen", "rejected": "rejected"},
    )
    assert {tuple(letter for letter, _ in turns(d)) for d in preferred} == {("A", "B", "R")}
    shared = read(
        folder / "glaive_toolcall_en_demo.json",
        fields={"messages": "conversations", "system": "tools"},
    )
    assert len(shared) == 300
    assert "T" in {letter for document in shared for letter, _ in turns(document)}
    asked = read(
        folder / "dolly_hhrlhf_train_small.jsonl", fields={"text": "prompt", "target": "response"}
    )
    assert len(asked) > 900
