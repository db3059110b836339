"""The makings that go on now, read from their spools: key, curves, step and speed.

A process that makes an asset keeps its spool locked. So a spool that its writer has locked is a
making that goes on, and its lines hold all curves up to now. Nothing is written, and MLflow is not
needed. Pure Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.tracking.spool import Line, is_written, left, read

STEPS = "training.steps"  # the end of the name of the parameter with the number of steps
RECENT_MS = 60_000  # the speed is that of the last minute


@dataclass(frozen=True)
class Going:
    """A making that goes on. ``began`` and ``seen`` are milliseconds since 1970.

    ``curves`` has [step, value] pairs by name. ``steps`` is the number of steps in all, or 0 if it
    is unknown. ``speed`` is in steps a second, or 0 before two points came.
    """

    key: str
    dagster_run: str
    began: int
    seen: int
    step: int
    steps: int
    speed: float
    curves: Mapping[str, Sequence[tuple[int, float]]]

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the last step at this speed; None if they are unknown."""
        if not self.steps or not self.speed:
            return None
        return max(0.0, (self.steps - self.step) / self.speed)


def going(folder: Path) -> list[Going]:
    """The makings whose spools in ``folder`` are being written, the oldest first."""
    makings = [_read(path) for path in left(folder) if is_written(path)]
    return sorted((m for m in makings if m is not None), key=lambda making: making.began)


def _read(path: Path) -> Going | None:
    """A spool's making; None if it ended, or if the file is gone or is no spool."""
    start: Line | None = None
    curves: dict[str, list[tuple[int, float]]] = {}
    times: list[tuple[int, int]] = []
    with contextlib.suppress(OSError):
        for _, line in read(path, 0):
            if line is None:
                continue
            if start is None and line["kind"] != "start":
                return None
            start = start or line
            if line["kind"] == "end":
                return None
            if line["kind"] == "points":
                times.append((line["time"], line["step"]))
                for name, value in line["values"].items():
                    curves.setdefault(name, []).append((line["step"], value))
    if start is None:
        return None
    seen, step = times[-1] if times else (start["time"], 0)
    return Going(
        key=start["key"],
        dagster_run=start["dagster_run"],
        began=start["time"],
        seen=seen,
        step=step,
        steps=_steps(start["parameters"]),
        speed=_speed(times),
        curves=curves,
    )


def _steps(parameters: Mapping[str, str]) -> int:
    for name, value in parameters.items():
        if name.endswith(STEPS) and value.isdecimal():
            return int(value)
    return 0


def _speed(times: Sequence[tuple[int, int]]) -> float:
    """Steps a second over the last minute of (milliseconds, step) pairs."""
    recent = [pair for pair in times if pair[0] >= times[-1][0] - RECENT_MS]
    if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
        return 0.0
    return 1000 * (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])
