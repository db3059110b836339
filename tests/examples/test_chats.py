"""Conversations with an assistant and preferences, from documents of turns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipelines.corpora.cleaning.steps.normalise import clean_text
from pipelines.corpora.splits import SPLITS, Split
from pipelines.corpora.turns import document_text
from pipelines.examples.artefacts import read_chats, read_preferences
from pipelines.examples.card import Card, quantile
from pipelines.examples.chats import chat_of, make_chats
from pipelines.examples.preferences import make_preferences, preference_of
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, open_table


def document(*turns: tuple[str, str], name: str = "d") -> Document:
    return Document(name, document_text(turns), "made", "CC0-1.0")


def chat(*turns: tuple[str, str]) -> tuple[list[tuple[str, str, bool]], dict[str, int]]:
    """The turns of a conversation, and what was left out."""
    left_out: Counter[str] = Counter()
    found = list(chat_of(document(*turns), left_out))
    rows = [row for one in found for row in zip(one.roles, one.said, one.learned, strict=True)]
    return rows, dict(+left_out)


def test_all_replies_of_a_conversation_are_learned() -> None:
    rows, left_out = chat(
        ("S", "Be kind."), ("A", "Hi"), ("B", "A: no turn\n  of two lines"), ("T", "2"), ("B", "2!")
    )
    assert rows == [
        ("system", "Be kind.", False),
        ("user", "Hi", False),
        ("assistant", "A: no turn\n  of two lines", True),
        ("tool", "2", False),
        ("assistant", "2!", True),
    ]
    assert left_out == {}


def test_what_cannot_be_learned_is_counted() -> None:
    rows, left_out = chat(
        *(("B", "Welcome!"), ("A", "Hi"), ("N", "so"), ("A", " "), ("B", ""), ("B", "yes")),
        *(("R", "no"), ("A", "thanks")),
    )
    assert rows == [
        ("assistant", "Welcome!", False),
        ("user", "Hi", False),
        ("assistant", "so", False),
        ("assistant", "yes", True),
    ]
    assert left_out == {"replies_to_nothing": 1, "empty_turns": 1, "empty_replies": 1}
    assert chat(("A", "Hi"), ("N", "so"), ("B", " ")) == (
        [],
        {"empty_replies": 1, "documents_without_reply": 1},
    )
    assert chat(("B", "alone")) == ([], {"replies_to_nothing": 1, "documents_without_reply": 1})


def splits(*rows: Document) -> dict[Split, list[Document]]:
    return {split: list(rows) for split in SPLITS}


def test_conversations_are_written_with_a_card(tmp_path: Path) -> None:
    rows = [document(("A", "Hi"), ("B", "x" * n), name=f"{n}") for n in range(1, 11)]
    written = make_chats(splits(*rows, document(("A", "Hi"))), tmp_path, max_chats=4)
    assert written.counts == {"train": 4, "validation": 10, "test": 10}
    assert written.left_out["documents_without_reply"] == 3
    kept = list(read_chats(open_table(tmp_path, "train.arrow")))
    assert len({one.document_id for one in kept}) == 4
    tables = written.card.tables()
    assert tables["characters of an example"][2] == {
        **{"split": "test", "examples": 10, "shortest": 3, "longest": 12},
        **{"half are at most": 7, "nine tenths are at most": 11},
    }
    assert [row["role"] for row in tables["turns"]] == ["assistant", "user"]
    assert tables["turns"][0]["turns"] == tables["turns"][0]["learned"] == 24
    assert tables["licences"] == [{"licence": "CC0-1.0", "documents": 30}]


def test_prose_is_no_conversation(tmp_path: Path) -> None:
    prose = splits(Document("1", "prose", "s", "l"))
    with pytest.raises(TextError, match=r"no reply of an assistant to learn .*docs/tasks\.md"):
        make_chats(prose, tmp_path)
    with pytest.raises(TextError, match=r"no chosen and rejected reply .*docs/tasks\.md"):
        make_preferences(prose, tmp_path)
    some = splits(document(("A", "a"), ("B", "b"), ("R", "c")))
    with pytest.raises(TextError, match="the test split has no example"):
        make_preferences({**some, "test": []}, tmp_path)


def test_a_preference_has_two_replies_to_the_same_turns(tmp_path: Path) -> None:
    good = document(("S", "s"), ("A", "a\nb"), ("B", "well\n- done"), ("R", "badly"))
    make_preferences(splits(good), tmp_path)
    (found,) = read_preferences(open_table(tmp_path, "test.arrow"))
    assert found._asdict() == {
        **{"id": "d", "document_id": "d", "roles": ["system", "user"], "said": ["s", "a\nb"]},
        **{"chosen": "well\n- done", "rejected": "badly"},
    }
    cleaned = good._replace(text=clean_text(good.text, "NFKC"))
    assert list(preference_of(cleaned, Counter())) == [found], "cleaning keeps the two apart"


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("A", "a"), ("B", "b")], "documents_without_preference"),
        ([("B", "b"), ("R", "r")], "empty_preferences"),
        ([("A", "a"), ("B", ""), ("R", "r")], "empty_preferences"),
        ([("A", "a"), ("B", "same"), ("R", "same ")], "equal_replies"),
    ],
)
def test_what_is_no_preference_is_counted(turns: list[tuple[str, str]], reason: str) -> None:
    left_out: Counter[str] = Counter()
    assert not list(preference_of(document(*turns), left_out))
    assert left_out == {reason: 1}


def test_an_assistant_learns_the_chosen_reply() -> None:
    assert [row[1] for row in chat(("A", "a"), ("B", "b"), ("R", "r"))[0]] == ["a", "b"]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.91, 10), (1.0, 10)]
)
def test_the_least_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert quantile(range(10, 0, -1), share) == expected
    assert quantile([], share) == 0
    assert Card().tables()["characters of an example"][0]["longest"] == 0
