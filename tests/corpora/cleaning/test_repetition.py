"""Gopher's repetition rules against counting that needs no cleverness."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.cleaning.steps.normalise import clean_text

NOTHING = {
    "max_duplicate_lines": 1,
    "max_duplicate_paragraphs": 1,
    "max_characters_in_duplicate_lines": 1,
    "max_characters_in_duplicate_paragraphs": 1,
    "max_top_ngrams": {},
    "max_duplicate_ngrams": {},
}

some_words = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), max_size=40)


def measured(text: str, rule: str, ngram: int | None = None) -> str:
    """What the step measures by one rule alone, as it says it; "0.0" is nothing."""
    limit = {ngram: 0.0} if ngram else 0.0
    outcome = catalogue()["repetition"].of(**(NOTHING | {f"max_{rule}": limit}))(text)
    return outcome.detail.partition("has ")[2] if isinstance(outcome, Dropped) else "0.0"


def share(words: list[str], marked: set[int]) -> str:
    return str(round(sum(len(words[i]) for i in marked) / max(len("".join(words)), 1), 6))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
@given(words=some_words)
def test_duplicate_ngrams_are_those_that_came_before(n: int, words: list[str]) -> None:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    marked = {i + k for i, gram in enumerate(grams) if gram in grams[:i] for k in range(n)}
    assert measured(" ".join(words), "duplicate_ngrams", n) == share(words, marked)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@given(words=some_words)
def test_the_top_ngram_is_the_first_of_the_most_frequent(n: int, words: list[str]) -> None:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    [(top, count)] = Counter(grams).most_common(1) or [((), 0)]
    marked = {i + k for i, gram in enumerate(grams) if gram == top and count > 1 for k in range(n)}
    assert measured(" ".join(words), "top_ngrams", n) == share(words, marked)


@given(st.lists(st.sampled_from(["a", "bb ccc", "", "  bb ccc", "d"]), max_size=20))
def test_duplicate_lines_and_paragraphs_are_those_that_came_before(parts: list[str]) -> None:
    bare = [part.strip() for part in parts if part]
    again = [part for i, part in enumerate(bare) if part in bare[:i]]
    lines = str(round(len(again) / max(len(bare), 1), 6))
    characters = str(round(len("".join(again)) / max(len("".join(bare)), 1), 6))
    assert measured("\n".join(parts), "duplicate_lines") == lines
    assert measured("\n".join(parts), "characters_in_duplicate_lines") == characters
    assert measured("\n\n".join(parts), "duplicate_paragraphs") == lines
    assert measured(" \n \n".join(parts), "characters_in_duplicate_paragraphs") == characters


def numbers(*ranges: range) -> str:
    """Words of three figures, so that shares of characters are shares of words."""
    return " ".join(str(100 + number) for one in ranges for number in one)


ALL_DIFFER = numbers(range(800))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\nb\nc\na\nb\nc\nd\n", "repetition_lines"),
        ("a\n\nb\nc\n\na\n\nd\n\na\n\ne", "repetition_paragraphs"),
        (f"{ALL_DIFFER}\n1\n2\n{ALL_DIFFER}", "repetition_line_characters"),
        ("spam eggs 1 spam eggs 2 spam eggs 3", "repetition_top_2_grams"),
        # 30 of 200 words came before: as much as 5-grams may, and more than 6-grams.
        (numbers(range(170), range(30)), "repetition_duplicate_6_grams"),
        (numbers(range(169), range(31)), "repetition_duplicate_5_grams"),
        # The same in pieces of nine.
        (numbers(range(180), range(9), range(50, 59)), None),
        (
            numbers(range(173), range(9), range(50, 59), range(100, 109)),
            "repetition_duplicate_7_grams",
        ),
        (ALL_DIFFER, None),
    ],
)
def test_each_rule_has_its_reason(text: str, reason: str | None) -> None:
    outcome = catalogue()["repetition"].of()(text)
    assert (outcome.reason if isinstance(outcome, Dropped) else None) == reason


def test_the_reason_names_threshold_and_value() -> None:
    assert catalogue()["repetition"].of()("ha " * 50) == Dropped(
        "repetition_top_2_grams", "max_top_ngrams[2]=0.2, has 1.0"
    )
    assert catalogue()["repetition"].of(max_duplicate_lines=0.5)("a\n" * 4) == Dropped(
        "repetition_lines", "max_duplicate_lines=0.5, has 0.75"
    )
    only = NOTHING | {"max_characters_in_duplicate_paragraphs": 0.2}
    assert catalogue()["repetition"].of(**only)("aaa\n\nbb\n\naaa") == Dropped(
        "repetition_paragraph_characters", "max_characters_in_duplicate_paragraphs=0.2, has 0.375"
    )


def test_what_occurs_once_is_no_repetition() -> None:
    for text in ("", "word", "two words", "\n\n", "all of these words differ"):
        assert catalogue()["repetition"].of()(text) == Cleaned(text)


def test_novels_do_not_repeat_themselves(reference: Path) -> None:
    for name in ("alice", "the-verdict"):
        text = clean_text((reference / "text" / f"{name}.txt").read_text("utf-8-sig"), "NFC")
        assert catalogue()["repetition"].of()(text) == Cleaned(text)
        assert isinstance(catalogue()["repetition"].of()(text + "\n\n" + text), Dropped)
