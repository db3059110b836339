"""The options for the examples of a task."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipelines.core.stanza import Positive, Strict


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"label={twice!r} occurs twice; keep one")
    return labels


class PairsTaken(Strict):
    """Every reply of conversations between people, each with the turns before it."""

    context_turns: Positive = 4
    """The number of turns before a reply that are its prompt."""
    max_pairs: Positive | None = None
    """The number of training pairs, the first in hash order; null for all."""


class ChatsTaken(Strict):
    """Conversations with an assistant, each with all replies of the assistant."""

    max_chats: Positive | None = None
    """The number of training conversations, the first in hash order; null for all."""


class PreferencesTaken(Strict):
    """Conversations with two replies of the assistant, one chosen and one rejected."""

    max_preferences: Positive | None = None
    """The number of training preferences, the first in hash order; null for all."""


class LabelsTaken(Strict):
    """Texts, each with one of the labels."""

    labels: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
    """The labels in the order of the head's outputs. F1 is that of the second of two labels; of
    more labels it is of all."""
