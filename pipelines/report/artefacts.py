"""The artefact of a report."""

from __future__ import annotations

from pipelines.core.artefact import Artefact


class Report(Artefact):
    """One self-contained page about a recipe: ``report.html``."""

    kind = "html"

    def page(self) -> str:
        """The page, without the times that are in the records."""
        return self.read("report.html").decode()
