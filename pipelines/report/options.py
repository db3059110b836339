"""Settings of a report."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Part(Strict):
    """One asset of the recipe."""

    title: str
    """Its key, without the recipe's name if it is the recipe's own."""
    reads: tuple[str, ...]
    """The titles of its inputs."""
    settings: str
    """The part of the recipe that decides it, as JSON."""
    origin: str = ""
    """Where a source's bytes come from, such as a package with its version."""


class Page(Strict):
    """The recipe's description and its assets, each after its inputs."""

    description: str
    parts: tuple[Part, ...]

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The titles of each asset's inputs, by title."""
        return {part.title: part.reads for part in self.parts}
