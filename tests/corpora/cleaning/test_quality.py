"""Gopher's quality rules, C4's rules and the length: each rule at its threshold and beyond."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.cleaning.steps.gopher import Gopher


def answer(name: str, text: str, **options: object) -> Cleaned | Dropped:
    return catalogue()[name].of(**options)(text)


# --- length -------------------------------------------------------------------------------------


def test_length_counts_characters() -> None:
    assert answer("length", "é猫", min_characters=2, max_characters=2) == Cleaned("é猫")
    assert answer("length", "é猫", min_characters=3) == Dropped("short", "min_characters=3, has 2")
    assert answer("length", "é猫", max_characters=1) == Dropped("long", "max_characters=1, has 2")


# --- gopher -------------------------------------------------------------------------------------

PUBLISHED = Gopher(step="gopher").model_dump(exclude={"step"})
EVERYTHING = {
    "min_words": 0,
    "max_words": 10**9,
    "min_mean_word_length": 0.0,
    "max_mean_word_length": 1e9,
    "max_symbols_per_word": 1e9,
    "max_bullet_lines": 1.0,
    "max_ellipsis_lines": 1.0,
    "min_alphabetic_words": 0.0,
    "min_stop_words": 0,
}


@pytest.mark.parametrize(
    ("option", "kept", "left_out", "reason", "detail"),
    [
        ("min_words", "a " * 50, "a " * 49, "words", "min_words=50, has 49"),
        ("max_words", "a " * 100_000, "a " * 100_001, "words", "max_words=100000, has 100001"),
        (
            "min_mean_word_length",
            "to that",
            "to the",
            "word_length",
            "min_mean_word_length=3.0, has 2.5",
        ),
        (
            "max_mean_word_length",
            "ten_chars_ twelve_chars eight_ch",
            "ten_chars_ eleven_char",
            "word_length",
            "max_mean_word_length=10.0, has 10.5",
        ),
        (
            "max_symbols_per_word",
            "#1 #2 " + "… " * 2 + "a " * 16,
            "#1 #2 #3 " + "a " * 17,
            "symbols",
            "max_symbols_per_word=0.1, has 0.15",
        ),
        (
            "max_symbols_per_word",
            "one... two… " + "a " * 18,
            "one...... two… " + "a " * 18,
            "symbols",
            "max_symbols_per_word=0.1, has 0.15",
        ),
        (
            "max_bullet_lines",
            "- a\n\n" * 8 + "  • b\nc-",
            "* a\n" * 19 + "c - d",
            "bullet_lines",
            "max_bullet_lines=0.9, has 0.95",
        ),
        (
            "max_ellipsis_lines",
            "a...\n\nb … \nc…\n" + "...d\n" * 7,
            "a...\n" * 4 + "b\n" * 6,
            "ellipsis_lines",
            "max_ellipsis_lines=0.3, has 0.4",
        ),
        (
            "min_alphabetic_words",
            "don't 1st été. 猫 5",
            "don't 1st ½² _ ...",
            "alphabetic_words",
            "min_alphabetic_words=0.8, has 0.4",
        ),
        ("min_stop_words", "(The) end OF", "the the then", "stop_words", "min_stop_words=2, has 1"),
    ],
)
def test_each_rule_of_gopher_at_its_threshold(
    option: str, kept: str, left_out: str, reason: str, detail: str
) -> None:
    options = EVERYTHING | {option: PUBLISHED[option]}
    assert answer("gopher", kept, **options) == Cleaned(kept)
    assert answer("gopher", left_out, **options) == Dropped(f"gopher_{reason}", detail)
    assert answer("gopher", left_out, **EVERYTHING) == Cleaned(left_out)


def test_novels_read_like_prose_and_tables_do_not(reference: Path) -> None:
    for name in ("alice", "pride_and_prejudice", "the-verdict"):
        text = (reference / "text" / f"{name}.txt").read_text(encoding="utf-8-sig")
        pages = [text[start : start + 4000] for start in range(0, len(text) - 4000, 4000)]
        assert all(answer("gopher", page) == Cleaned(page) for page in pages)
    table = "1.5 | 2.25 | 3.75\n" * 100
    assert isinstance(answer("gopher", table), Dropped)


# --- c4 -----------------------------------------------------------------------------------------

PAGE = "It was one fine day.\nTwo fine days are gone!\n“Was it three or four?”"


def test_lines_that_are_sentences_stay() -> None:
    menu = (
        "Home\nAbout us and more\nPlease enable Javascript now.\nOur Privacy Policy is here.\nNo.\n"
    )
    assert answer("c4", menu + PAGE) == Cleaned(PAGE, "5 lines removed")
    assert answer("c4", PAGE) == Cleaned(PAGE)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (PAGE + "\nfunction() {", {}, Dropped("c4_curly_bracket")),
        (PAGE + "\nLorem Ipsum dolor", {}, Dropped("c4_lorem_ipsum")),
        (PAGE[: PAGE.rindex("\n")], {}, Dropped("c4_sentences", "min_sentences=3, has 2")),
        ("Home\n\nAbout us", {}, Dropped("empty")),
        ("a {b} c", {"refuse_curly_brackets": False, "min_sentences": 0}, Dropped("empty")),
        ("Lorem ipsum sits in here.", {"refuse_lorem_ipsum": False, "min_sentences": 1}, None),
        ("there is no end here", {"terminal_punctuation": False, "min_sentences": 0}, None),
        ("Only four words here.", {"min_sentences": 1}, Dropped("empty")),
        ("Il dit : « Bonjour. »", {"min_sentences": 1}, None),
        ("She said it was ‘fine.’", {"min_sentences": 1}, None),
        ("two words.", {"min_words_in_line": 2, "min_sentences": 1}, None),
        ("We take Cookies here.", {"drop_lines_with": ("COOKIE",)}, Dropped("empty")),
        ("Version 1.5 of e.g.this is out.", {"min_sentences": 1}, None),
        (
            "Version 1.5 of e.g.this is out.",
            {"min_sentences": 2},
            Dropped("c4_sentences", "min_sentences=2, has 1"),
        ),
    ],
)
def test_each_rule_of_c4(text: str, options: dict[str, object], expected: Dropped | None) -> None:
    assert answer("c4", text, **options) == (expected or Cleaned(text))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("He was born[1] there.[12][citation needed]", "He was born there."),
        ("A nested [[1]2][Edit] mark[].", "A nested mark."),
        ("A word [cit[3]ation needed] in two.", "A word in two."),
        ("An index a[i] or [see below] stays.", "An index a[i] or [see below] stays."),
        ("A year [20195] stays.", "A year [20195] stays."),
    ],
)
def test_citation_markers_go(line: str, kept: str) -> None:
    outcome = answer("c4", line, min_sentences=1, min_words_in_line=1)
    assert isinstance(outcome, Cleaned)
    assert " ".join(outcome.text.split()) == kept


@given(st.text("[]1 .edit\ncanon", max_size=60))
def test_no_citation_marker_is_left(text: str) -> None:
    options = {"min_sentences": 0, "min_words_in_line": 0, "terminal_punctuation": False}
    outcome = answer("c4", text, **options)
    left = outcome.text if isinstance(outcome, Cleaned) else ""
    assert not {"[]", "[1]", "[11]", "[edit]"} & {
        left[i : i + n] for i in range(len(left)) for n in (2, 3, 4, 6)
    }
