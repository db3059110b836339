"""Assets have names in words, and losses their unit."""

from __future__ import annotations

import pytest

from model.architectures import catalogue
from pipelines.report.words import PREDICTS, listing, loss_unit, named, names, subject, suite


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("foundation", "Foundation model"),
        ("token_shards", "Token shards"),
        ("contamination", "Overlaps with held-out text"),
        ("small_talk/raw_text", "Raw text of small talk"),
        ("sms/spam_examples", "Examples for spam"),
        ("reply_assistant", "Reply assistant"),
        ("law_domain", "Law domain model"),
        ("foundation_evaluation", "Evaluation of the foundation model"),
        ("news/word_vectors_evaluation", "Evaluation of the word vectors of news"),
    ],
)
def test_an_asset_has_a_name_in_words(title: str, told: str) -> None:
    assert named(title) == told


def test_an_evaluation_is_named_after_its_model() -> None:
    parents = {
        "foundation": (),
        "french_assistant": ("foundation",),
        "french_translator": (),
        "french_assistant_evaluation": ("foundation", "french_assistant"),
        "french_evaluation": ("french_assistant", "french_translator"),
        "attention_ladder": (),
    }
    assert subject("french_evaluation", parents) == "french_translator"
    assert subject("french_assistant_evaluation", parents) == "french_assistant"
    assert subject("attention_ladder", parents) == ""
    assert names(parents)["french_evaluation"] == "Evaluation of the french translator"


def test_an_evaluation_by_a_set_is_named_after_both() -> None:
    parents = {
        "arc_easy/items": (),
        "arc_easy_seen": ("arc_easy/items",),
        "foundation": (),
        "reply_assistant": ("foundation",),
        "foundation_evaluation": ("foundation",),
        "foundation_arc_easy_evaluation": ("foundation", "arc_easy/items", "arc_easy_seen"),
        "reply_assistant_arc_easy_evaluation": (
            *("foundation", "reply_assistant", "arc_easy/items", "arc_easy_seen"),
        ),
    }
    told = names(parents)
    assert subject("reply_assistant_arc_easy_evaluation", parents) == "reply_assistant"
    assert told["foundation_evaluation"] == "Evaluation of the foundation model"
    assert told["foundation_arc_easy_evaluation"] == (
        "Evaluation of the foundation model by arc easy"
    )
    assert suite("foundation_arc_easy_evaluation", parents) == "arc_easy"
    assert suite("foundation_evaluation", parents) == ""
    assert told["arc_easy/items"] == "Items of arc easy"
    assert told["arc_easy_seen"] == "Items of arc easy in training text"


def test_a_loss_has_the_unit_of_what_the_network_predicts() -> None:
    assert loss_unit({"architecture": "gpt"}) == "nats a token"
    assert loss_unit({"architecture": "gpt", "labels": ["ham", "spam"]}) == "nats a text"
    assert loss_unit({"architecture": "bert"}) == "nats a hidden token"
    assert loss_unit({"architecture": "word2vec"}) == "nats a pair of words"
    tokens = {"next_token", "sequence_to_sequence"}
    others = {name for name, one in catalogue().items() if one.objective not in tokens}
    assert others == set(PREDICTS), "an architecture that predicts something else says what"


def test_things_are_listed() -> None:
    assert [listing(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c"),
    ]
