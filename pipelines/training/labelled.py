"""Batches of labelled texts for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, cycle, islice
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
    """Labelled texts as batches.

    Raises ValueError for a label that the head has no output for.
    """
    outputs = {label: number for number, label in enumerate(labels)}
    for row in rows:
        if row.label not in outputs:
            raise ValueError(
                f"example {row.id}: label={row.label} is none of the head's {len(labels)} labels,"
                f" {', '.join(labels)}; train the classifier again"
            )
    return Examples(
        [encode_labelled(tokenizer, row.text, context_length) for row in rows],
        labels=[outputs[row.label] for row in rows],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )


def cut_texts(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> int:
    """How many texts a classifier with such a context reads only in part."""
    room = context_length - 1 - len(tokenizer.opening)  # the last token is the end of text
    return sum(len(tokenizer.encode(text)) > room for text in texts)


def repeated(rows: Sequence[Labelled]) -> list[Labelled]:
    """The rows, those of rarer labels again and again until all labels are as frequent."""
    labels: dict[str, list[Labelled]] = {}
    for row in rows:
        labels.setdefault(row.label, []).append(row)
    most = max(map(len, labels.values()), default=0)
    more = (islice(cycle(found), most - len(found)) for found in labels.values())
    return [*rows, *chain.from_iterable(more)]


def require_labels(rows: Sequence[Labelled], split: str) -> None:
    """Raises ValueError if a split has no examples, or all its examples have the same label."""
    labels = {row.label for row in rows}
    if len(labels) < 2:
        fault = f"only label={min(labels)}" if labels else "no example"
        raise ValueError(
            f"the {split} split has {fault}: a classifier needs two labels; add documents of other"
            " labels, or raise the split's share"
        )
