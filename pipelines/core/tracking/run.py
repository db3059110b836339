"""The tracker's interface for one materialization."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.tracking.names import legal
from pipelines.core.tracking.spool import Spool

if TYPE_CHECKING:
    from pipelines.core.tracking import Tracker

BATCH = 100  # points a call; a call for each point costs MLflow 30 ms on SQLite
FLUSH_SECONDS = 10.0


class TrackedRun:
    """Writes the tracking data of one materialization; without a spool it writes nothing."""

    def __init__(self, spool: Spool | None = None, tracker: Tracker | None = None) -> None:
        self._spool = spool
        self._tracker = tracker
        self._waiting = 0
        self._woken = time.monotonic()

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the run's curves; they are sent in batches."""
        self._add("points", step=step, values=_named(values))
        self._waiting += len(values)
        if self._waiting >= BATCH or time.monotonic() - self._woken > FLUSH_SECONDS:
            self._waiting, self._woken = 0, time.monotonic()
            if self._tracker is not None:
                self._tracker.wake()

    def finish(self, version: str, figures: Mapping[str, float], *, model: bool) -> None:
        """Tag the run with the version, link a model to it and log the final figures."""
        self._add("made", version=version, figures=_named(figures), model=model)

    def end(self, status: str) -> None:
        """End the run with the status FINISHED or FAILED."""
        self._add("end", status=status)

    def _add(self, kind: str, **fields: Any) -> None:
        if self._spool is None or self._tracker is None:
            return
        try:
            self._spool.add(kind, **fields)
        except OSError as error:
            self._tracker.unkept(error)


def _named(values: Mapping[str, float]) -> dict[str, float]:
    return {legal(name): float(value) for name, value in values.items()}
