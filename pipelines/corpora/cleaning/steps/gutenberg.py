"""Project Gutenberg's text around a book: the header, the licence, the credits.

The marks between this text and the book changed over the years (Kaser and Lemire 2007, arXiv
0707.1913, list them). Above the book: ``*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***``,
``***START OF THE ...``, or before 2003 the end of a legal notice, ``*END*THE SMALL PRINT! ...``.
Below the book: ``*** END OF THE PROJECT GUTENBERG ...`` or ``End of Project Gutenberg's ...``.
"""

from __future__ import annotations

import re
from typing import Literal

from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

NEAR = 30_000
"""A mark is searched in so many characters from an end of the text; the licence has 19,000."""

_OPENS = r"^[ \t]*\*+[ \t]*START OF TH(?:E|IS) PROJECT GUTENBERG"
# A long title continues: the mark then ends at the asterisks of one of the next two lines.
_TITLE = r"(?:[^\r\n*]*(?:\r?\n[^\r\n*]+){0,2}\*{3})?[^\n]*"
_START = re.compile(_OPENS + _TITLE, re.M | re.I)
_HEADER = re.compile(
    rf"{_OPENS}{_TITLE}|^[ \t]*\*+[ \t]*END[ \t]?\*?[ \t]?THE SMALL PRINT[^\n]*", re.M | re.I
)
_END = re.compile(r"^[ \t]*(?:\*+[ \t]*)?END OF (?:TH(?:E|IS) )?PROJECT GUTENBERG", re.M | re.I)
_CREDITS = re.compile(
    r"\s*^[ \t]*(?:(?:this )?e-?(?:text|book) (?:was )?)?"
    r"(?:produced|prepared|transcribed) (?:by|from)\b[^\r\n]*(?:\r?\n[^\r\n]+){0,9}",
    re.M | re.I,
)


class Gutenberg(StepOptions):
    """Remove Project Gutenberg's header and footer."""

    step: Literal["gutenberg"]


def gutenberg(_: Gutenberg) -> Clean:
    """Remove header and footer, with the credits ("Produced by") below the header.

    A mark counts if it is within ``NEAR`` characters of its end of the text. The mark of a header
    counts if no footer is before it, that of a footer if no header follows. Either may be absent; a
    text without marks does not change. A second application changes nothing.
    """

    def step(text: str) -> Cleaned | Dropped:
        book = text
        while (shorter := _above_footer(_below_header(book))) != book:
            book = shorter
        removed = len(text) - len(book)
        return changed(book, f"{removed} characters of Project Gutenberg's" if removed else "")

    return step


def _below_header(text: str) -> str:
    head = text[:NEAR]
    footer = _END.search(head)
    headers = list(_HEADER.finditer(head, 0, footer.start() if footer else len(head)))
    if not headers:
        return text
    start = headers[-1].end()  # the last: a legal notice may follow the first mark
    while credit := _CREDITS.match(text, start):
        start = credit.end()
    return _without_blank_ends(text[start:])


def _above_footer(text: str) -> str:
    start = max(0, len(text) - NEAR)
    headers = list(_START.finditer(text, start))
    footer = _END.search(text, headers[-1].end() if headers else start)
    return _without_blank_ends(text[: footer.start()]) if footer else text


def _without_blank_ends(text: str) -> str:
    """The text without blank lines at both ends; the first line keeps its indentation."""
    text = text.rstrip()
    blank = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, blank) + 1 :]


STEP = Step(Gutenberg, gutenberg)
