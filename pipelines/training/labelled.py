"""Labelled texts, as a network reads them in training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from model.batches.examples import Examples
from pipelines.examples.artefacts import Labelled
from pipelines.tokens.turns import encode_labelled

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def labelled_examples(
    tokenizer: Tokenizer,
    rows: Sequence[Labelled],
    labels: Sequence[str],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
) -> Examples:
    """Labelled texts as batches."""
    return Examples(
        [encode_labelled(tokenizer, row.text, context_length) for row in rows],
        labels=[labels.index(row.label) for row in rows],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )


def require_labels(rows: Sequence[Labelled], split: str) -> None:
    """ValueError where all of a split's examples bear one label, or there are none."""
    found = {row.label for row in rows}
    if len(found) < 2:
        told = f"only label={min(found)}" if found else "no example"
        raise ValueError(
            f"the {split} split has {told}: nothing can be told apart; add documents of other"
            " labels, or raise the split's share"
        )
