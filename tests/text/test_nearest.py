"""The nearest name to one that is not known."""

from __future__ import annotations

import pytest

from pipelines.text.nearest import did_you_mean, nearest

KEYS = ["chat/foundation", "chat/foundation_evaluation", "chitchat/documents", "tiny/tokenizer"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("chat/foundatoin", "chat/foundation"),
        ("foundation/chat", "chat/foundation"),
        ("chat-foundation", "chat/foundation"),
        ("evaluation/foundation/chat", "chat/foundation_evaluation"),
        ("TINY/TOKENIZER", "tiny/tokenizer"),
        ("zzzzz", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_a_slip_another_order_and_another_case_are_near(name: str, meant: str | None) -> None:
    assert nearest(name, KEYS) == meant


def test_the_mend_names_it_or_says_the_other_thing() -> None:
    assert did_you_mean("chta", ["chat", "bert"]) == "did you mean 'chat'?"
    assert did_you_mean("x", ["chat"], "dragon ls lists them") == "dragon ls lists them"
    assert did_you_mean("x", []) == ""
