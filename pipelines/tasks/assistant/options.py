"""An assistant's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.examples.options import PairsTaken
from pipelines.tasks.options import TaskOptions


class AssistantTask(TaskOptions, PairsTaken):
    """Fine-tuning on prompt/reply pairs taken from a corpus of conversations."""

    kind: Literal["assistant"]

    def taken(self) -> PairsTaken:
        """Its pairs."""
        return self.part(PairsTaken)
