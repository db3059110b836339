"""Progress of long work: the share that is done, the rate, and the time left."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("dragon.progress")
EVERY_SECONDS = 5.0


class Progress:
    """Logs the progress of a job every few seconds; silent for the first two seconds.

    A job has ``total`` steps (0 if unknown), of which ``start`` were done before. The rate counts
    ``unit`` since this object was created, so earlier work does not raise the rate of a resumed
    job.
    """

    def __init__(self, label: str, total: int, unit: str, start: int = 0) -> None:
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.began = self.said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since this object was created."""
        return time.monotonic() - self.began

    def update(self, step: int, units: float, note: str = "") -> None:
        """Log, if it is time to, that ``step`` of ``total`` is done.

        ``units`` counts the units since the start.
        """
        now = time.monotonic()
        if now - self.began < 2 or now - self.said < EVERY_SECONDS:
            return
        self.said = now
        rate = f"{units / self.seconds:,.0f} {self.unit}/s"
        parts = [f"{step:,}", rate]
        if self.total:
            left = self.seconds * (self.total - step) / max(step - self.start, 1)
            parts = [f"{100 * step // self.total} %", rate, f"{spell_seconds(left)} left"]
        parts += [note] if note else []
        log.info("%s: %s", self.label, " · ".join(parts), extra={"progress": True})


def spell_seconds(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
