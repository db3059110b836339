"""Conversations as texts: what was said comes back, whatever it was and whatever cleans it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.steps.normalise import clean_text
from pipelines.corpora.turns import document_text, together, trimmed, turns_of

# Pieces that could be taken for the beginning of a turn, and what cleaning takes away before one.
PIECES = (
    *("A: ", "B:", "C", ":", ": ", "\\", "\\\\", " ", "\t", "\n", "\n\n", "\r", "\r\n", "\v", "\f"),
    *("\x1c", "\x1f", "\0", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\u00a0", "\u3000"),
    *("Ａ", "：", "Ⓑ", "𝐀", "﹕", "\u0301", "¨", "- item", "    return 1", "Z:"),
)
said = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(
    st.sampled_from(PIECES), max_size=12
).map("".join)
turns = st.lists(st.tuples(st.sampled_from("ABZ"), said), max_size=5)


@given(turns)
def test_turns_come_back_whatever_is_said(turns: list[tuple[str, str]]) -> None:
    assert list(turns_of(document_text(turns))) == turns


@given(turns, st.sampled_from(["NFC", "NFKC", "none"]))
def test_cleaning_a_conversation_cleans_its_turns(turns: list[tuple[str, str]], form: Any) -> None:
    """None comes about and none goes: data is never control."""
    cleaned = turns_of(clean_text(document_text(turns), form))
    expected = [(speaker, trimmed(clean_text(said, form))) for speaker, said in turns]
    assert [(speaker, trimmed(said)) for speaker, said in cleaned] == expected


def test_a_turn_keeps_its_lines() -> None:
    program = "def f():\n    # B: no turn\n\n    return [\n        1,\n    ]"
    text = f"A: write it\nB: {program}\n\nA: and a drive?\nB: yes:\n\\C: drive\n\\\\D: none"
    assert list(turns_of(f"A preface.\n{text}")) == [
        ("A", "write it"),
        ("B", f"{program}\n"),
        ("A", "and a drive?"),
        ("B", "yes:\nC: drive\n\\D: none"),
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" \n one \n", "one"),
        ("\n    def f():\n        return 1\n\n", "    def f():\n        return 1"),
        ("  one\n\n  two  ", "  one\n\n  two"),
        ("\n \n", ""),
        ("", ""),
    ],
)
def test_white_space_around_a_turn_goes(said: str, expected: str) -> None:
    assert trimmed(said) == expected
    assert trimmed(expected) == expected


def test_what_is_said_in_several_goes() -> None:
    assert together(["Hi", "there"]) == "Hi there"
    assert together(["Two:", "- a\n- b", "Done."]) == "Two:\n- a\n- b\nDone."


def test_a_long_conversation_takes_no_longer_than_its_length() -> None:
    lines = 200_000
    assert len(list(turns_of("A: x\n" * lines))) == lines
    assert len(list(turns_of("A: x" + "\n\\B: x" * lines))) == 1
    assert len(list(turns_of("A: x\n" + "\\ " * lines))) == 1
