"""Batches of pairs of a prompt and its reply, for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from model.batches.examples import Examples
from pipelines.examples.artefacts import Pair
from pipelines.tokens.turns import encode_pair, encode_pair_as_text

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def pair_examples(
    tokenizer: Tokenizer,
    pairs: Iterable[Pair],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
    by_length: bool = False,
    as_text: bool = False,
) -> Examples:
    """Pairs as batches whose loss is on the reply alone.

    ``as_text`` writes the turns as lines of text, for a network that has not seen the control
    tokens of the roles.

    ``by_length`` sorts the pairs by length, so that there is little padding. It is for a mean over
    all pairs, which does not depend on their order.
    """
    encode = encode_pair_as_text if as_text else encode_pair
    encoded = [encode(tokenizer, p.prompt, p.reply, context_length + 1) for p in pairs]
    if by_length:
        encoded.sort(key=lambda pair: len(pair[0]))
    return Examples(
        [ids for ids, _ in encoded],
        counted=[counted for _, counted in encoded],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )
