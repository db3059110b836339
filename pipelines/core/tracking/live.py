"""The makings that go on now, read from their spools: key, curves, step and speed.

A process that makes an asset keeps its spool locked. So a spool that its writer has locked is a
making that goes on, and its lines hold all curves up to now. Nothing is written, and MLflow is not
needed. Pure Python.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.tracking.spool import Line, is_written, left, read

STEPS = "training.steps"  # the end of the name of the parameter with the number of steps
LOSS = "training_loss"  # the curve of a training of one network
RECENT_MS = 60_000  # the speed is that of the last minute
SAVED, SAMPLE = "saved", "sample"  # the events of a training
MOST = 2000  # points of a curve in memory; beyond, every second point is dropped


@dataclass(frozen=True)
class Going:
    """A making that goes on. ``began`` and ``seen`` are milliseconds since 1970.

    ``curves`` has [step, value] pairs by name. ``steps`` is the number of steps in all, or 0 if it
    is unknown or if several networks are trained. ``speed`` is in steps a second, or 0 before two
    points came. ``saved`` is the step of the newest saved state, 0 without one; ``samples`` are
    what the model wrote last.
    """

    key: str
    dagster_run: str
    began: int
    seen: int
    step: int
    steps: int
    speed: float
    curves: Mapping[str, Sequence[tuple[int, float]]]
    saved: int = 0
    samples: Sequence[str] = ()

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the last step at this speed; None if they are unknown."""
        if not self.steps or not self.speed:
            return None
        return max(0.0, (self.steps - self.step) / self.speed)


class Watch:
    """Reads the spools of one folder again and again; a line is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._followed: dict[Path, _Followed] = {}
        self._alone = threading.Lock()

    def going(self) -> list[Going]:
        """The makings whose spools are being written, the oldest first."""
        with self._alone:
            locked = [path for path in left(self.folder) if is_written(path)]
            self._followed = {path: self._followed.get(path) or _Followed() for path in locked}
            makings = [followed.read(path) for path, followed in self._followed.items()]
        return sorted((m for m in makings if m is not None), key=lambda making: making.began)


@dataclass
class _Followed:
    """One spool up to ``offset``."""

    offset: int = 0
    start: Line | None = None
    over: bool = False  # it ended, or it is no spool
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    times: list[tuple[int, int]] = field(default_factory=list)  # (milliseconds, step), recent
    saved: int = 0
    samples: list[str] = field(default_factory=list)
    sampled: int = -1  # the step of the samples

    def read(self, path: Path) -> Going | None:
        """Read the new lines; the making, or None if it is over."""
        with contextlib.suppress(OSError):
            for offset, line in read(path, self.offset):
                self.offset = offset
                if line is not None:
                    self._take(line)
        start = self.start
        if start is None or self.over:
            return None
        seen, step = self.times[-1] if self.times else (start["time"], 0)
        return Going(
            key=start["key"],
            dagster_run=start["dagster_run"],
            began=start["time"],
            seen=seen,
            step=step,
            steps=_steps(start["parameters"]) if LOSS in self.curves else 0,
            speed=_speed(self.times),
            curves=self.curves,
            saved=self.saved,
            samples=self.samples,
        )

    def _take(self, line: Line) -> None:
        if (self.start is None and line["kind"] != "start") or line["kind"] == "end":
            self.over = True
        elif line["kind"] == "start":
            self.start = line
        elif line["kind"] == "points":
            self.times.append((line["time"], line["step"]))
            self.times = [t for t in self.times if t[0] >= line["time"] - RECENT_MS]
            for name, value in line["values"].items():
                curve = self.curves.setdefault(name, [])
                curve.append((line["step"], value))
                if len(curve) > MOST:
                    del curve[1::2]
        elif line["kind"] == "event":
            self._happened(line)

    def _happened(self, line: Line) -> None:
        if line["event"] == SAVED:
            self.saved = line["step"]
        elif line["event"] == SAMPLE:
            if line["step"] != self.sampled:
                self.samples, self.sampled = [], line["step"]
            self.samples.append(line["text"])


def _steps(parameters: Mapping[str, str]) -> int:
    for name, value in parameters.items():
        if name.endswith(STEPS) and value.isdecimal():
            return int(value)
    return 0


def _speed(times: Sequence[tuple[int, int]]) -> float:
    """Steps a second over the last minute of (milliseconds, step) pairs."""
    if len(times) < 2 or times[-1][0] <= times[0][0]:
        return 0.0
    return 1000 * (times[-1][1] - times[0][1]) / (times[-1][0] - times[0][0])
