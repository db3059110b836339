"""A translator's section of a recipe."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from pipelines.core.stanza import Name, Positive
from pipelines.examples.options import PairsTaken
from pipelines.tasks.options import FineTuned, Judged, TaskOptions
from pipelines.training.networks import ModelChoice, architectures_for
from pipelines.training.options import Training


class TranslationTask(TaskOptions):
    """A translator trained on pairs, beside the foundation fine-tuned on the same pairs."""

    kind: Literal["translation"]
    corpus: Name
    """Documents of two turns, ``A:`` the source and ``B:`` its translation."""
    max_pairs: Positive | None = None
    """The first so many training pairs in hash order; null for all."""
    model: architectures_for("sequence_to_sequence")  # type: ignore[valid-type]
    training: Training
    beams: Positive = 4
    """How many translations are followed at once."""
    decoder_only: Training | None = None
    """How the foundation is fine-tuned to do the same; null leaves it out."""

    @field_validator("training")
    @classmethod
    def _drawn_anew(cls, training: Training, others: ValidationInfo) -> Training:
        model = others.data.get("model")  # None: it is at fault itself
        return training.resolved(tied=model.tied, trained=False) if model else training

    def taken(self) -> PairsTaken:
        """Its pairs, each of a source and its translation."""
        return PairsTaken(context_turns=1, max_pairs=self.max_pairs)

    def with_rates(self, *, tied: bool) -> Self:
        """With every rate of the decoder that does the same; the translator is drawn anew."""
        return self._resolved("decoder_only", tied)


class Translated(FineTuned):
    """What decides a translator, beside what it reads."""

    model: SerializeAsAny[ModelChoice]


class JudgedTranslations(Judged):
    """What decides a translator's evaluation, beside what it reads."""

    beams: Positive = Field()
