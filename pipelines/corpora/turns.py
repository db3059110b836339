r"""A conversation as a text: who says what, in lines ``A: ...`` and ``B: ...``.

A line that begins with a capital letter and a colon begins a turn. The lines below it, blank and
indented ones too, belong to that turn as they are, so a list, a verse or a program can be said.
Where such a line would itself read as the beginning of a turn (``C: drive``) it is written with a
backslash before it, and one that has backslashes already with one more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipelines.corpora.cleaning.steps.normalise import LINE_ENDS, REMOVED

MARK = re.compile(r"^([A-Z]): ?", re.MULTILINE)
"""What begins a turn, wherever it stands in a text."""

_BEHIND = re.compile(r"[\\\s]*+[A-Z]:")
_LINE_END = re.compile(f"([{LINE_ENDS}])")
_UNSEEN = dict.fromkeys(map(ord, REMOVED))


class Turn(NamedTuple):
    """What a speaker, a letter from A to Z, says at a time."""

    speaker: str
    said: str


def document_text(turns: Iterable[tuple[str, str]]) -> str:
    """Turns as a text, of which ``turns_of`` makes them again, whatever is said in them.

    Cleaning may come between: what ``normalise`` makes of a text makes no turn that was none.
    """
    return "\n".join(f"{speaker}: {_escaped(said)}" for speaker, said in turns)


def turns_of(text: str) -> Iterator[Turn]:
    """The turns of a text; what stands before the first belongs to nobody and is passed over."""
    marks = list(MARK.finditer(text))
    ends = [*(mark.start() - 1 for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        yield Turn(mark[1], _unescaped(text[mark.end() : end]))


def trimmed(said: str) -> str:
    """Without white space at the end and blank lines at the start.

    The first of several lines keeps its indentation, which the others' is measured by.
    """
    bare = said.strip()
    if "\n" not in bare:
        return bare
    start = said.index(bare)
    return said[said.rfind("\n", 0, start) + 1 : start + len(bare)]


def together(parts: Sequence[str]) -> str:
    """What one speaker says in several goes: on one line, if each of them is one line."""
    return ("\n" if any("\n" in part for part in parts) else " ").join(parts)


def _escaped(said: str) -> str:
    parts = _LINE_END.split(said)  # line, its end, line, ...
    for place in range(2, len(parts), 2):
        if _like_a_mark(parts[place]):
            parts[place] = f"\\{parts[place]}"
    return "".join(parts)


def _unescaped(said: str) -> str:
    if "\\" not in said:
        return said
    parts = _LINE_END.split(said)
    for place in range(2, len(parts), 2):
        if parts[place].startswith("\\") and _like_a_mark(parts[place]):
            parts[place] = parts[place][1:]
    return "".join(parts)


def _like_a_mark(line: str) -> bool:
    """Whether a line is a mark behind backslashes and white space, or may be once it is cleaned."""
    if not (line.isascii() and line.isprintable()):
        line = unicodedata.normalize("NFKC", line.translate(_UNSEEN))
    return bool(_BEHIND.match(line))
