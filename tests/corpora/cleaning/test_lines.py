"""Lines that document after document carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.steps import repeated_lines
from pipelines.corpora.cleaning.steps.repeated_lines import STEP
from pipelines.text.tables import Document

NOTICE = "All rights reserved by the publisher of this site."


def document(text: str) -> Document:
    return Document("1", text, "made", "CC0-1.0")


def test_the_first_documents_keep_a_line_that_the_next_lose() -> None:
    step = STEP.of(documents=2)
    for number in range(2):
        text = f"{NOTICE}\nstory {number}\n  {NOTICE}"
        assert step(document(text)) == Cleaned(text)
    assert step(document(f"{NOTICE}\n\nstory 3\n\n\t{NOTICE}\nend")) == Cleaned(
        "story 3\n\nend", "2 repeated lines removed"
    )
    assert step(document(f"\n{NOTICE}\n")) == Dropped("empty")


def test_shorter_lines_may_repeat() -> None:
    step = STEP.of(min_characters=10, documents=1)
    for _ in range(5):
        assert step(document("123456789")) == Cleaned("123456789")
    assert step(document("1234567890")) == Cleaned("1234567890")
    assert step(document("1234567890 ")) == Dropped("empty")


def test_within_a_document_a_line_may_repeat() -> None:
    text = f"{NOTICE}\n" * 9 + "end"
    step = STEP.of(documents=2)
    assert step(document(text)) == step(document(text)) == Cleaned(text)
    assert step(document(text)) == Cleaned("end", "9 repeated lines removed")


@given(
    st.lists(st.lists(st.sampled_from(["", "aa", " aa", "bb", "cc "]), max_size=5), max_size=12),
    st.integers(1, 4),
)
def test_a_line_goes_once_enough_documents_had_it(texts: list[list[str]], allowed: int) -> None:
    step = STEP.of(min_characters=2, documents=allowed)
    had: list[set[str]] = []
    for text in texts:
        kept = [x for x in text if not x or sum(x.strip() in other for other in had) < allowed]
        outcome = step(document("\n".join(text)))
        left = outcome.text if isinstance(outcome, Cleaned) else ""
        assert left.strip("\n") == "\n".join(kept).strip("\n")
        had.append({line.strip() for line in text})


def test_memory_is_bounded_and_what_is_frequent_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repeated_lines, "MOST_LINES", 100)
    step = STEP.of(documents=2)
    for text in (NOTICE, NOTICE, *(f"a line of thirty characters: {n:05}" for n in range(1000))):
        step(document(text))
        assert len(step._seen) <= 100
    assert step(document(f"{NOTICE}\nend")) == Cleaned("end", "1 repeated lines removed")
