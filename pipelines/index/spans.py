"""The spans of a text that stand verbatim in an index, each as long as it gets."""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pipelines.index.parts import Part

if TYPE_CHECKING:
    import regex


class Span(NamedTuple):
    """A piece of a text from the character ``start`` to the character ``end``."""

    start: int
    end: int
    words: int


class Unit(NamedTuple):
    """A piece that no span divides: a word, white space, or another character as people see it.

    ``start`` and ``end`` are characters.
    """

    start: int
    end: int
    is_word: bool
    is_space: bool


def units(text: str) -> list[Unit]:
    """The units of a text; together they are the whole text.

    A word is a run of letters, marks, digits and ``_``, also across an apostrophe. Chinese
    characters and hiragana are written without spaces, so each is a word by itself.
    """
    found = _pattern().finditer(text)
    return [Unit(m.start(), m.end(), m.lastgroup == "word", m.lastgroup == "space") for m in found]


@functools.cache
def _pattern() -> regex.Pattern[str]:
    import regex  # re knows neither scripts nor the characters that people see

    alone = r"\p{Han}\p{Hiragana}"
    letters = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{alone}]]+"
    word = rf"{letters}(?:['’]{letters})*|[{alone}]"
    return regex.compile(rf"(?P<word>{word})|(?P<space>\s+)|\X", regex.V1 | regex.DOTALL)


def spans(
    text: str, parts: Iterable[Part], *, words: int = 1, characters: int = 1
) -> Iterator[Span]:
    """The longest spans of whole units that stand verbatim in a document, from left to right.

    A span does not lie inside another, and does not begin or end with white space. It has at least
    so many ``words`` and ``characters``. The ``parts`` are searched one after another.
    """
    pieces = units(text)
    ends = list(itertools.accumulate(_size(text[unit.start : unit.end]) for unit in pieces))
    counts = [0, *itertools.accumulate(unit.is_word for unit in pieces)]
    data, reached = text.encode("utf-8", "surrogatepass"), -1
    begins = {n: ends[n - 1] if n else 0 for n, unit in enumerate(pieces) if not unit.is_space}
    lengths = dict.fromkeys(begins, 0)
    for part in parts:
        for first, begin in begins.items():
            lengths[first] = max(lengths[first], part.longest(data[begin:]))
    for first, begin in begins.items():
        last = bisect_right(ends, begin + lengths[first]) - 1
        while last > reached and pieces[last].is_space:
            last -= 1
        if last < first or last <= reached:  # nothing, or inside the span before
            continue
        reached = last
        span = Span(pieces[first].start, pieces[last].end, counts[last + 1] - counts[first])
        if span.words >= words and span.end - span.start >= characters:
            yield span


def _size(text: str) -> int:
    """The bytes of a text. Half of a pair of surrogates is no UTF-8, so no document has it."""
    return len(text.encode("utf-8", "surrogatepass"))
