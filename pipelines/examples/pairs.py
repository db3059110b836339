"""Every reply of conversations between people, each with some turns before it.

A pair stays in the split of its document, so no fine-tuning uses text on which a foundation was
tested.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.roles import ASSISTANT, USER
from pipelines.corpora.splits import Split
from pipelines.corpora.turns import together, trimmed, turns_of
from pipelines.examples.artefacts import Chat
from pipelines.examples.options import PairsTaken
from pipelines.examples.writing import Written, describe, splits_of, write_chats, write_examples
from pipelines.text.tables import Document

CONTEXT_TURNS = 4
_NAMED = re.compile(r"(\w[\w .'’-]{1,40}): ")


def conversation_pairs(
    text: str, context_turns: int = CONTEXT_TURNS
) -> list[tuple[list[str], str]]:
    """(up to ``context_turns`` turns before, reply) for every turn of a conversation but the first.

    Several turns of one speaker in a row are one turn. In a prompt the replier alternates with the
    other speakers, who count as one, and the prompt ends with a turn of the others.
    """
    trimmed_turns = ((speaker, trimmed(words)) for speaker, words in turns_of(text))
    turns = [
        (speaker, together([words for _, words in run]))
        for speaker, run in groupby((turn for turn in trimmed_turns if turn[1]), itemgetter(0))
    ]
    return [(_before(turns, i, context_turns), turns[i][1]) for i in range(1, len(turns))]


def _before(turns: Sequence[tuple[str, str]], index: int, context_turns: int) -> list[str]:
    """The last turns before ``index``, alternately those of the replier and of all others."""
    speaker = turns[index][0]
    backwards = (turns[i] for i in range(index - 1, -1, -1))
    runs = groupby(backwards, lambda turn: turn[0] == speaker)
    newest_first = [
        together([words for _, words in run][::-1]) for _, run in islice(runs, context_turns)
    ]
    return newest_first[::-1]


def reply_chat(identity: str, document_id: str, prompt: Sequence[str], reply: str) -> Chat:
    """A conversation whose last turn alone is learned; its speakers are user and assistant."""
    roles = [(USER, ASSISTANT)[(len(prompt) - turn) % 2 == 0] for turn in range(len(prompt))]
    learned = [*(False for _ in prompt), True]
    return Chat(identity, document_id, [*roles, ASSISTANT], [*prompt, reply], learned)


def make_pairs(
    documents: Mapping[Split, Iterable[Document]],
    folder: Path,
    context_turns: int = CONTEXT_TURNS,
    max_pairs: int | None = None,
) -> Written:
    """Write ``<split>.arrow`` of the pairs in each split's documents, as conversations.

    Raises TextError if there is no training pair, or no pair in another split.
    """
    names: list[str] = []

    def replies(document: Document, _: Counter[str]) -> Iterator[Chat]:
        if not names and (match := _NAMED.match(document.text)):
            names.append(match[1])
        for turn, (prompt, reply) in enumerate(conversation_pairs(document.text, context_turns), 1):
            yield reply_chat(f"{document.id}/{turn}", document.id, prompt, reply)

    def missing() -> str:
        by_name = "".join(
            f": a speaker is one capital letter, so write `A: ` for `{name}: `" for name in names
        )
        return (
            "no conversation of two turns or more in the training documents; an assistant task"
            f" needs a corpus of lines `A: ...` and `B: ...`, or of messages{by_name}"
        )

    return write_examples(documents, folder, replies, write_chats, max_pairs, missing)


def take(making: Making, settings: PairsTaken, documents: Documents) -> None:
    """Write a task's pairs of prompt and reply; each stays in the split of its document."""
    splits = splits_of(documents)
    written = make_pairs(splits, making.folder, settings.context_turns, settings.max_pairs)
    describe(making, written, "pairs")
