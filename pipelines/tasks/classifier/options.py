"""A classifier's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.examples.options import LabelsTaken
from pipelines.tasks.options import FineTuned, TaskOptions
from pipelines.training.options import FineTuning


class ClassifierTask(TaskOptions, LabelsTaken):
    """A label head on the foundation, trained on a corpus of labelled documents."""

    kind: Literal["classifier"]
    training: FineTuning

    def taken(self) -> LabelsTaken:
        """The options of its labelled texts."""
        return self.part(LabelsTaken)


class Labelling(FineTuned):
    """Settings of the making of a classifier; they decide it together with its inputs."""

    labels: tuple[str, ...]
    """The labels as they are shown, in the order of the head's outputs."""
    balance: str
