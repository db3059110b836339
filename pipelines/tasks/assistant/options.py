"""An assistant's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.examples.options import PairsTaken
from pipelines.tasks.options import TaskOptions
from pipelines.training.options import FineTuning


class AssistantTask(TaskOptions, PairsTaken):
    """Fine-tuning on pairs of a prompt and a reply from a corpus of conversations."""

    kind: Literal["assistant"]
    training: FineTuning

    def taken(self) -> PairsTaken:
        """The options of its pairs."""
        return self.part(PairsTaken)
