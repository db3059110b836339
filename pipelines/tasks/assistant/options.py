"""An assistant's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.examples.options import PairsTaken
from pipelines.tasks.options import TaskOptions
from pipelines.training.options import Training


class AssistantTask(TaskOptions, PairsTaken):
    """Fine-tuning on prompt/reply pairs taken from a corpus of conversations."""

    kind: Literal["assistant"]
    training: Training

    def taken(self) -> PairsTaken:
        """Its pairs."""
        return self.part(PairsTaken)
