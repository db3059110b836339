"""Progress: what is said of long work, in which units, and to whom."""

from __future__ import annotations

import logging

import pytest

from pipelines.core import progress
from pipelines.core.progress import Progress, spell_rate, spell_seconds, watched


@pytest.mark.parametrize(
    ("rate", "unit", "told"),
    [
        (8876.4, "tokens", "8,876 tokens/s"),
        (3.14, "tokens", "3.1 tokens/s"),
        (0.0421, "tokens", "0.042 tokens/s"),
        (12.53, "MB", "12.5 MB/s"),
        (250, "MB", "250 MB/s"),
        (2300, "MB", "2.3 GB/s"),
        (0.0433, "MB", "43 kB/s"),
        (0.0000123, "MB", "12 B/s"),
        (0, "MB", "0 B/s"),
    ],
)
def test_a_rate_has_the_unit_that_fits(rate: float, unit: str, told: str) -> None:
    assert spell_rate(rate, unit) == told


def test_seconds_in_words() -> None:
    assert [spell_seconds(s) for s in (0.4, 75, 7325)] == ["0 s", "1 min 15 s", "2 h 02 min"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_that_moves_is_told_often_and_a_log_rarely(clock, caplog) -> None:
    caplog.set_level(logging.INFO, "dragon")
    states: list[tuple[str, str]] = []
    with watched(lambda label, state: states.append((label, state))):
        work = Progress("chat/foundation", 100, "tokens")
        for step in range(1, 101):
            clock[0] += 0.125
            work.update(step, 50 * step, note="loss 1.000")
    assert len(states) == 43, "from the third second on, every second time"
    assert states[0] == (
        "chat/foundation",
        "16 % · 400 tokens/s · 10 s left · loss 1.000",
    )
    assert len(caplog.records) == 2
    count = len(states)
    work.update(100, 5000)
    assert len(states) == count, "nobody watches any more"


def test_work_of_an_unknown_length_tells_how_much_is_done(clock) -> None:
    states: list[str] = []
    with watched(lambda _, state: states.append(state)):
        work = Progress("chitchat/raw_text", 0, "MB")
        clock[0] += 4
        work.update(12_000, 0.2)
    assert states == ["12,000 · 50 kB/s"]
