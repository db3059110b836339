"""Which language a text is in, on sentences whose language is known."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.cleaning.steps.language import SLICE, _detector
from pipelines.text.errors import TextError

ENGLISH = "It was the best of times, it was the worst of times, it was the age of wisdom. "
FRENCH = (
    "Il était une fois un roi et une reine qui étaient bien fâchés de n’avoir point d’enfants. "
)
GERMAN = "Es war einmal ein König, der hatte eine Tochter, die war schöner als alle anderen. "


def test_the_language_and_its_confidence_are_told() -> None:
    outcome = catalogue()["language"].of()(ENGLISH)
    assert isinstance(outcome, Cleaned)
    code, confidence = outcome.note.split()
    assert code == "en"
    assert 0.65 <= float(confidence) <= 1
    other = catalogue()["language"].of()(FRENCH)
    assert isinstance(other, Dropped)
    assert other.reason == "language"
    assert other.detail.startswith("keep=en, min_confidence=0.65, has fr ")


def test_any_of_the_languages_may_stay() -> None:
    step = catalogue()["language"].of(keep=("fr", "de"))
    assert isinstance(step(FRENCH), Cleaned)
    assert isinstance(step(GERMAN), Cleaned)
    assert isinstance(step(ENGLISH), Dropped)


def test_no_confidence_suffices_for_a_text_without_words() -> None:
    for text in ("", "12 + 5", "\n\n", "</s> </s>"):
        assert isinstance(catalogue()["language"].of()(text), Dropped)


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(TextError, match=r"^language: keep=eng,xx is not a language .*; write ISO"):
        catalogue()["language"].of(keep=("en", "xx", "eng"))


def test_a_mark_in_the_text_is_only_text() -> None:
    assert isinstance(catalogue()["language"].of()("</s> " + ENGLISH), Cleaned)


def test_a_long_text_is_looked_at_in_five_places() -> None:
    """A header in another language neither hides the rest nor stands for it."""
    text = (FRENCH * 9)[:SLICE] + ENGLISH * 2000
    outcome = catalogue()["language"].of()(text)
    assert isinstance(outcome, Cleaned)
    assert 0.7 < float(outcome.note.removeprefix("en ")) <= 0.8  # four of five
    assert isinstance(catalogue()["language"].of(keep=("fr",))(text), Dropped)
    half = FRENCH * 300 + ENGLISH * 300
    assert isinstance(catalogue()["language"].of(keep=("en", "fr"))(half), Dropped)


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network is asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    _detector.cache_clear()
    assert isinstance(catalogue()["language"].of()(ENGLISH), Cleaned)


@given(st.text())
def test_the_confidence_is_a_share(text: str) -> None:
    outcome = catalogue()["language"].of(min_confidence=0.0, keep=("en",))(text)
    told = outcome.note if isinstance(outcome, Cleaned) else outcome.detail.partition("has ")[2]
    assert 0 <= float(told.split()[1]) <= 1


def test_two_languages_are_told_apart(reference: Path) -> None:
    """Five short sentences a document, 300 documents in each: at most three lost, none mistaken."""
    rows = (reference / "translate" / "eng-fra.txt").read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(rows)
    pairs = [row.split("\t") for row in rows[:1500]]
    for column, code, other in ((0, "en", "fr"), (1, "fr", "en")):
        texts = ["\n".join(p[column] for p in pairs[i : i + 5]) for i in range(0, 1500, 5)]
        stays, strays = (
            catalogue()["language"].of(keep=(code,)),
            catalogue()["language"].of(keep=(other,)),
        )
        assert sum(isinstance(stays(text), Cleaned) for text in texts) >= 297
        assert not any(isinstance(strays(text), Cleaned) for text in texts)
