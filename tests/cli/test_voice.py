"""What a run says: one line that moves on a terminal, few plain lines in a pipe."""

from __future__ import annotations

import io
import logging
import re
import time

import pytest

from pipelines.cli import voice as voices
from pipelines.cli.terminal import CLEAR, cut, painted, wide
from pipelines.cli.voice import Voice, ended
from pipelines.core import progress
from pipelines.core.progress import Progress
from pipelines.lineage.views import open_current

log = logging.getLogger("dragon.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stream in the place of stdout; inside a test, because pytest sets its own before it."""
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(voices, "DRAW_SECONDS", 0.02)
    return stream


def test_on_a_terminal_one_line_moves_and_never_wraps(monkeypatch) -> None:
    out = shown_on(Terminal(), monkeypatch)
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0)
    monkeypatch.setattr(progress, "SHOWN_SECONDS", 0)
    with Voice().speaking() as voice:
        voice.phase("chat/foundation", None, "[9/15] ")
        work = Progress("chat/foundation", 10, "tokens")
        work.update(5, 1000, note="a note that is far too long for a terminal of sixty columns")
        time.sleep(0.1)
        log.info("goes on from the checkpoint at step 40")
        voice.phase("")
        voice.line("done")
    said = out.getvalue()
    frames = [frame.split("\n")[0] for frame in said.split(CLEAR)[1:]]
    assert max(wide(frame) for frame in frames) <= 59
    assert any(frame.startswith("  [9/15] chat/foundation: 50 %") for frame in frames)
    stays = [line.split(CLEAR)[-1] for line in said.split("\n")]
    assert stays == ["  goes on from the checkpoint at step 40", "done", ""]


def test_the_time_of_the_last_making_tells_what_is_left(monkeypatch) -> None:
    out = shown_on(Terminal(), monkeypatch)
    monkeypatch.setattr(voices, "QUIET_SECONDS", 0)
    with Voice().speaking() as voice:
        voice.phase("tiny/report", 30.0)
        time.sleep(0.1)
    assert "tiny/report: 0 s · about 30 s left" in out.getvalue()


def test_in_a_pipe_a_long_step_is_told_from_time_to_time(monkeypatch) -> None:
    out = shown_on(io.StringIO(), monkeypatch)
    monkeypatch.setattr(voices, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(voices, "PLAIN_SECONDS", 60)
    monkeypatch.setattr(voices, "QUIET_SECONDS", 0)
    with Voice().speaking() as voice:
        voice.phase("chat/foundation", None, "[9/15] ")
        log.info("made", extra={"result": True})
        log.info("moves", extra={"progress": True})
        log.warning("careful")
        voice.phase("chat/report")
        time.sleep(0.4)
    lines = out.getvalue().splitlines()
    assert lines == ["  warning: careful", "  chat/report: 0 s"]
    assert "\x1b" not in out.getvalue()


def test_a_reader_that_goes_away_does_not_end_the_work(monkeypatch) -> None:
    out = shown_on(io.StringIO(), monkeypatch)

    def broken(_: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(out, "write", broken)
    with Voice().speaking() as voice:
        voice.line("nobody reads this")
        log.info("nor this")


def test_colours_need_a_terminal_and_no_wish_against_them(monkeypatch) -> None:
    shown_on(Terminal(), monkeypatch)
    assert painted("made", "green") == "\x1b[32mmade\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("made", "green") == "made"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert painted("made", "green") == "made"


def test_the_end_of_an_asset_has_the_figures_that_fit(chain, monkeypatch) -> None:
    shown_on(Terminal(), monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    model = open_current(chain.store, "tiny/foundation")
    assert ended(model, 16, "made in 2.0 s") == (
        "  tiny/foundation   made in 2.0 s   163,840 parameters"
    )
    monkeypatch.setenv("COLUMNS", "200")
    line = ended(model, 16, "made in 2.0 s")
    assert f"{model.version[:12]}  made in 2.0 s   163,840 parameters, 120 steps, " in line
    assert "validation loss" in line
    monkeypatch.setenv("COLUMNS", "55")
    evaluation = open_current(chain.store, "tiny/toy_spam_evaluation")
    assert re.search(r"reused   0\.\d+ F1$", ended(evaluation, 25, "reused")), "the short text fits"


def test_text_is_cut_by_the_columns_that_it_takes() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert wide(cut("日本語日本語", 7)) <= 7
    assert cut("a\nb", 9) == "a b"
