"""Ctrl-C while a recipe runs: one true line and exit code 130. A second Ctrl-C ends at once.

A thread hears the signals, whatever the main thread does (an import, a long call of a library), and
whatever handler Dagster has set. Outside of a run it ends the process itself. In a run Dagster's
handler raises an error in the step, and the thread tells Dagster that a person asked for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CODE = 130
# A shell, make and a terminal may each send the signal of one Ctrl-C.
ONE_PRESS_SECONDS = 0.5
AT_ONCE = "ended at once; run the same command to continue: finished assets are reused"


class Interruption:
    """The signals that a person sends to end a run.

    ``truth`` is said if the process ends now; every phase keeps it true. ``say`` prints a line that
    stays, ``show`` one that the next replaces.
    """

    def __init__(self, say: Callable[[str], None], show: Callable[[str], None]) -> None:
        self.truth = "before the run began; nothing was made"
        self.asked = False
        self._say, self._show = say, show
        self._cancel: Callable[[], None] | None = None
        self._cancelling: threading.Thread | None = None
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def heard(self) -> Iterator[Interruption]:
        """Hear the signals in a block; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)  # the thread acts, not the main thread
        former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        listener = threading.Thread(target=self._listen, args=(reading,), daemon=True)
        listener.start()
        try:
            yield self
        finally:
            signal.set_wakeup_fd(former)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(writing)
            listener.join()
            os.close(reading)

    @contextlib.contextmanager
    def at_stake(self, cancel: Callable[[], None]) -> Iterator[None]:
        """A block that must end by itself: at the first signal ``cancel`` is called, in a thread.

        Whoever is in the block learns of the signal in another way, and ends the block soon.
        """
        with self._guard:
            self._cancel = cancel
        try:
            yield
        finally:
            with self._guard:
                self._cancel = None
            if self._cancelling is not None:
                self._cancelling.join()

    def confirm(self) -> None:
        """Wait until ``cancel`` of the block is done; call it if no signal was heard yet.

        The main thread may learn of a signal before the thread that hears it.
        """
        with self._guard:
            self._begin_to_cancel()
        if self._cancelling is not None:
            self._cancelling.join()

    def _begin_to_cancel(self) -> None:
        if not self.asked and self._cancel is not None:
            self._cancelling = threading.Thread(target=self._cancel, daemon=True)
            self._cancelling.start()
        self.asked = True

    def _listen(self, reading: int) -> None:
        first = 0.0
        while heard := os.read(reading, 64):
            if not any(number in heard for number in SIGNALS):
                continue
            if not first:
                first = time.monotonic()
                self._first()
            elif time.monotonic() - first > ONE_PRESS_SECONDS:
                self.end(AT_ONCE)

    def _first(self) -> None:
        with self._guard:
            if self._cancel is None and self._cancelling is None:
                self.end(f"interrupted {self.truth}")
            self._show("interrupted: ending this step (Ctrl-C again ends at once)")
            self._begin_to_cancel()

    def end(self, line: str) -> None:
        """End the process at once, with a line."""
        self._say(f"dragon: {line}")
        os._exit(CODE)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back signals until a block ends, such as a publication; then deliver them.

    Only the main thread of a process gets signals; in other threads nothing needs to be held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda arrived, _: held.append(arrived))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for arrived in dict.fromkeys(held):
            signal.raise_signal(arrived)
