"""The making of a report: one page about all artefacts of a recipe."""

from __future__ import annotations

from typing import Any

from pipelines.core.artefact import Artefact
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.report.options import Page
from pipelines.report.page import page


def write(making: Making, settings: Page, artefacts: dict[str, Artefact]) -> None:
    """One self-contained page: model card, lineage, data, curves, figures against baselines,
    samples."""
    (making.folder / "report.html").write_text(page(settings, artefacts), encoding="utf-8")


def fonts_here(_: Any, __: Project) -> dict[str, dict[str, str]]:
    """The fonts of this machine, because they decide the letters in pictures."""
    from pipelines.report.pictures import fonts

    return {"fonts": fonts()}
