"""An assistant's replies to held-out conversations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from model.inference.generation import generate_batch
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
    """The assistant's replies to held-out prompts, beside the person's replies."""
    first_pairs = list(islice(pairs, count))
    prompt_length = prompt_tokens(network, REPLY_TOKENS)
    replies = generate_batch(
        network,
        [encode_prompt(tokenizer, pair.prompt, prompt_length) for pair in first_pairs],
        max_new_tokens=REPLY_TOKENS,
        stop=tokenizer.controls,
        forbid=unnamed(network, tokenizer),
        **SAMPLING,
    )
    return [
        {
            "prompt": pair.prompt[0] if len(pair.prompt) == 1 else _conversation(pair.prompt),
            "reply": decode_reply(tokenizer, tokens),
            "person": pair.reply,
        }
        for pair, tokens in zip(first_pairs, replies, strict=True)
    ]


def _conversation(turns: Sequence[str]) -> str:
    """Turns in the format of a document. The last turn is the user's, and A speaks it."""
    speakers = ("AB"[(len(turns) - 1 - place) % 2] for place in range(len(turns)))
    return document_text(zip(speakers, turns, strict=True))
