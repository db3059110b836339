"""What a report is asked."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Page(Strict):
    """A recipe's description, and the titles of its assets, each before those that it reads."""

    description: str
    parents: tuple[tuple[str, ...], ...]
