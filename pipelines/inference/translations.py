"""Translates texts, with an encoder-decoder or with a decoder that continues a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model.architectures.encoder_decoder.search import translate
from model.inference.generation import generate_batch
from pipelines.inference.replies import unnamed
from pipelines.tokens.turns import alternating, decode_reply, encode_prompt

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


ROWS = 128  # texts that the decoder-only model continues at once


def encode_source(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """A text's first ids and the end of text; it begins with a space, as a turn of documents."""
    return [*tokenizer.encode(f" {text}")[: max_tokens - 1], tokenizer.end_of_text]


def translations(
    network: Any, tokenizer: Tokenizer, texts: Sequence[str], beams: int = 1
) -> list[str]:
    """The encoder-decoder's translation of each text; one beam is greedy search."""
    targets = translate(
        network,
        [encode_source(tokenizer, text, network.context_length) for text in texts],
        begin=tokenizer.assistant,
        end=tokenizer.end_of_text,
        beams=beams,
    )
    return [decode_reply(tokenizer, tokens) for tokens in targets]


def replies(network: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The decoder-only model's reply to each text, by the likeliest token at each step."""
    room = network.context_length // 2
    room_before = network.context_length - room
    prompts = [encode_prompt(tokenizer, alternating([text]), room_before) for text in texts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    by_number: dict[int, str] = {}
    for first in range(0, len(order), ROWS):
        numbers = order[first : first + ROWS]
        generated = generate_batch(
            network,
            [prompts[number] for number in numbers],
            max_new_tokens=room,
            stop=tokenizer.controls,
            forbid=unnamed(network, tokenizer),
            temperature=0.0,
        )
        by_number |= {
            n: decode_reply(tokenizer, t) for n, t in zip(numbers, generated, strict=True)
        }
    return [by_number[number] for number in range(len(prompts))]
