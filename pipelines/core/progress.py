"""Progress of long work: the share that is done, the rate, and the time left."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

log = logging.getLogger("dragon.progress")
SILENT_SECONDS = 2.0  # work that ends sooner needs no progress
EVERY_SECONDS = 5.0  # between two lines of a log
SHOWN_SECONDS = 0.2  # between two states of a line that moves
BYTES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

Watcher = Callable[[str, str], None]
_watchers: list[Watcher] = []


def watch(by: Watcher) -> None:
    """Call ``by(label, state)`` for the progress of all jobs, until this process ends."""
    _watchers.append(by)


def show(label: str, state: str) -> None:
    """Show the watchers the progress of a job, which may be another process's."""
    for watcher in _watchers:
        watcher(label, state)


@contextlib.contextmanager
def watched(by: Watcher) -> Iterator[None]:
    """Call ``by(label, state)`` for the progress of all jobs, several times a second.

    A log has a line only every few seconds, because a person reads it later.
    """
    watch(by)
    try:
        yield
    finally:
        _watchers.remove(by)


class Progress:
    """Logs the progress of a job every few seconds; silent for the first two seconds.

    A job has ``total`` steps (0 if unknown), of which ``start`` were done before. The rate counts
    ``unit`` since this object was created, so earlier work does not raise the rate of a resumed
    job. The unit MB is for bytes: a small rate is told in kB or B.
    """

    def __init__(self, label: str, total: int, unit: str, start: int = 0) -> None:
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.began = self.said = self.shown = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since this object was created."""
        return time.monotonic() - self.began

    def update(
        self, step: int, units: float = 0.0, *, rate: float | None = None, note: str = ""
    ) -> None:
        """Log and show, if it is time to, that ``step`` of ``total`` is done.

        ``units`` counts the units since the start; a caller that measures the ``rate`` itself, in
        units a second, gives that.
        """
        now = time.monotonic()
        if now - self.began < SILENT_SECONDS:
            return
        if _watchers and now - self.shown >= SHOWN_SECONDS:
            self.shown = now
            show(self.label, self._state(step, units, rate, note))
        if now - self.said >= EVERY_SECONDS:
            self.said = now
            state = self._state(step, units, rate, note)
            log.info("%s: %s", self.label, state, extra={"progress": True})

    def _state(self, step: int, units: float, rate: float | None, note: str) -> str:
        """``83 % · 8,876 tokens/s · 11 s left``; the number of steps if the total is unknown."""
        rate = units / max(self.seconds, 1e-9) if rate is None else rate
        if self.total:
            left = self.seconds * (self.total - step) / max(step - self.start, 1)
            share, left_words = f"{100 * step // self.total} %", f"{spell_seconds(left)} left"
            parts = [share, spell_rate(rate, self.unit), left_words]
        else:
            parts = [f"{step:,}", spell_rate(rate, self.unit)]
        return " · ".join([*parts, *([note] if note else [])])


def spell_rate(rate: float, unit: str) -> str:
    """``8,876 tokens/s``, ``0.31 tokens/s``; of MB the unit that fits: ``12.5 MB/s``, ``43 kB/s``.

    ``rate`` counts units in a second.
    """
    if unit == "MB":
        unit, size = next(((n, s) for n, s in BYTES if rate * 1e6 >= s), ("B", 1.0))
        rate = rate * 1e6 / size
        return f"{rate:,.1f} {unit}/s" if rate < 20 and unit != "B" else f"{rate:,.0f} {unit}/s"
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"


def spell_seconds(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
