"""What an evaluation is asked."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Prompts(Strict):
    """What a model goes on with."""

    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""
