"""Requests and replies: each reply is right, and nothing of the grammar is left in them."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipelines.corpora.generators import requests
from pipelines.corpora.generators.requests import request
from pipelines.corpora.turns import turns_of

MADE = [request(3, index) for index in range(2000)]
TURNS = [([turn.said for turn in turns_of(text)], kind) for text, kind in MADE]


def of(kind: str) -> list[tuple[str, str]]:
    return [(turns[0], turns[1]) for turns, label in TURNS if label == kind]


def test_each_document_is_a_request_and_its_reply_without_slots() -> None:
    for turns, kind in TURNS:
        assert len(turns) == 2, turns
        assert all(turns), kind
        assert not re.search(r"[{}]|KEYWORDS", "".join(turns)), turns


def test_every_kind_occurs_often_and_e_mails_most() -> None:
    counts = Counter(kind for _, kind in MADE)
    assert counts.keys() == requests._KINDS.keys()
    assert min(counts.values()) > 80
    assert counts.most_common(1)[0][0] == "email"


def test_an_email_has_every_keyword() -> None:
    for asked, reply in of("email"):
        keywords = re.search(r"(?:keywords|Keywords|e-mail): (.+)\.$", asked)
        assert keywords, asked
        known = {"thank you", "ill", "sorry", "late", "question", "lost", "invitation", "meeting"}
        words = [word for word in keywords[1].split(", ") if word not in known]
        assert all(word in reply or word.capitalize() in reply for word in words), (asked, reply)
        assert reply.startswith("Subject: ")
        if name := re.search(r"e-mail to (\w+) with", asked):
            assert f"Dear {name[1]}," in reply


def test_sums_are_right() -> None:
    for _, reply in of("sum"):
        a, sign, b, result = re.search(r"(\d+) ([+-]) (\d+) = (\d+)", reply).groups()  # type: ignore[union-attr]
        assert int(a) + (1 if sign == "+" else -1) * int(b) == int(result) >= 0


def test_lists_have_as_many_different_lines_as_asked_for() -> None:
    sizes = {"three": 3, "four": 4, "five": 5}
    for asked, reply in of("list"):
        (size,) = (number for word, number in sizes.items() if f" {word} " in asked)
        lines = [line.partition(". ") for line in reply.split("\n")]
        assert [number for number, _, _ in lines] == [str(1 + i) for i in range(size)]
        assert len({thing for _, _, thing in lines}) == size


def test_words_are_put_in_order() -> None:
    for asked, reply in of("order"):
        words = asked.partition(": ")[2].split(", ")
        assert reply.split(", ") == sorted(words)


@pytest.mark.parametrize(("country", "city"), [("France", "Paris"), ("Canada", "Ottawa")])
def test_capitals_are_those_of_the_countries(country: str, city: str) -> None:
    replies = [reply for _, reply in of("capital") if country in reply]
    assert replies
    assert all(city in reply for reply in replies)


def test_the_text_of_a_place_never_changes() -> None:
    assert request(1, 5)[0] == "A: Name three ways to save energy.\nB: " + "\n".join(
        (
            "1. Close the windows in winter",
            "2. Turn off the lights",
            "3. Cook with a lid on the pan",
        )
    )
