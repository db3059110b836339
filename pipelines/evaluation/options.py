"""Options of an evaluation."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Prompts(Strict):
    """The prompts of an evaluation."""

    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""
