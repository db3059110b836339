"""Whether a text reads like prose: Gopher's quality rules (Rae et al. 2021, A.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Positive, Share, Whole
from pipelines.corpora.cleaning.outcome import Clean, Measure, judged
from pipelines.corpora.cleaning.step import Step, StepOptions

_STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_BULLETS = ("•", "‣", "◦", "▪", "●", "- ", "* ")
_ELLIPSES = ("...", "…")
_PUNCTUATION = "\"'“”‘’.,;:!?()[]-*_"


class Gopher(StepOptions):
    """Drop text that does not read like prose: Gopher's quality rules (Rae et al. 2021, A.1.1)."""

    step: Literal["gopher"]
    min_words: Whole = 50
    max_words: Positive = 100_000
    min_mean_word_length: Annotated[float, Field(ge=0)] = 3.0
    max_mean_word_length: Annotated[float, Field(ge=0)] = 10.0
    max_symbols_per_word: Annotated[float, Field(ge=0)] = 0.1
    """The limit for hash signs, and the limit for ellipses."""
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    min_alphabetic_words: Share = 0.8
    min_stop_words: Whole = 2


def gopher(options: Gopher) -> Clean:
    """Gopher's quality rules (Rae et al. 2021, arXiv 2112.11446, A.1.1), in the paper's order.

    White space separates words; only lines that are not blank count; shares are of these words and
    lines. Symbols are hash signs and ellipses, each compared with the limit separately. Each of the
    paper's eight stop words counts once, in upper or lower case, without the punctuation around
    it. Reasons: ``gopher_words``, ``gopher_word_length``, ``gopher_symbols``,
    ``gopher_bullet_lines``, ``gopher_ellipsis_lines``, ``gopher_alphabetic_words``,
    ``gopher_stop_words``.
    """

    def measures(text: str) -> Iterator[Measure]:
        words = text.split()
        n_words = len(words)
        yield Measure("gopher_words", "words", n_words, options.min_words, options.max_words)
        n_words = n_words or 1
        yield Measure(
            "gopher_word_length",
            "mean_word_length",
            sum(map(len, words)) / n_words,
            options.min_mean_word_length,
            options.max_mean_word_length,
        )
        symbols = max(text.count("#"), sum(map(text.count, _ELLIPSES))) / n_words
        yield Measure(
            "gopher_symbols", "symbols_per_word", symbols, most=options.max_symbols_per_word
        )
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        bullets = _share(line.startswith(_BULLETS) for line in lines)
        yield Measure("gopher_bullet_lines", "bullet_lines", bullets, most=options.max_bullet_lines)
        trailing = _share(line.endswith(_ELLIPSES) for line in lines)
        yield Measure(
            "gopher_ellipsis_lines", "ellipsis_lines", trailing, most=options.max_ellipsis_lines
        )
        letters = _alphabetic(words) / n_words
        yield Measure(
            "gopher_alphabetic_words",
            "alphabetic_words",
            letters,
            least=options.min_alphabetic_words,
        )
        stop_words = _STOP_WORDS & {word.strip(_PUNCTUATION).lower() for word in set(words)}
        yield Measure(
            "gopher_stop_words", "stop_words", len(stop_words), least=options.min_stop_words
        )

    return lambda text: judged(text, measures(text))


def _share(holds: Iterator[bool]) -> float:
    flags = list(holds)
    return sum(flags) / max(len(flags), 1)


def _alphabetic(words: list[str]) -> int:
    """The number of words that contain a letter."""
    # One fast call decides most words; a word that is not all letters may contain some: "don't".
    mixed = [word for word in words if not word.isalpha()]
    return len(words) - sum(not any(map(str.isalpha, word)) for word in mixed)


STEP = Step(Gopher, gopher)
