"""A domain's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.core.stanza import Strict
from pipelines.tasks.options import TaskOptions
from pipelines.training.options import Pretraining


class DomainTask(TaskOptions):
    """The foundation trained on, on the text of one domain."""

    kind: Literal["domain"]
    training: Pretraining


class TrainedOn(Strict):
    """What decides a foundation that is trained on, beside what it reads."""

    training: Pretraining
    seed: int
