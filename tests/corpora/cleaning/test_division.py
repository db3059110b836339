"""Dividing keeps every word, within the size, at the best place there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Divided
from pipelines.corpora.cleaning.steps.divide import STEP


@given(st.text("ab \n", max_size=300), st.integers(1, 40))
def test_no_word_is_lost_and_no_part_is_too_long(text: str, size: int) -> None:
    outcome = STEP.of(max_characters=size)(text)
    texts = outcome.texts if isinstance(outcome, Divided) else (outcome.text,)
    assert "".join("".join(texts).split()) == "".join(text.split())
    if isinstance(outcome, Divided):
        assert len(texts) > 1
        assert all(part.strip() and len(part) <= size for part in texts)


def test_a_short_text_stays_as_it_is() -> None:
    assert STEP.of(max_characters=10)("a\n\nb\n\nc") == Cleaned("a\n\nb\n\nc")


def test_blank_lines_come_before_line_ends_and_spaces() -> None:
    assert STEP.of(max_characters=10)("aaa\n\nbb b\nccc dd") == Divided(("aaa\n\nbb b", "ccc dd"))
    assert STEP.of(max_characters=10)("aaaa bb\n\nccc\nddd") == Divided(("aaaa bb", "ccc\nddd"))
    assert STEP.of(max_characters=6)("aaaa bbbb cccc") == Divided(("aaaa ", "bbbb ", "cccc"))
    assert STEP.of(max_characters=4)("aaaaaaaaaa") == Divided(("aaaa", "aaaa", "aa"))
