"""What every kind of task says in a recipe, and what decides a network that it trains."""

from __future__ import annotations

from typing import Self

from pydantic import SerializeAsAny

from pipelines.core.stanza import Name, Strict
from pipelines.examples.options import LabelsTaken, PairsTaken
from pipelines.training.options import Training


class TaskOptions(Strict):
    """A task: its kind and the corpus that it learns from; how it is trained says each kind."""

    kind: str
    corpus: Name

    def taken(self) -> PairsTaken | LabelsTaken | None:
        """What its examples are taken by; None where it learns from text as it is."""
        return None

    def with_rates(self, *, tied: bool) -> Self:
        """With every rate of what fine-tunes the foundation, whose head is the embedding or not.

        ValueError naming the field of a rate that does not fit.
        """
        return self._resolved("training", tied)

    def _resolved(self, field: str, tied: bool) -> Self:
        training: Training | None = getattr(self, field, None)
        if training is None:  # nothing is trained
            return self
        try:
            resolved = training.resolved(tied=tied, trained=True)
        except ValueError as error:
            raise ValueError(f"{field}.{error}") from None
        return self.model_copy(update={field: resolved})


class FineTuned(Strict):
    """What decides a network that is trained on, beside what it reads."""

    corpus: Name
    training: SerializeAsAny[Training]
    seed: int


class Judged(Strict):
    """What decides the evaluation of a task's network, beside what it reads."""

    corpus: Name
