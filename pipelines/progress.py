"""Progress of work that takes longer than a glance: what is done, how fast, how long still."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("dragon.progress")
EVERY_SECONDS = 5.0


class Progress:
    """Says now and then how far a job is; silent for the first two seconds.

    A job has ``total`` steps, of which ``start`` were done before; the rate counts ``unit`` since
    the start of this object, so a resumed job is not flattered by what was done before.
    """

    def __init__(self, label: str, total: int, unit: str, start: int = 0) -> None:
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.began = self.said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def update(self, step: int, units: int, note: str = "") -> None:
        """Tell, if it is time to: ``step`` of ``total`` is done, ``units`` since the start."""
        now = time.monotonic()
        if now - self.began < 2 or now - self.said < EVERY_SECONDS:
            return
        self.said = now
        left = self.seconds * (self.total - step) / max(step - self.start, 1)
        log.info(
            "%s: %d %% · %s %s/s · %s left%s",
            self.label,
            100 * step // max(self.total, 1),
            f"{units / self.seconds:,.0f}",
            self.unit,
            spell_seconds(left),
            f" · {note}" if note else "",
            extra={"progress": True},
        )


def spell_seconds(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
