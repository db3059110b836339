"""Long documents into several, so that parts of a book can be held out and mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pipelines.corpora.cleaning.outcome import Cleaned

SEPARATORS = ("\n\n", "\n", " ")


class Divided(NamedTuple):
    """The parts of a document, in order; together they hold all its words."""

    texts: tuple[str, ...]


def divide(max_characters: int) -> Callable[[str], Cleaned | Divided]:
    """Parts of at most ``max_characters``, cut at the last blank line that fits; where there is
    none in the second half of a part, at a line end, else at a space, else anywhere."""

    def step(text: str) -> Cleaned | Divided:
        texts = tuple(_parts(text, max_characters))
        return Divided(texts) if len(texts) > 1 else Cleaned(text)

    return step


def _parts(text: str, size: int) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = _cut(text, start, start + size) if start + size < len(text) else len(text)
        part = text[start:end].strip("\n")
        if part.strip():
            yield part
        start = end


def _cut(text: str, start: int, limit: int) -> int:
    for separator in SEPARATORS:
        place = text.rfind(separator, (start + limit) // 2, limit)
        if place > start:
            return place + len(separator)
    return limit
