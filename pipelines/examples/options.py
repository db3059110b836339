"""What a task's examples are taken by."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipelines.core.stanza import Positive, Strict


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"label={twice!r} stands twice; keep one")
    return labels


class PairsTaken(Strict):
    """Prompt/reply pairs of conversations."""

    context_turns: Positive = 4
    """How many turns before a reply are its prompt."""
    max_pairs: Positive | None = None
    """The first so many training pairs in hash order; null for all."""


class LabelsTaken(Strict):
    """Texts with one of some labels."""

    labels: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
    """The labels in the order of the head's outputs; F1 is of the last of two, of more of all."""
