"""What replies are measured by, and the examples that are shown before a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.evaluation.replies import shots_of, with_shots
from pipelines.evaluation.reply_measures import by_itself, by_reference, distinct, summary, token_f1
from pipelines.examples.artefacts import Chat
from pipelines.examples.pairs import reply_chat


def test_replies_beside_a_persons() -> None:
    told = by_reference(["The cat  sat.", "a dog", ""], ["The cat\nsat.", "A cat!", ""])
    assert told["exact_match_share"] == [1, 0, 1]
    assert told["token_f1"] == pytest.approx([1, 0.5, 1])
    assert token_f1(["a", "a", "b"], ["a"]) == pytest.approx(2 * 1 / 4)
    assert token_f1([], ["a"]) == 0


def test_replies_by_themselves() -> None:
    request = "Write an e-mail from these words"
    told = by_itself(
        [" ", request.upper(), "write an e mail", "the e-mail", "a b c d a b c d a"],
        [request] * 4 + ["Say a b c d a b c d a, please"],
    )
    assert told["empty_share"] == [1, 0, 0, 0, 0]
    assert told["echo_share"] == [0, 1, 1, 0, 1]
    assert told["repeated_share"] == pytest.approx([0, 0, 0, 0, 1 - 4 / 6])
    assert told["mean_words"] == [0, 7, 4, 3, 9]
    assert by_itself(["Paris"], ["Is it Paris or London?"])["echo_share"] == [0]
    assert by_itself(["yes"], ["Yes!"])["echo_share"] == [1]


def test_different_words_among_all_replies() -> None:
    assert distinct(["a b a", "b a"], 1) == pytest.approx(2 / 5)
    assert distinct(["a b a", "b a"], 2) == pytest.approx(2 / 3)
    assert distinct(["", "a"], 2) == 0
    assert summary(["a b", "b"], ["x", "y"])["distinct_1_share"] == pytest.approx(2 / 3)


def chats(count: int) -> list[Chat]:
    return [reply_chat(f"{n}", f"{n}", ["q" * (n + 1)], "r" * (n + 1)) for n in range(count)]


def test_examples_of_middling_length_are_shown_before_a_prompt() -> None:
    shots = shots_of(iter(chats(40)), 2)
    assert [len(shot.said[0]) for shot in shots] == [5, 13]
    assert shots_of(iter(chats(40)), 2) == shots
    assert len(shots_of(iter(chats(1)), 2)) == 1
    whole = Chat("c", "c", ["system", "user", "assistant"], ["s", "u", "a"], [False, False, True])
    shown = with_shots(whole, shots)
    assert shown.roles == ["system", *["user", "assistant"] * 3]
    assert shown.said == ["s", *shots[0].said, *shots[1].said, "u", "a"]
    assert shown.learned == [False] * 6 + [True]
    assert with_shots(whole, []) == whole


def test_the_turns_before_an_example_are_not_shown() -> None:
    long: Any = reply_chat("1", "1", ["old", "older", "ask"], "answer")
    shown = with_shots(chats(1)[0], [long])
    assert shown.said == ["ask", "answer", "q", "r"]
