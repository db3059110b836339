"""What a terminal can show: its width, colours, and lines that never wrap."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from typing import TextIO

COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}
CLEAR = "\r\x1b[2K"  # to the start of the line, and erase it


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a stream (stdout by default) is a terminal that can move on one line."""
    stream = stream or sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO | None = None) -> bool:
    """Whether a stream takes colours: a terminal, unless a person set NO_COLOR."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour of ``COLOURS``, where the stream takes colours."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if text and has_colours(stream) else text


def columns(stream: TextIO | None = None) -> int:
    """The columns of the terminal; of a pipe or a file 80, or what COLUMNS says."""
    if is_terminal(stream) and "COLUMNS" not in os.environ:
        with_size = stream or sys.stdout
        try:
            return os.get_terminal_size(with_size.fileno()).columns or 80
        except (OSError, ValueError):
            pass
    return max(shutil.get_terminal_size((80, 24)).columns, 20)


def wide(text: str) -> int:
    """The columns that a text takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, width: int) -> str:
    """The text on one line of at most ``width`` columns, with ``…`` where it was cut."""
    text = " ".join(text.split("\n"))
    if wide(text) <= width:
        return text
    while text and wide(text) > width - 1:
        text = text[: min(len(text) - 1, width)]
    return f"{text}…"
