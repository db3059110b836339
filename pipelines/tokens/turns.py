"""Conversations and labelled texts as tokens, and the reply in generated tokens.

A turn is encoded as the foundation saw it after ``A:`` and ``B:``, with a space before the first
word, but after a control token, which no text can spell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def encode_prompt(tokenizer: Tokenizer, turns: Sequence[str], max_tokens: int) -> list[int]:
    """The turns, the oldest first, and then the control token for the assistant's reply.

    The ids begin with the tokenizer's beginning of a text, if it has one. The last turn is the
    user's, and roles alternate backwards from it. If the turns do not fit in ``max_tokens``, the
    oldest turns are left out one by one; only the last turn is ever cut, at its left. Raises
    TextError without a turn, or for too few ``max_tokens``.
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
    ids_of_turns = [i for ids in reversed(newest_first) for i in ids]
    return [*tokenizer.opening, *ids_of_turns, tokenizer.assistant]


def encode_pair(
    tokenizer: Tokenizer, prompt: Sequence[str], reply: str, max_tokens: int
) -> tuple[list[int], list[bool]]:
    """(ids, counted): a prompt with its reply, at most ``max_tokens`` ids.

    ``counted[i]`` is True if the prediction of ``ids[i]`` counts in the loss: for the reply and for
    the end of text after it. If both do not fit, the prompt is shortened first. A reply that is
    longer than the whole length is cut at its right, and has no end of text. Raises TextError for
    too few ``max_tokens``.
    """
    least = 3 + len(tokenizer.opening)
    if max_tokens <= least:
        raise TextError(
            f"max_tokens={max_tokens}: at least {least + 1} are needed for a prompt and a reply"
        )
    reply_ids = [*tokenizer.encode(f" {reply}"), tokenizer.end_of_text][: max_tokens - least]
    prompt_ids = encode_prompt(tokenizer, prompt, max_tokens - len(reply_ids))
    return prompt_ids + reply_ids, [False] * len(prompt_ids) + [True] * len(reply_ids)


def encode_pair_as_text(
    tokenizer: Tokenizer, prompt: Sequence[str], reply: str, max_tokens: int
) -> tuple[list[int], list[bool]]:
    """``encode_pair`` for a network that has seen conversations only as text.

    Each turn is a line after ``A:`` or ``B:``, and the reply is B's. The end of its line counts
    instead of the end of text. Raises TextError for too few ``max_tokens``.
    """
    least = 3 + len(tokenizer.opening)
    if max_tokens <= least:
        raise TextError(
            f"max_tokens={max_tokens}: at least {least + 1} are needed for a prompt and a reply"
        )
    reply_ids = tokenizer.encode(f" {reply}\n")[: max_tokens - least]
    room = max_tokens - len(reply_ids) - len(tokenizer.opening)
    speakers = reversed(["AB"[age % 2] for age in range(len(prompt))])
    lines = [f"{speaker}: {turn}\n" for speaker, turn in zip(speakers, prompt, strict=True)]
    prompt_ids = tokenizer.encode("".join([*lines, "B:"]))
    while len(prompt_ids) > room and len(lines) > 1:
        del lines[0]
        prompt_ids = tokenizer.encode("".join([*lines, "B:"]))
    ids = [*tokenizer.opening, *prompt_ids[-room:]]
    return ids + reply_ids, [False] * len(ids) + [True] * len(reply_ids)


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
