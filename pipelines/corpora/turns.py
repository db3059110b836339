r"""A conversation as a text: the turns of its speakers, in lines ``A: ...`` and ``B: ...``.

A line that begins with a capital letter and a colon begins a turn. The lines below it belong to
that turn unchanged, also blank and indented ones, so a turn can hold a list, a verse or a program.
If such a line looks like the beginning of a turn (``C: drive``), it is written with a backslash
before it. If it has backslashes before it already, one more is added.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipelines.corpora.cleaning.steps.normalise import LINE_ENDS, REMOVED

MARK = re.compile(r"^([A-Z]): ?", re.MULTILINE)
"""The mark that begins a turn, at the start of any line."""

_BEHIND = re.compile(r"[\\\s]*+[A-Z]:")
_LINE_END = re.compile(f"([{LINE_ENDS}])")
_UNSEEN = dict.fromkeys(map(ord, REMOVED))


class Turn(NamedTuple):
    """One turn: the speaker (a letter from A to Z) and the speaker's words."""

    speaker: str
    said: str


def document_text(turns: Iterable[tuple[str, str]]) -> str:
    """Turns as a text. ``turns_of`` gives back the same turns, for any words in them.

    This holds after cleaning too: ``normalise`` never makes the beginning of a new turn.
    """
    return "\n".join(f"{speaker}: {_escaped(words)}" for speaker, words in turns)


def turns_of(text: str) -> Iterator[Turn]:
    """The turns of a text. Text before the first turn has no speaker, so it is skipped."""
    marks = list(MARK.finditer(text))
    ends = [*(mark.start() - 1 for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        yield Turn(mark[1], _unescaped(text[mark.end() : end]))


def trimmed(said: str) -> str:
    """The words without white space at the end and blank lines at the start.

    The first of several lines keeps its indentation, because that of the other lines is relative
    to it.
    """
    bare = said.strip()
    if "\n" not in bare:
        return bare
    start = said.index(bare)
    return said[said.rfind("\n", 0, start) + 1 : start + len(bare)]


def together(parts: Sequence[str]) -> str:
    """Several messages of one speaker as one turn: on one line, if each message is one line."""
    return ("\n" if any("\n" in part for part in parts) else " ").join(parts)


def _escaped(words: str) -> str:
    parts = _LINE_END.split(words)  # line, its end, line, ...
    for place in range(2, len(parts), 2):
        if _like_a_mark(parts[place]):
            parts[place] = f"\\{parts[place]}"
    return "".join(parts)


def _unescaped(words: str) -> str:
    if "\\" not in words:
        return words
    parts = _LINE_END.split(words)
    for place in range(2, len(parts), 2):
        if parts[place].startswith("\\") and _like_a_mark(parts[place]):
            parts[place] = parts[place][1:]
    return "".join(parts)


def _like_a_mark(line: str) -> bool:
    """Whether a line is, or becomes after cleaning, a mark after backslashes and white space."""
    if not (line.isascii() and line.isprintable()):
        line = unicodedata.normalize("NFKC", line.translate(_UNSEEN))
    return bool(_BEHIND.match(line))
