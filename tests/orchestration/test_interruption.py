"""Signals: one true line, exit code 130, and the second one ends at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pipelines.core.project import CHECKOUT
from pipelines.orchestration.interruption import CODE, Interruption, held_back

BEGIN = """
import os, signal, sys, time
from pipelines.orchestration.interruption import Interruption
say = lambda text: print(text, flush=True)
press = lambda: os.kill(os.getpid(), signal.SIGINT)
"""


def ran(body: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + body],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout, time.monotonic() - began


def test_outside_of_a_run_it_ends_at_once_with_what_is_true() -> None:
    code, said, _ = ran("""
with Interruption(say, say).heard() as stop:
    stop.truth = "while the report was written"
    press()
    while True:
        pass
""")
    assert (code, said) == (CODE, "dragon: interrupted while the report was written\n")


def test_in_a_run_it_cancels_and_a_second_ends_at_once() -> None:
    code, said, seconds = ran("""
with Interruption(say, lambda _: None).heard() as stop, stop.at_stake(lambda: say("cancelled")):
    press(); press()
    time.sleep(0.7)
    press()
    time.sleep(30)
""")
    assert code == CODE
    assert (
        said == "cancelled\ndragon: ended at once; run the same command to continue: finished"
        " assets are reused\n"
    )
    assert seconds < 20


def test_several_signals_of_one_press_are_one() -> None:
    code, said, _ = ran("""
with Interruption(say, lambda _: None).heard() as stop:
    with stop.at_stake(lambda: say("cancelled")):
        press(); press(); press()
        time.sleep(0.2)
    say(f"ended by itself, asked: {stop.asked}")
    sys.exit(7)
""")
    assert (code, said) == (7, "cancelled\nended by itself, asked: True\n")


def test_who_learns_of_it_first_cancels_once() -> None:
    called: list[int] = []
    stop = Interruption(print, print)
    with stop.at_stake(lambda: called.append(1)):
        stop.confirm()
        stop.confirm()
    assert called == [1]
    assert stop.asked


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruption(print, print).heard():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_waits_for_the_end_of_a_publication() -> None:
    steps = []

    def publish() -> None:
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            steps.append("published")

    with pytest.raises(KeyboardInterrupt):
        publish()
    assert steps == ["published"]


def test_in_another_thread_nothing_is_held_back() -> None:
    seen = []

    def work() -> None:
        with held_back(), Interruption(print, print).heard():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert seen == [before]
