"""Options that every kind of task has in a recipe, and settings of the networks it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pipelines.core.stanza import Name, Strict
from pipelines.examples.options import ChatsTaken, LabelsTaken, PairsTaken, PreferencesTaken
from pipelines.training.options import FineTuning, Training

if TYPE_CHECKING:
    from pipelines.corpora.sources.kind import SourceOptions


class TaskOptions(Strict):
    """A task: its kind and the corpus that it learns from. Each kind adds its training."""

    kind: str
    corpus: Name

    @property
    def begins_from(self) -> str | None:
        """The task whose model it trains on; None for the foundation."""
        return None

    def taken(self) -> PairsTaken | ChatsTaken | PreferencesTaken | LabelsTaken | None:
        """The options of its examples; None if it learns from plain text."""
        return None

    def learning_from(self, source: SourceOptions) -> Self:  # noqa: ARG002
        """A copy with the options that the source of its corpus decides."""
        return self

    def with_rates(self, *, tied: bool) -> Self:
        """A copy with every learning rate that fine-tunes the foundation.

        ``tied`` says whether the foundation's head is its embedding. Raises ValueError with the
        field of a rate that does not fit.
        """
        return self._resolved("training", tied)

    def _resolved(self, field: str, tied: bool, share: float = 1.0) -> Self:
        training: Training | None = getattr(self, field, None)
        if training is None:  # the task does not train this model
            return self
        try:
            resolved = training.resolved(tied=tied, trained=True, share=share)
        except ValueError as error:
            raise ValueError(f"{field}.{error}") from None
        return self.model_copy(update={field: resolved})


class FineTuned(Strict):
    """Settings of the making of a fine-tuned network; they decide it together with its inputs."""

    corpus: Name
    training: FineTuning
    seed: int


class Judged(Strict):
    """Settings of the evaluation of a task's network; they decide it together with its inputs."""

    corpus: Name
