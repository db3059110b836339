"""From the conversations in one JSON file to documents of turns."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipelines.corpora.sources.records import AS_MESSAGES, BadRow, Row
from pipelines.corpora.turns import document_text, together, trimmed
from pipelines.text.errors import TextError

SPEAKERS = string.ascii_uppercase
_LAYOUT = (
    'the format is one object, {id: {"messages": [[{"text": ..., "sender": ...}], ...]}}; correct'
    f" `format`, and {AS_MESSAGES % 'messages'}"
)


def conversation_rows(text: str, where: str) -> Iterator[tuple[str, Row]]:
    """(id, record of id and text) of chitchat-dataset's JSON: id -> {messages: [turn, ...]}.

    A turn is [{text, sender, ...}, ...].
    """
    try:
        conversations = json.loads(text, object_pairs_hook=_with_unique_keys)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{where}: not JSON ({error}); {_LAYOUT}") from None
    if not isinstance(conversations, dict):
        raise TextError(f"{where}: not an object of conversations by id; {_LAYOUT}")
    for identity, conversation in conversations.items():
        try:
            row: Row = {"id": identity, "text": render_conversation(conversation["messages"])}
        except (KeyError, TypeError, AttributeError, TextError) as error:
            row = BadRow(f"a malformed conversation ({type(error).__name__}: {error})")
        yield identity, row


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError if a key occurs twice: its first value would be lost."""
    record = dict(pairs)
    if len(record) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return record


def render_conversation(turns: list[list[dict[str, Any]]]) -> str:
    """The text of a conversation: each turn joins its messages, as they were written.

    Speakers have letters in the order of their first turn, so the first speaker is ``A``. Empty
    messages and turns are left out; several turns of one speaker in a row stay separate. The first
    message of a turn names its speaker (in the default corpus a turn has one sender).
    """
    letters: dict[str, str] = {}
    lettered_turns: list[tuple[str, str]] = []
    for turn in turns:
        words = together(list(filter(None, (trimmed(message["text"]) for message in turn))))
        if not words:
            continue
        sender = turn[0]["sender"]
        if sender not in letters and len(letters) == len(SPEAKERS):
            raise TextError(f"more than {len(SPEAKERS)} speakers")
        letter = letters.setdefault(sender, SPEAKERS[len(letters) % len(SPEAKERS)])
        lettered_turns.append((letter, words))
    return document_text(lettered_turns)
