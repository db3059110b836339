"""Preferences: two replies of the assistant to the same turns, one chosen and one rejected.

In a document the chosen reply is the assistant's last turn, and behind it is the rejected reply
with the letter R (``pipelines/corpora/roles.py``). So cleaning, splits and the forgetting of
documents know nothing about preferences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.roles import ASSISTANT, LETTERS, REJECTED
from pipelines.corpora.splits import Split
from pipelines.corpora.turns import trimmed, turns_of
from pipelines.examples.artefacts import Preference
from pipelines.examples.chats import ROLE_OF
from pipelines.examples.options import PreferencesTaken
from pipelines.examples.writing import (
    Written,
    describe,
    splits_of,
    write_examples,
    write_preferences,
)
from pipelines.text.tables import Document


def preference_of(document: Document, left_out: Counter[str]) -> Iterator[Preference]:
    """The preference of a document, if there is one.

    ``left_out`` counts documents without two replies, with an empty one, and with equal ones.
    """
    turns = [(letter, trimmed(spoken)) for letter, spoken in turns_of(document.text)]
    before, replies = turns[:-2], turns[-2:]
    if [letter for letter, _ in replies] != [LETTERS[ASSISTANT], REJECTED]:
        left_out["documents_without_preference"] += 1
        return
    (_, chosen), (_, rejected) = replies
    known = [(ROLE_OF[letter], words) for letter, words in before if letter in ROLE_OF and words]
    if not (known and chosen and rejected):
        left_out["empty_preferences"] += 1
    elif chosen == rejected:
        left_out["equal_replies"] += 1
    else:
        roles, said = map(list, zip(*known, strict=True))
        yield Preference(document.id, document.id, roles, said, chosen, rejected)


def make_preferences(
    documents: Mapping[Split, Iterable[Document]], folder: Path, most: int | None = None
) -> Written:
    """Write ``<split>.arrow`` of the preferences in each split's documents.

    Raises TextError if there is no training preference, or none in another split.
    """

    def missing() -> str:
        return (
            "no chosen and rejected reply in the training documents; a preference task needs a"
            " source whose fields map `chosen` and `rejected` (docs/tasks.md)"
        )

    return write_examples(documents, folder, preference_of, write_preferences, most, missing)


def take(making: Making, settings: PreferencesTaken, documents: Documents) -> None:
    """Write a task's preferences; each stays in the split of its document."""
    written = make_preferences(splits_of(documents), making.folder, settings.max_preferences)
    describe(making, written, "preferences")
