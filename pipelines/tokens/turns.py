"""Conversations and labelled texts as tokens, and the reply in generated tokens.

What stands around the words of a turn is the tokenizer's template. Its control tokens are inserted
by number, so a role marker that a user types stays text. All text between two control tokens is
encoded as one text, except that the words of the assistant are encoded apart, as in a generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.corpora.roles import ASSISTANT, USER
from pipelines.text.errors import TextError
from pipelines.tokens.conversation import Conversation, Fitted, Turn

if TYPE_CHECKING:
    from pipelines.tokens.template import Template
    from pipelines.tokens.tokenizers import Tokenizer

__all__ = [
    "Fitted",
    "Turn",
    "alternating",
    "bare",
    "decode_reply",
    "encode_chat",
    "encode_labelled",
    "encode_prompt",
    "fitted_chat",
]


def alternating(said: Sequence[str]) -> list[Turn]:
    """Texts as turns of the user and the assistant in turn; the last text is the user's."""
    roles = reversed([(USER, ASSISTANT)[age % 2] for age in range(len(said))])
    return list(map(Turn, roles, said))


def encode_prompt(
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    max_tokens: int,
    template: Template | None = None,
) -> list[int]:
    """The ids of a conversation, the oldest turn first, up to where the assistant's words begin.

    If the turns do not fit in ``max_tokens``, the oldest are left out one by one, but not the
    system's and the last of a user; that one is cut at its left if it must be. ``template`` None is
    the tokenizer's. Raises TextError without a turn, or for too few ``max_tokens``.
    """
    whole = Conversation(tokenizer, turns, [False] * len(turns), template, asks=True)
    return whole.fitted(max_tokens).ids


def encode_chat(
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    learned: Sequence[bool],
    max_tokens: int,
    template: Template | None = None,
) -> tuple[list[int], list[bool]]:
    """(ids, counted): a conversation with its replies, at most ``max_tokens`` ids.

    The words of each learned turn count, and the end behind them. ``fitted_chat`` says more.
    """
    ids, counted, _ = fitted_chat(tokenizer, turns, learned, max_tokens, template)
    return ids, counted


def fitted_chat(
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    learned: Sequence[bool],
    max_tokens: int,
    template: Template | None = None,
) -> Fitted:
    """``encode_chat``, with the counts of what was cut.

    Turns behind the last learned one are left out. If the rest does not fit, old turns go first, as
    in ``encode_prompt``; then the last requests are cut at their left; and then the last reply is
    cut at its right, and has no end. Raises TextError for too few ``max_tokens``, or without a
    learned turn.
    """
    last = max((place for place, learns in enumerate(learned) if learns), default=-1)
    if last < 0:
        raise TextError(f"turns={len(turns)}: no reply among them is learned; leave them out")
    return Conversation(tokenizer, turns[: last + 1], learned, template).fitted(max_tokens)


def encode_labelled(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """The first ids of a text and the end of text, at which a classifier reads its answer."""
    ids = [*tokenizer.opening, *tokenizer.encode(text)]
    return [*ids[: max_tokens - 1], tokenizer.end_of_text]


def decode_reply(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a generated reply up to its first control token, as ``bare`` leaves it."""
    ends = (i for i, token in enumerate(ids) if token in tokenizer.controls)
    return bare(tokenizer.decode(ids[: next(ends, len(ids))]))


def bare(text: str) -> str:
    """The generated text without blank lines before it and white space after it.

    One space is removed from the first line: the one between the mark of the role and the reply.
    The rest of its indentation stays, because that of the lines below is relative to it.
    """
    blank = text[: len(text) - len(text.lstrip())]
    return text[blank.rfind("\n") + 1 :].removeprefix(" ").rstrip()
