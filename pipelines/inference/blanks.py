"""Fills in blanks, with a network that reads both sides of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from model.evaluation import evaluating

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


BLANK = re.compile(r"_{3,}")


WORD = re.compile(r"[^\W\d_][\w'’-]*")


def fill(
    network: Any, tokenizer: Tokenizer, text: str, count: int = 3
) -> list[list[tuple[str, float]]]:
    """The likeliest words for each ___ of a text, best first, each with its probability.

    A blank is one token. Tokens that are no word, or that do not begin one after a space, are left
    out, but the probabilities are not rescaled. Raises ValueError if there is no blank or the text
    is too long.
    """
    pieces = BLANK.split(text)
    if len(pieces) < 2:
        raise ValueError(f"text={text!r} has no ___: write one where a word is hidden")
    tokens, places, spaced = [tokenizer.end_of_text], [], []
    for number, piece in enumerate(pieces):
        if number:
            places.append(len(tokens))
            tokens.append(network.mask)
        open_ended = number < len(pieces) - 1 and piece.endswith(" ")
        spaced.append(open_ended)
        # A word's token holds the space before the word.
        tokens += tokenizer.encode(piece[:-1] if open_ended else piece)
    if len(tokens) > network.context_length:
        raise ValueError(
            f"text of {len(tokens)} tokens: at most {network.context_length}; shorten it"
        )
    device = next(network.parameters()).device
    with evaluating(network), torch.inference_mode():
        features = network.features(torch.tensor([tokens], device=device))[0, places]
        shares = network.logits(features).softmax(-1).cpu()  # (N, V)
    return [_best(tokenizer, row, space, count) for row, space in zip(shares, spaced, strict=False)]


def _best(tokenizer: Tokenizer, shares: Any, spaced: bool, count: int) -> list[tuple[str, float]]:
    before = " " if spaced and tokenizer.lossless else ""
    ranked = ((tokenizer.decode([i]), i) for i in shares.argsort(descending=True).tolist())
    words = (
        (word.removeprefix(before), float(shares[i]))
        for word, i in ranked
        if word.startswith(before) and WORD.fullmatch(word.removeprefix(before))
    )
    return list(islice(words, count))


def told(filled: Sequence[Sequence[tuple[str, float]]]) -> str:
    """The words as text: one line for each blank."""
    return "\n".join(", ".join(f"{word} {share:.1%}" for word, share in line) for line in filled)
