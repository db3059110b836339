"""Batches of pairs of replies to the same turns, for training and evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from model.batches.examples import Preferences
from pipelines.tokens.turns import Turn, fitted_chat

if TYPE_CHECKING:
    from pipelines.examples.artefacts import Preference
    from pipelines.tokens.tokenizers import Tokenizer


def encoded(
    tokenizer: Tokenizer,
    pairs: Sequence[Preference],
    context_length: int,
    lost: Counter[str] | None = None,
) -> tuple[list[list[int]], list[list[bool]]]:
    """The tokens of both replies of each pair behind their turns, and which of them count.

    The chosen reply of a pair comes first. ``lost`` counts what is cut to fit: ``replies_cut``, and
    what ``fitted_chat`` counts.
    """
    tokens, counted = [], []
    for pair in pairs:
        turns = [Turn(*turn) for turn in zip(pair.roles, pair.said, strict=True)]
        for reply in (pair.chosen, pair.rejected):
            said = [*turns, Turn("assistant", reply)]
            learned = [False] * len(turns) + [True]
            fitted = fitted_chat(tokenizer, said, learned, context_length + 1)
            tokens.append(fitted.ids)
            counted.append(fitted.counted)
            if lost is not None:
                lost["replies_cut"] += bool(fitted.lost)
                lost.update(fitted.lost)
    return tokens, counted


def preference_examples(
    tokenizer: Tokenizer,
    pairs: Sequence[Preference],
    reference: Sequence[float],
    *,
    beta: float,
    context_length: int,
    batch_size: int,
    seed: int = 0,
    lost: Counter[str] | None = None,
) -> Preferences:
    """Pairs as batches; ``reference`` has the nats of both replies of each pair.

    ``lost`` is that of ``encoded``.
    """
    tokens, counted = encoded(tokenizer, pairs, context_length, lost)
    return Preferences(
        tokens,
        counted=counted,
        reference=reference,
        beta=beta,
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )
