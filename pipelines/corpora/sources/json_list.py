"""From one JSON list of objects to rows; only one object is in memory."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.corpora.sources.decoding import mended
from pipelines.corpora.sources.records import BadRow, Row
from pipelines.text.errors import TextError

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_NEAR = 12  # characters before the end in which a literal or an escape may be cut in two
_MEND = "mend the file, or write one object a line"


def begins_list(text: str) -> bool:
    """Whether the text of a file begins as a JSON list."""
    return text.lstrip("\ufeff \t\r\n").startswith("[")


def json_list_rows(
    chunks: Iterable[str], most: int, notes: Counter[str], where: str
) -> Iterator[tuple[int, Row]]:
    """(number from 1, object) of a JSON list. An element that is no object is a bad row.

    Raises TextError that names the element for broken JSON, because the start of the next element
    is then unknown, and for an element of more than ``most`` characters.
    """
    reader = _Reader(chunks, most, where)
    reader.take("[")
    while reader.peek() != "]":
        if reader.number:
            reader.take(",")
        reader.number += 1
        value, source = reader.element()
        mended_source = mended(source, notes)
        if mended_source is not source:
            value = json.loads(mended_source)
        yield reader.number, value if isinstance(value, dict) else BadRow("not a JSON object")
    reader.take("]")
    if reader.peek():
        raise reader.broken("there is text behind the list")


class _Reader:
    """The text of a file, piece by piece; ``number`` counts the elements so far."""

    def __init__(self, chunks: Iterable[str], most: int, where: str) -> None:
        self.number = 0
        self._chunks, self._most, self._where = iter(chunks), most, where
        self._text, self._at = "", 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, mark: str) -> None:
        """Go behind a mark, which must be the next character."""
        found = self.peek()
        if found != mark:
            what = f"there is {found!r}" if found else "the file ends"
            raise self.broken(f"{what} where {mark!r} must be")
        self._at += 1

    def element(self) -> tuple[Any, str]:
        """The next value, and its text."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR
                if not (cut and self._more()):
                    raise self.broken(error.msg) from None
            except (ValueError, RecursionError) as error:
                raise self.broken(str(error)) from None
            else:
                if end < len(self._text) or not self._more():  # a number might go on
                    source, self._at = self._text[self._at : end], end
                    return value, source

    def broken(self, fault: str) -> TextError:
        """The error for the element of the present number."""
        return TextError(f"{self._where}:{self.number}: a broken JSON list ({fault}); {_MEND}")

    def _more(self) -> bool:
        """Read at least as many characters as there are; False at the end of the file."""
        rest = [self._text[self._at :]]
        wanted, size = 2 * len(rest[0]), len(rest[0])
        if size > self._most:
            raise self.broken(f"an element of more than {self._most} characters")
        for chunk in self._chunks:
            rest.append(chunk)
            size += len(chunk)
            if size > wanted:
                break
        grown = len(rest) > 1
        self._text, self._at = "".join(rest), 0
        return grown
