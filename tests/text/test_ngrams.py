"""The words that texts are compared by."""

from __future__ import annotations

import string

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.ngrams import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("… — !?", []),
        ("It WAS _very_ well-known.\nNo. 7!", ["it", "was", "very", "well", "known", "no", "7"]),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t", ["don", "t"]),
        ("café CAFE\u0301", ["café", "cafe\u0301"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("漢字とカナ, 2語", ["漢", "字", "と", "カナ", "2", "語"]),
    ],
)
def test_words_are_what_a_reader_would_call_so(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text(string.ascii_letters + string.digits + "_-'. \n\t", max_size=60))
def test_ascii_is_read_as_any_other_text_is(text: str) -> None:
    # The letter at the end makes the text one that is not ASCII.
    assert [*words(text), "é"] == words(f"{text} é")


@given(st.text(max_size=60))
def test_no_letter_is_left_out(text: str) -> None:
    letters = regex.findall(r"[\p{L}\p{M}\p{N}\p{Hiragana}\p{Han}]", text.lower())
    assert "".join(words(text)) == "".join(letters)
