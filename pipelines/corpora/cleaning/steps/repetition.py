"""Whether a text repeats itself: Gopher's repetition rules (Rae et al. 2021, table A1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from pipelines.core.stanza import Share
from pipelines.corpora.cleaning.outcome import Clean, Measure, judged
from pipelines.corpora.cleaning.step import Step, StepOptions

_BLANK_LINES = re.compile(r"\n\s*\n")

NGram = Annotated[int, Field(ge=1)]


class Repetition(StepOptions):
    """Drop text that repeats itself: Gopher's repetition rules (Rae et al. 2021, table A1)."""

    step: Literal["repetition"]
    max_duplicate_lines: Share = 0.3
    max_duplicate_paragraphs: Share = 0.3
    max_characters_in_duplicate_lines: Share = 0.2
    max_characters_in_duplicate_paragraphs: Share = 0.2
    max_top_ngrams: dict[NGram, Share] = Field(default={2: 0.2, 3: 0.18, 4: 0.16})
    """The share of characters in the most frequent n-gram, by n."""
    max_duplicate_ngrams: dict[NGram, Share] = Field(
        default={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    )
    """The share of characters in n-grams that occur earlier in the text too, by n."""


def repetition(options: Repetition) -> Clean:
    """Drop text that repeats lines, paragraphs or word n-grams, in the paper's order.

    A line, a paragraph or an n-gram is a duplicate if an equal one is earlier in the text, so the
    first one is not a duplicate. The top n-gram is the most frequent one. All its occurrences
    count, but an n-gram that occurs once is not a repetition. White space separates words. A share
    of characters is of the characters in words, and no character counts twice if occurrences
    overlap. Reasons: ``repetition_lines``, ``repetition_paragraphs``,
    ``repetition_line_characters``, ``repetition_paragraph_characters``,
    ``repetition_top_2_grams`` and so on, ``repetition_duplicate_5_grams`` and so on.
    """
    top, duplicate = options.max_top_ngrams, options.max_duplicate_ngrams
    sizes = {*top, *duplicate} or {1}

    def measures(text: str) -> Iterator[Measure]:
        lines = _duplicates(text.split("\n"))
        paragraphs = _duplicates(_BLANK_LINES.split(text))
        most = options.max_duplicate_lines
        yield Measure("repetition_lines", "duplicate_lines", lines.share, most=most)
        most = options.max_duplicate_paragraphs
        yield Measure("repetition_paragraphs", "duplicate_paragraphs", paragraphs.share, most=most)
        yield Measure(
            "repetition_line_characters",
            "characters_in_duplicate_lines",
            lines.characters,
            most=options.max_characters_in_duplicate_lines,
        )
        yield Measure(
            "repetition_paragraph_characters",
            "characters_in_duplicate_paragraphs",
            paragraphs.characters,
            most=options.max_characters_in_duplicate_paragraphs,
        )
        words = text.split()
        ends = list(accumulate(map(len, words), initial=0))
        for n, ngrams in _repeated_ngrams(words, min(sizes), max(sizes)):
            if n in top:
                share = _covered(_top(ngrams), n, ends)
                most = top[n]
                yield Measure(f"repetition_top_{n}_grams", f"top_ngrams[{n}]", share, most=most)
            if n in duplicate:
                later = (start for start, first in ngrams.items() if start != first)
                share = _covered(later, n, ends)
                most = duplicate[n]
                yield Measure(
                    f"repetition_duplicate_{n}_grams", f"duplicate_ngrams[{n}]", share, most=most
                )

    return lambda text: judged(text, measures(text))


class _Duplicates(NamedTuple):
    share: float
    characters: float


def _duplicates(parts: Iterable[str]) -> _Duplicates:
    """The share of the parts, and of their characters, that are duplicates; no blank parts."""
    parts = [part for part in map(str.strip, parts) if part]
    unique = set(parts)
    if len(unique) == len(parts):
        return _Duplicates(0.0, 0.0)
    characters = sum(map(len, parts))
    repeated = characters - sum(map(len, unique))
    return _Duplicates(1 - len(unique) / len(parts), repeated / characters)


def _repeated_ngrams(
    words: list[str], shortest: int, longest: int
) -> Iterator[tuple[int, dict[int, int]]]:
    """(n, start of each n-gram that occurs twice -> start of its first occurrence); ascending.

    An n-gram can repeat only if both its (n-1)-grams do, and two n-grams are equal if their
    (n-1)-grams are. So each n checks only the repetitions of n-1 (in prose a few per cent from
    n = 4 on), and compares pairs of numbers for any n. The time is linear in words x n.
    """
    ngrams = zip(*(words[offset:] for offset in range(shortest)), strict=False)
    keys: dict[int, tuple[object, ...]] = dict(enumerate(ngrams))
    for n in range(shortest, longest + 1):
        counts = Counter(keys.values())
        firsts: dict[object, int] = {}
        repeated = {
            start: firsts.setdefault(key, start) for start, key in keys.items() if counts[key] > 1
        }
        yield n, repeated
        keys = {
            start: (first, repeated[start + 1])
            for start, first in repeated.items()
            if start + 1 in repeated
        }


def _top(ngrams: dict[int, int]) -> list[int]:
    """The starts of the most frequent n-gram; of equally frequent ones, the first in the text."""
    if not ngrams:
        return []
    top, _ = Counter(ngrams.values()).most_common(1)[0]
    return [start for start, first in ngrams.items() if first == top]


def _covered(starts: Iterable[int], n: int, ends: list[int]) -> float:
    """The share of all characters that the n-grams at ``starts`` (ascending) contain together."""
    characters = past = 0
    for start in starts:
        characters += ends[start + n] - ends[max(start, past)]
        past = start + n
    return characters / max(ends[-1], 1)


STEP = Step(Repetition, repetition)
