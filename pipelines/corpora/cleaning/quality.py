"""Whether a text has a length and reads like prose."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from pipelines.corpora.cleaning.outcome import Measure, Step, judged

_STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_BULLETS = ("•", "‣", "◦", "▪", "●", "- ", "* ")
_ELLIPSES = ("...", "…")
_PUNCTUATION = "\"'“”‘’.,;:!?()[]-*_"


def length(*, min_characters: int = 1, max_characters: int | None = None) -> Step:
    """Leave out what has fewer or more characters (code points): ``short``, ``long``."""

    def measures(text: str) -> Iterator[Measure]:
        yield Measure("short", "characters", len(text), least=min_characters)
        yield Measure("long", "characters", len(text), most=max_characters or inf)

    return lambda text: judged(text, measures(text))


def gopher(
    *,
    min_words: int = 50,
    max_words: int = 100_000,
    min_mean_word_length: float = 3.0,
    max_mean_word_length: float = 10.0,
    max_symbols_per_word: float = 0.1,
    max_bullet_lines: float = 0.9,
    max_ellipsis_lines: float = 0.3,
    min_alphabetic_words: float = 0.8,
    min_stop_words: int = 2,
) -> Step:
    """Gopher's quality rules (Rae et al. 2021, arXiv 2112.11446, A.1.1), in the paper's order.

    Words are what white space parts, lines those that are not blank; a share is of these. Symbols
    are hash signs or ellipses, each held to the limit by itself. Of the paper's eight stop words
    each counts once, in any case, without the punctuation around it. Reasons: ``gopher_words``,
    ``gopher_word_length``, ``gopher_symbols``, ``gopher_bullet_lines``, ``gopher_ellipsis_lines``,
    ``gopher_alphabetic_words``, ``gopher_stop_words``.
    """

    def measures(text: str) -> Iterator[Measure]:
        words = text.split()
        n_words = len(words)
        yield Measure("gopher_words", "words", n_words, min_words, max_words)
        n_words = n_words or 1
        yield Measure(
            "gopher_word_length",
            "mean_word_length",
            sum(map(len, words)) / n_words,
            min_mean_word_length,
            max_mean_word_length,
        )
        symbols = max(text.count("#"), sum(map(text.count, _ELLIPSES))) / n_words
        yield Measure("gopher_symbols", "symbols_per_word", symbols, most=max_symbols_per_word)
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        bullets = _share(line.startswith(_BULLETS) for line in lines)
        yield Measure("gopher_bullet_lines", "bullet_lines", bullets, most=max_bullet_lines)
        trailing = _share(line.endswith(_ELLIPSES) for line in lines)
        yield Measure("gopher_ellipsis_lines", "ellipsis_lines", trailing, most=max_ellipsis_lines)
        letters = _alphabetic(words) / n_words
        yield Measure(
            "gopher_alphabetic_words", "alphabetic_words", letters, least=min_alphabetic_words
        )
        stop_words = _STOP_WORDS & {word.strip(_PUNCTUATION).lower() for word in set(words)}
        yield Measure("gopher_stop_words", "stop_words", len(stop_words), least=min_stop_words)

    return lambda text: judged(text, measures(text))


def _share(holds: Iterator[bool]) -> float:
    answers = list(holds)
    return sum(answers) / max(len(answers), 1)


def _alphabetic(words: list[str]) -> int:
    """How many words hold a letter."""
    # One call in C settles most words; what is not all letters may still hold some: "don't".
    mixed = [word for word in words if not word.isalpha()]
    return len(words) - sum(not any(map(str.isalpha, word)) for word in mixed)
