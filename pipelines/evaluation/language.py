"""A language model on held-out text: loss, perplexity, bits per byte, and continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model.batches.batching import in_order
from model.evaluation import (
    bits_per_byte,
    mean_loss,
    perplexity,
)
from model.inference.generation import generate_batch
from model.training.objectives import OBJECTIVES
from pipelines.inference.replies import SAMPLING, unnamed
from pipelines.training.checkpoint import held_out_rows

if TYPE_CHECKING:
    from torch import nn

    from pipelines.tokens.artefacts import TokenShards
    from pipelines.tokens.tokenizers import Tokenizer


def language_figures(
    network: Any, shards: TokenShards, tokenizer: Tokenizer
) -> dict[str, dict[str, float]]:
    """Loss (nats a token), perplexity and bits per byte of the validation and test splits.

    The model predicts every token once, ends of text included and beginnings of text excluded. It
    predicts each token only from the tokens of its window. A window starts with the beginning of
    text if the tokenizer has one. Bits are divided by the UTF-8 bytes of the text.
    """
    figures = {}
    for split in ("validation", "test"):
        stream = shards.stream(split, tokenizer.end_of_text)
        length = network.context_length
        batches = in_order(stream, length, held_out_rows(length), beginning=tokenizer.beginning)
        loss = mean_loss(network, OBJECTIVES["next_token"], batches)
        figures[split] = {
            "loss": loss.nats,
            "perplexity": perplexity(loss.nats),
            "bits_per_byte": bits_per_byte(loss.total, shards.text_bytes(split)),
        }
    return figures


def continuations(
    network: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str], length: int = 120
) -> list[dict[str, str]]:
    """The model's continuation of each prompt, by seeded sampling."""
    continued = generate_batch(
        network,
        [[tokenizer.start, *tokenizer.encode(prompt)] for prompt in prompts],
        max_new_tokens=length,
        stop=tokenizer.controls - {tokenizer.user, tokenizer.assistant},
        forbid={tokenizer.user, tokenizer.assistant, *unnamed(network, tokenizer)},
        **SAMPLING,
    )
    return [
        {"prompt": prompt, "continuation": continuation(tokenizer, prompt, tokens)}
        for prompt, tokens in zip(prompts, continued, strict=True)
    ]


def continuation(tokenizer: Tokenizer, prompt: str, tokens: Sequence[int]) -> str:
    """The text by which ``tokens`` continue a prompt.

    They are decoded together with the prompt, because a tokenizer may write the space between two
    words only where it has both.
    """
    before = tokenizer.encode(prompt)
    return tokenizer.decode([*before, *tokens])[len(tokenizer.decode(before)) :]
