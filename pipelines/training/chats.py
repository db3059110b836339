"""Batches of conversations, for training and evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from model.batches.examples import Examples
from pipelines.examples.artefacts import Chat
from pipelines.tokens.turns import Turn, fitted_chat

if TYPE_CHECKING:
    from pipelines.tokens.template import Template
    from pipelines.tokens.tokenizers import Tokenizer


def chat_examples(
    tokenizer: Tokenizer,
    chats: Iterable[Chat],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
    by_length: bool = False,
    template: Template | None = None,
    lost: Counter[str] | None = None,
) -> Examples:
    """Conversations as batches whose loss is on the learned replies alone, one example for each.

    ``template`` is the form of a conversation; None is the tokenizer's. ``lost`` counts what is cut
    to fit: ``chats_cut``, and what ``fitted_chat`` counts. ``by_length`` sorts the conversations by
    length, so that there is little padding. It is for a mean over all of them, which does not
    depend on their order.
    """
    encoded = []
    for chat in chats:
        turns = list(map(Turn, chat.roles, chat.said))
        fitted = fitted_chat(tokenizer, turns, chat.learned, context_length + 1, template)
        encoded.append((fitted.ids, fitted.counted))
        if lost is not None:
            lost["chats_cut"] += bool(fitted.lost)
            lost.update(fitted.lost)
    if by_length:
        encoded.sort(key=lambda example: len(example[0]))
    return Examples(
        [ids for ids, _ in encoded],
        counted=[counted for _, counted in encoded],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )
