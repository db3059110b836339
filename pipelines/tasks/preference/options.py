"""The section of a task that teaches preferences."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from pipelines.core.stanza import Name, Strict
from pipelines.examples.options import PreferencesTaken
from pipelines.tasks.options import FineTuned, TaskOptions
from pipelines.training.options import FineTuning

SHARE = 0.1
"""The rates of preferences, as a share of those of other fine-tuning: a few nats are moved."""


class PreferenceTask(TaskOptions, PreferencesTaken):
    """Another task's assistant, trained on to prefer the chosen reply of each pair (DPO)."""

    kind: Literal["preference"]
    of: Name
    """The task whose assistant it begins from."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How soon the gain on a pair is enough: its loss is -log sigmoid(beta * margin)."""
    training: FineTuning

    @property
    def begins_from(self) -> str:
        """The task whose assistant it begins from."""
        return self.of

    def taken(self) -> PreferencesTaken:
        """The options of its pairs."""
        return self.part(PreferencesTaken)

    def with_rates(self, *, tied: bool) -> Self:
        """A copy with every learning rate; the defaults are a tenth of other fine-tuning's."""
        return self._resolved("training", tied, SHARE)


class Preferring(FineTuned):
    """Settings of the making of the assistant; they decide it together with its inputs."""

    beta: float


class Referred(Strict):
    """Settings of the making of the reference; they decide it together with its inputs."""

    precision: Literal["auto", "fp32", "bf16"]
    """That of the training, so that both read a reply alike."""


class JudgedPreferences(Referred):
    """Settings of the evaluation; they decide it together with its inputs."""

    beta: float
