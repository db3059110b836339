"""Progress of work that takes longer than a glance: what is done, how fast, how long still."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("dragon.progress")
EVERY_SECONDS = 5.0


class Progress:
    """Says now and then how far a job is; silent for the first two seconds.

    A job has ``total`` steps (0 if nobody knows), of which ``start`` were done before; the rate
    counts ``unit`` since the start of this object, so that what was done before does not flatter
    a resumed job.
    """

    def __init__(self, label: str, total: int, unit: str, start: int = 0) -> None:
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.began = self.said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def update(self, step: int, units: float, note: str = "") -> None:
        """Tell, if it is time to: ``step`` of ``total`` is done, ``units`` since the start."""
        now = time.monotonic()
        if now - self.began < 2 or now - self.said < EVERY_SECONDS:
            return
        self.said = now
        rate = f"{units / self.seconds:,.0f} {self.unit}/s"
        told = [f"{step:,}", rate]
        if self.total:
            left = self.seconds * (self.total - step) / max(step - self.start, 1)
            told = [f"{100 * step // self.total} %", rate, f"{spell_seconds(left)} left"]
        told += [note] if note else []
        log.info("%s: %s", self.label, " · ".join(told), extra={"progress": True})


def spell_seconds(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
