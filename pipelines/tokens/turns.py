"""A conversation, or a labelled text, as tokens; and a reply out of them.

Turns are encoded as the foundation saw them behind ``A:`` and ``B:``, with a space before the first
word, but under a control token that no text can spell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def encode_prompt(tokenizer: Tokenizer, turns: Sequence[str], max_tokens: int) -> list[int]:
    """Turns, the oldest first and the last the user's, then the call for the assistant's reply.

    A text's beginning stands before them where the tokenizer has one. Roles alternate backwards
    from the user's last turn. What does not fit ``max_tokens`` is left out turn by turn, the oldest
    first; the last turn alone is cut into, from its left.
    """
    least = 3 + len(tokenizer.opening)
    if not turns or max_tokens < least:
        raise TextError(
            f"turns={len(turns)}, max_tokens={max_tokens}: at least 1 and {least} are needed"
        )
    room = max_tokens - 1 - len(tokenizer.opening)
    newest_first: list[list[int]] = []
    for age, turn in enumerate(reversed(turns)):
        role = tokenizer.assistant if age % 2 else tokenizer.user
        ids = tokenizer.encode(f" {turn}")
        if 1 + len(ids) > room:
            if newest_first:
                break
            ids = ids[-(room - 1) :]
        newest_first.append([role, *ids])
        room -= 1 + len(ids)
    turned = [i for ids in reversed(newest_first) for i in ids]
    return [*tokenizer.opening, *turned, tokenizer.assistant]


def encode_pair(
    tokenizer: Tokenizer, prompt: Sequence[str], reply: str, max_tokens: int
) -> tuple[list[int], list[bool]]:
    """(ids, counted): a prompt with its reply, at most ``max_tokens`` of them.

    ``counted[i]`` says that foretelling ``ids[i]`` enters the loss: the reply and the end of text
    that closes it. The prompt makes way for the reply; only a reply that fills the whole length is
    cut at its right, and then has no end.
    """
    least = 3 + len(tokenizer.opening)
    if max_tokens <= least:
        raise TextError(
            f"max_tokens={max_tokens}: at least {least + 1} are needed for a prompt and a reply"
        )
    said = [*tokenizer.encode(f" {reply}"), tokenizer.end_of_text][: max_tokens - least]
    asked = encode_prompt(tokenizer, prompt, max_tokens - len(said))
    return asked + said, [False] * len(asked) + [True] * len(said)


def encode_labelled(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """A text's first ids, closed by the end of text, where a classifier reads its answer."""
    ids = [*tokenizer.opening, *tokenizer.encode(text)]
    return [*ids[: max_tokens - 1], tokenizer.end_of_text]


def decode_reply(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a generated reply up to its first control token, as ``bare`` leaves it."""
    ends = (i for i, token in enumerate(ids) if token in tokenizer.controls)
    return bare(tokenizer.decode(ids[: next(ends, len(ids))]))


def bare(text: str) -> str:
    """What was generated, without blank lines before it and white space behind it.

    Of the first line one space goes, which parts a reply from the mark of its role; the rest of
    its indentation, by which that of the lines below it is measured, stays.
    """
    blank = text[: len(text) - len(text.lstrip())]
    return text[blank.rfind("\n") + 1 :].removeprefix(" ").rstrip()
