"""Settings of a report."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Page(Strict):
    """The recipe's description, and for each asset its title followed by those of its inputs."""

    description: str
    parents: tuple[tuple[str, ...], ...]
