"""A report as it is read."""

from __future__ import annotations

from pipelines.core.artefact import Artefact


class Report(Artefact):
    """One self-contained page about a recipe: ``report.html``."""

    kind = "html"

    def page(self) -> str:
        """The page, without what the records say of times."""
        return self.read("report.html").decode()
