"""A translator's section of a recipe."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from pipelines.core.stanza import Name, Positive, Strict
from pipelines.examples.options import PairsTaken
from pipelines.tasks.options import Judged, TaskOptions
from pipelines.training.networks import ModelChoice, architectures_for
from pipelines.training.options import FineTuning, Training


class TranslationTask(TaskOptions):
    """A translator trained on pairs, and the foundation fine-tuned on the same pairs."""

    kind: Literal["translation"]
    corpus: Name
    """A corpus with documents of two turns, ``A:`` the source and ``B:`` its translation."""
    max_pairs: Positive | None = None
    """How many training pairs are used, the first in hash order; null for all."""
    model: architectures_for("sequence_to_sequence")  # type: ignore[valid-type]
    training: Training
    beams: Positive = 4
    """How many candidate translations the beam search keeps."""
    decoder_only: FineTuning | None = None
    """The training that fine-tunes the foundation to translate; null leaves it out."""

    @field_validator("training")
    @classmethod
    def _drawn_anew(cls, training: Training, others: ValidationInfo) -> Training:
        model = others.data.get("model")  # None if the model itself is invalid
        return training.resolved(tied=model.tied, trained=False) if model else training

    def taken(self) -> PairsTaken:
        """The options of its pairs of a source and its translation."""
        return PairsTaken(context_turns=1, max_pairs=self.max_pairs)

    def with_rates(self, *, tied: bool) -> Self:
        """A copy with every learning rate of ``decoder_only``.

        The translator starts from random weights, so its rates do not depend on the foundation.
        """
        return self._resolved("decoder_only", tied)


class Translated(Strict):
    """Settings of the making of a translator; they decide it together with its inputs."""

    corpus: Name
    training: Training
    seed: int
    model: SerializeAsAny[ModelChoice]


class JudgedTranslations(Judged):
    """Settings of the evaluation of a translator; they decide it together with its inputs."""

    beams: Positive = Field()
