"""Conversations with an assistant: all its replies are learned, and nothing else.

A conversation stays in the split of its document, so no fine-tuning uses text on which a
foundation was tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.roles import ASSISTANT, LETTERS, UNLEARNED
from pipelines.corpora.splits import Split
from pipelines.corpora.turns import trimmed, turns_of
from pipelines.examples.artefacts import Chat
from pipelines.examples.options import ChatsTaken
from pipelines.examples.writing import Written, describe, splits_of, write_chats, write_examples
from pipelines.text.tables import Document

ROLE_OF = {letter: role for role, letter in LETTERS.items()} | {UNLEARNED: ASSISTANT}


def chat_of(document: Document, left_out: Counter[str]) -> Iterator[Chat]:
    """The conversation of a document, if a reply in it can be learned.

    A turn without words is left out. A reply is learned if something was said before it, and its
    letter is not that of replies which are only read. What follows the last of these is left out,
    as nothing learns from it. ``left_out`` counts empty replies, replies to nothing, and documents
    without a reply to learn.
    """
    roles: list[str] = []
    said: list[str] = []
    learned: list[bool] = []
    for letter, spoken in turns_of(document.text):
        role, words = ROLE_OF.get(letter), trimmed(spoken)
        if role is None:
            continue
        if not words:
            left_out["empty_replies" if role == ASSISTANT else "empty_turns"] += 1
            continue
        replies = role == ASSISTANT and letter != UNLEARNED
        left_out["replies_to_nothing"] += replies and not said
        roles.append(role)
        learned.append(replies and bool(said))
        said.append(words)
    end = max((place for place, learns in enumerate(learned, 1) if learns), default=0)
    if end:
        yield Chat(document.id, document.id, roles[:end], said[:end], learned[:end])
    else:
        left_out["documents_without_reply"] += 1


def make_chats(
    documents: Mapping[Split, Iterable[Document]], folder: Path, max_chats: int | None = None
) -> Written:
    """Write ``<split>.arrow`` of the conversations in each split's documents.

    Raises TextError if there is no training conversation, or none in another split.
    """

    def missing() -> str:
        return (
            "no reply of an assistant to learn in the training documents; an assistant task needs"
            " a source of messages, or of a prompt and a reply (docs/tasks.md)"
        )

    return write_examples(documents, folder, chat_of, write_chats, max_chats, missing)


def take(making: Making, settings: ChatsTaken, documents: Documents) -> None:
    """Write a task's conversations; each stays in the split of its document."""
    written = make_chats(splits_of(documents), making.folder, settings.max_chats)
    describe(making, written, "chats")
