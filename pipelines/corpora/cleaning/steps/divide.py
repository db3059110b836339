"""The division of long documents, so that parts of a book can be held out and mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from pipelines.core.stanza import Positive
from pipelines.corpora.cleaning.outcome import Cleaned, Divided
from pipelines.corpora.cleaning.step import Step, StepOptions

SEPARATORS = ("\n\n", "\n", " ")


class Divide(StepOptions):
    """Cut long documents into several, at blank lines if there are any."""

    step: Literal["divide"]
    max_characters: Positive = 8000


def divide(options: Divide) -> Callable[[str], Cleaned | Divided]:
    """Cut a text into parts of at most ``max_characters``.

    A cut is at the last blank line in the second half of a part. If there is none, it is at a line
    end, else at a space, else anywhere.
    """

    def step(text: str) -> Cleaned | Divided:
        texts = tuple(_parts(text, options.max_characters))
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


STEP = Step(Divide, divide)
