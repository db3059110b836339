"""What a foundation is fine-tuned for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pipelines.recipe.base import Name, Positive, Strict
from pipelines.recipe.models import architectures_for
from pipelines.recipe.training import Pretraining, Training


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"label={twice!r} stands twice; keep one")
    return labels


class AssistantTask(Strict):
    """Fine-tuning on prompt/reply pairs taken from a corpus of conversations."""

    kind: Literal["assistant"]
    corpus: Name
    context_turns: Positive = 4
    """How many turns before a reply are its prompt."""
    max_pairs: Positive | None = None
    """The first so many training pairs in hash order; null for all."""
    training: Training

    def examples_decide(self) -> dict[str, Any]:
        """What ``examples/<task>`` hangs on, beside its corpus."""
        return self.model_dump(mode="json", include={"kind", "context_turns", "max_pairs"})


class ClassifierTask(Strict):
    """A label head on the foundation, trained on a corpus of labelled documents."""

    kind: Literal["classifier"]
    corpus: Name
    labels: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
    """The labels in the order of the head's outputs; F1 is of the last of two, of more of all."""
    trained_blocks: Annotated[int, Field(ge=0, strict=True)] | None = None
    """How many of the last blocks are trained beside the head; null for the whole network."""
    training: Training

    def examples_decide(self) -> dict[str, Any]:
        """What ``examples/<task>`` hangs on, beside its corpus."""
        return self.model_dump(mode="json", include={"kind", "labels"})


class TranslationTask(Strict):
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
    def _with_rates(cls, training: Training, others: ValidationInfo) -> Training:
        model = others.data.get("model")  # None: it is at fault itself
        return training.resolved(tied=model.tied, trained=False) if model else training

    def examples_decide(self) -> dict[str, Any]:
        """What ``examples/<task>`` hangs on, beside its corpus."""
        return self.model_dump(mode="json", include={"kind", "max_pairs"})


class DomainTask(Strict):
    """The foundation trained on, on the text of one domain."""

    kind: Literal["domain"]
    corpus: Name
    training: Pretraining


Task = Annotated[
    AssistantTask | ClassifierTask | TranslationTask | DomainTask, Field(discriminator="kind")
]
