"""Texts translated: by an encoder-decoder, or by a decoder that continues them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model.architectures.encoder_decoder.search import translate
from model.inference.generation import generate_batch
from pipelines.inference.replies import unnamed
from pipelines.tokens.turns import decode_reply, encode_prompt

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


ROWS = 128  # texts that the decoder-only model continues at once


def encode_source(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """A text's first ids, closed by the end of text; begun as a turn of the documents is."""
    return [*tokenizer.encode(f" {text}")[: max_tokens - 1], tokenizer.end_of_text]


def translations(
    network: Any, tokenizer: Tokenizer, texts: Sequence[str], beams: int = 1
) -> list[str]:
    """Each text as the encoder-decoder translates it; one beam takes the likeliest word each."""
    found = translate(
        network,
        [encode_source(tokenizer, text, network.context_length) for text in texts],
        begin=tokenizer.assistant,
        end=tokenizer.end_of_text,
        beams=beams,
    )
    return [decode_reply(tokenizer, tokens) for tokens in found]


def replies(network: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Each text as the decoder-only model replies to it, the likeliest token each time."""
    room = network.context_length // 2
    prompts = [encode_prompt(tokenizer, [text], network.context_length - room) for text in texts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    found: dict[int, str] = {}
    for first in range(0, len(order), ROWS):
        numbers = order[first : first + ROWS]
        made = generate_batch(
            network,
            [prompts[number] for number in numbers],
            max_new_tokens=room,
            stop=tokenizer.controls,
            forbid=unnamed(network, tokenizer),
            temperature=0.0,
        )
        found |= {n: decode_reply(tokenizer, t) for n, t in zip(numbers, made, strict=True)}
    return [found[number] for number in range(len(prompts))]
