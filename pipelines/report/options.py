"""What a report is asked."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Page(Strict):
    """A recipe's name and description, and its assets, each before the keys that it reads."""

    recipe: str
    description: str
    parents: tuple[tuple[str, ...], ...]
