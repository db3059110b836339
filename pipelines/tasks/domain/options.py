"""A domain's section of a recipe."""

from __future__ import annotations

from typing import Literal

from pipelines.core.stanza import Strict
from pipelines.tasks.options import TaskOptions
from pipelines.training.options import Continued


class DomainTask(TaskOptions):
    """Continued training of the foundation on the text of one domain."""

    kind: Literal["domain"]
    training: Continued


class TrainedOn(Strict):
    """Settings of the making of a domain model; they decide it together with its inputs."""

    training: Continued
    seed: int
