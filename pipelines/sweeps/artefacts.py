"""The artefacts of a sweep: the start of a training, and the comparison of all points."""

from __future__ import annotations

from typing import Any

from pipelines.core.artefact import Artefact

CURVE, COMPARED = "curve.json", "sweep.json"
Curve = list[list[float]]


class Trial(Artefact):
    """The first steps of a training: its curves and no weights."""

    kind = "trial"

    def curve(self) -> dict[str, Curve]:
        """``train`` and ``validation``: [step, loss] pairs."""
        curves: dict[str, Curve] = self.json(CURVE)
        return curves

    def remark(self) -> str:
        """That the training has not ended."""
        figures = self.figures()
        return f"stopped after {figures['steps']:,.0f} of {figures['planned_steps']:,.0f} steps"


class SweepComparison(Artefact):
    """All points of a sweep side by side: losses, curves, forecasts, and the best choice."""

    kind = "comparison"

    def content(self) -> dict[str, Any]:
        """What ``pipelines/sweeps/comparing.py`` found."""
        content: dict[str, Any] = self.json(COMPARED)
        return content
