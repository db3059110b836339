"""What ``dragon run`` says while it works: one line that moves, and lines that stay."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.cli.showing import headlines_of
from pipelines.cli.terminal import CLEAR, columns, cut, is_terminal, painted
from pipelines.core.progress import spell_seconds, watched

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact

DRAW_SECONDS = 0.25  # between two states of the line on a terminal
FIRST_SECONDS, PLAIN_SECONDS = 10.0, 30.0  # the first and the later plain lines of a long step
QUIET_SECONDS = 2.0  # a shorter step needs no time


class Voice(logging.Handler):
    """Shows a run: on a terminal the present step moves on one line, in a pipe it is said rarely.

    It also prints the messages of the logger ``dragon``, each on a line of its own. A pipe that is
    closed by its reader does not end the run.
    """

    def __init__(self, *, err: bool = False) -> None:
        super().__init__()
        self.out = sys.stderr if err else sys.stdout
        self.moves = is_terminal(self.out)
        self._ends = threading.Event()
        self._drawn = False
        self._label = self._place = self._state = ""
        self._usual: float | None = None
        self._began = self._said = time.monotonic()
        self._unread = False

    @contextlib.contextmanager
    def speaking(self) -> Iterator[Voice]:
        """Take the messages of the logger ``dragon`` and the progress of all work in a block."""
        logger = logging.getLogger("dragon")
        before = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self)
        ticker = threading.Thread(target=self._tick, name="voice", daemon=True)
        ticker.start()
        try:
            with watched(self._progress):
                yield self
        finally:
            self._ends.set()
            ticker.join(1)
            self.clear()
            logger.removeHandler(self)
            logger.level, logger.propagate = before

    # What is said

    def phase(self, label: str, usual: float | None = None, place: str = "") -> None:
        """Begin a step of the work. ``usual`` are the seconds that it took the last time.

        ``place`` says which of how many steps it is.
        """
        with self._locked():
            self._label, self._place, self._state, self._usual = label, place, "", usual
            self._began = self._said = time.monotonic()
            self._draw()

    def line(self, text: str = "") -> None:
        """Print a line that stays."""
        with self._locked():
            self._erase()
            self._write(f"{text}\n")
            self._said = time.monotonic()

    def last(self, text: str) -> None:
        """Print a line that is the last, whatever another thread is printing."""
        self._ends.set()
        self.line(text)

    def clear(self) -> None:
        """Erase the line that moves."""
        with self._locked():
            self._label = ""
            self._erase()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message of the logger, but not what the moving line and the ends show."""
        if any(getattr(record, mark, False) for mark in ("progress", "fleeting", "result")):
            return
        text = " ".join(record.getMessage().split("\n"))
        mark = painted("warning: ", "yellow") if record.levelno >= logging.WARNING else ""
        self.line(f"  {mark}{text}")

    # The line that moves

    def _locked(self) -> contextlib.AbstractContextManager[object]:
        assert self.lock is not None  # logging makes one for each handler
        return self.lock

    def _progress(self, label: str, state: str) -> None:
        with self._locked():
            if label == self._label:
                self._state = state

    def _tick(self) -> None:
        while not self._ends.wait(DRAW_SECONDS):
            with self._locked():
                self._draw()

    def _draw(self) -> None:
        """Show the present step: at once on a terminal, from time to time in a pipe."""
        now = time.monotonic()
        if not self._label:
            return
        if self.moves:
            self._write(f"{CLEAR}{cut(f'  {self._now(now)}', columns(self.out) - 1)}")
            self._drawn = True
            return
        first = self._said == self._began
        if now - self._said >= (FIRST_SECONDS if first else PLAIN_SECONDS):
            self._said = now
            self._write(f"  {self._now(now)}\n")

    def _now(self, now: float) -> str:
        """``[5/16] chat/foundation: 83 % · 8,876 tokens/s · 11 s left``."""
        seconds = now - self._began
        state = self._state or self._time(seconds)
        label = f"{self._place}{self._label}"
        return f"{label}: {state}" if state else f"{label} ..."

    def _time(self, seconds: float) -> str:
        """The time of a step without progress of its own, and what it may still take."""
        if seconds < QUIET_SECONDS:
            return ""
        if self._usual is None or self._usual < seconds + 1:
            return spell_seconds(seconds)
        left = spell_seconds(self._usual - seconds)
        return f"{spell_seconds(seconds)} · about {left} left, as the last time"

    def _erase(self) -> None:
        if self._drawn:
            self._write(CLEAR)
            self._drawn = False

    def _write(self, text: str) -> None:
        if self._unread:
            return
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        try:
            self.out.write(text.encode(encoding, "replace").decode(encoding))
            self.out.flush()
        except BrokenPipeError:  # nobody reads any more: work on silently
            self._unread = True
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())


def ended(artefact: Artefact, width: int, done: str) -> str:
    """The line of an asset that is done, with as many of its figures as fit on a terminal's line.

    ``width`` is the width of the column of keys; ``done`` says how it ended.
    """
    terminal = is_terminal()
    room = columns() - 1 if terminal else 10_000
    head = f"  {artefact.key:{width}}  "
    if room >= 100:
        head += f"{artefact.version[:12]}  "
    figures = headlines_of(artefact, room - len(head) - len(done) - 3)
    line = cut(f"{head}{done}   {figures}".rstrip(), room)
    return line.replace(done, painted(done, "dim" if done == "reused" else "green"), 1)
