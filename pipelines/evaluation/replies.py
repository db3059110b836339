"""An assistant's replies to held-out conversations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from model.inference.generation import generate_batch
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.corpora.turns import document_text
from pipelines.examples.artefacts import Pair
from pipelines.inference.replies import REPLY_TOKENS, SAMPLING, prompt_tokens, unnamed
from pipelines.tokens.turns import decode_reply, encode_prompt

if TYPE_CHECKING:
    from torch import nn

    from pipelines.tokens.tokenizers import Tokenizer


def dialogues(
    network: nn.Module, tokenizer: Tokenizer, pairs: Iterable[Pair], count: int = 10
) -> list[dict[str, str]]:
    """The assistant's replies to held-out prompts, beside the person's replies.

    The prompts are of ``count`` conversations, or of all if there are fewer. What people said is
    given without personal data.
    """
    chosen = one_of_each(pairs, count)
    prompt_length = prompt_tokens(network, REPLY_TOKENS)
    replies = generate_batch(
        network,
        [encode_prompt(tokenizer, pair.prompt, prompt_length) for pair in chosen],
        max_new_tokens=REPLY_TOKENS,
        stop=tokenizer.controls,
        forbid=unnamed(network, tokenizer),
        **SAMPLING,
    )
    return [
        {
            "prompt": without_personal_data(_said(pair.prompt)),
            "reply": decode_reply(tokenizer, tokens),
            "person": without_personal_data(pair.reply),
        }
        for pair, tokens in zip(chosen, replies, strict=True)
    ]


def one_of_each(pairs: Iterable[Pair], count: int) -> list[Pair]:
    """One pair of each of ``count`` conversations, these evenly spread over the split.

    It is the pair in the middle of its conversation, whose prompt has turns before it.
    """
    conversations: dict[str, list[Pair]] = {}
    for pair in pairs:
        conversations.setdefault(pair.document_id, []).append(pair)
    each = list(conversations.values())
    count = min(count, len(each))
    chosen = (each[number * len(each) // count] for number in range(count))
    return [conversation[len(conversation) // 2] for conversation in chosen]


def _said(turns: Sequence[str]) -> str:
    """One turn as it is, several in the format of a document; the last is the user's, as A."""
    if len(turns) == 1:
        return turns[0]
    speakers = ("AB"[(len(turns) - 1 - place) % 2] for place in range(len(turns)))
    return document_text(zip(speakers, turns, strict=True))
