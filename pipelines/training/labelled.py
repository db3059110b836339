"""Batches of labelled texts for training and evaluation."""

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
    """Raises ValueError if a split has no examples, or all its examples have the same label."""
    labels = {row.label for row in rows}
    if len(labels) < 2:
        fault = f"only label={min(labels)}" if labels else "no example"
        raise ValueError(
            f"the {split} split has {fault}: a classifier needs two labels; add documents of other"
            " labels, or raise the split's share"
        )
