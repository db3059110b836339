"""The options for the examples of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from pipelines.core.stanza import Positive, Strict
from pipelines.corpora.splitting import Splitting


def _spelt(given: Any) -> Any:
    """Labels as texts: a number stands for its digits. Raises ValueError for a truth value as key.

    A truth value in a list stays one, and is then refused as no text.
    """
    if isinstance(given, Mapping):
        if any(isinstance(value, bool) for value in given):
            raise ValueError(
                "an unquoted yes, no, true or false is a truth value in YAML; write labels such as"
                ' "no" in quotation marks'
            )
        return {_text(value): _text(name) for value, name in given.items()}
    return tuple(map(_text, given)) if isinstance(given, list | tuple) else given


def _text(label: Any) -> Any:
    return str(label) if type(label) is int else label


def _distinct(labels: Labels) -> Labels:
    names = tuple(labels.values()) if isinstance(labels, dict) else labels
    twice = next((label for label in names if names.count(label) > 1), None)
    if twice is not None and not isinstance(labels, dict):
        raise ValueError(f"label={twice!r} occurs twice; keep one")
    if len(set(names)) < 2:
        raise ValueError("a classifier needs at least two labels")
    return labels


Labels = tuple[str, ...] | dict[str, str]


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

    labels: Annotated[
        Labels,
        BeforeValidator(_spelt, json_schema_input_type=list[str | int] | dict[str, str | int]),
        AfterValidator(_distinct),
    ]
    """The labels in the order of the head's outputs: a list, or the names to show by the values in
    the data (``{1: World, 2: Sports}``). F1 is that of the second of two labels; of more labels it
    is of all."""
    stratified: Splitting | None = None
    """Divide the texts anew, those of each label by these shares, whatever the split of their
    documents. Only for a corpus of weight 0, on which no foundation is trained."""
    balance: Literal["none", "sample", "repeat"] = "none"
    """sample: of each label as many texts as the rarest has, the first in hash order, in every
    split. repeat: in training the texts of rarer labels are repeated until all are as frequent."""

    @model_validator(mode="after")
    def _divides_by_shares(self) -> LabelsTaken:
        if self.stratified is not None and self.stratified.given:
            raise ValueError(
                "stratified.given: write which splits are given into the corpus' split"
            )
        return self

    def names(self) -> tuple[str, ...]:
        """The labels as they are shown, each once."""
        labels = self.labels
        return tuple(dict.fromkeys(labels.values() if isinstance(labels, dict) else labels))

    def by_value(self) -> dict[str, str]:
        """The label to show of each value in the data."""
        labels = self.labels
        return dict(labels) if isinstance(labels, dict) else dict(zip(labels, labels, strict=True))
