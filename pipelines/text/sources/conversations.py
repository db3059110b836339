"""Conversations in one JSON file to documents of a line a turn."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

from pipelines.text.errors import TextError
from pipelines.text.sources.records import BadRow, Row

SPEAKERS = string.ascii_uppercase


def conversation_rows(text: str, where: str) -> Iterator[tuple[str, Row]]:
    """(id, id and text) of chitchat-dataset's JSON: id -> {messages: [turn, ...]}.

    A turn is [{text, sender, ...}, ...].
    """
    try:
        conversations = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{where}: not JSON ({error}); correct `format`") from None
    if not isinstance(conversations, dict):
        raise TextError(f"{where}: not an object of conversations by id; correct `format`")
    for identity, conversation in conversations.items():
        try:
            row: Row = {"id": identity, "text": render_conversation(conversation["messages"])}
        except (KeyError, TypeError, AttributeError, TextError) as error:
            row = BadRow(f"a malformed conversation ({type(error).__name__}: {error})")
        yield identity, row


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError for a key that stands twice, whose first value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def render_conversation(turns: list[list[dict[str, Any]]]) -> str:
    """One line a turn: the speaker's letter, a colon, the turn's messages joined by a space.

    Speakers are lettered by first appearance, so the first is ``A`` whoever that is. White space
    inside a message is folded to single spaces, so a line is a turn. Empty messages and turns are
    left out; turns of one speaker in a row stay as given. Who speaks is told by the turn's first
    message (in the default corpus a turn has one sender).
    """
    letters: dict[str, str] = {}
    lines = []
    for turn in turns:
        said = " ".join(filter(None, (" ".join(message["text"].split()) for message in turn)))
        if not said:
            continue
        sender = turn[0]["sender"]
        if sender not in letters and len(letters) == len(SPEAKERS):
            raise TextError(f"more than {len(SPEAKERS)} speakers")
        letter = letters.setdefault(sender, SPEAKERS[len(letters) % len(SPEAKERS)])
        lines.append(f"{letter}: {said}")
    return "\n".join(lines)
