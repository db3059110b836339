"""Options of evaluations."""

from __future__ import annotations

from pipelines.core.stanza import Positive, Strict, Whole


class Prompts(Strict):
    """The prompts of an evaluation."""

    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""


class Asking(Strict):
    """How a model is asked."""

    limit: Positive | None = None
    """The number of items to ask, the first in the order of the sha256 of their ids; null: all."""


class Choosing(Asking):
    """How a model is asked to choose among answers, or to go on with one."""

    shots: Whole = 0
    """How many solved items stand before each question: the first in hash order, which are then not
    asked themselves."""
    delimiter: str = " "
    r"""What stands between a question and its answer, such as "\nAnswer: "."""


class Reading(Asking):
    """How the texts of a set are read."""

    stride: Positive | None = None
    """How many tokens a window is ahead of the one before it; null: a whole context. A smaller
    stride leaves each token more text before it, and takes longer."""
