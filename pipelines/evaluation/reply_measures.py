"""Measures of replies by their words: beside a person's replies, and by themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

_WORD = re.compile(r"\w+")
_ECHO = 4  # so many words in common are no chance
_RUN = 4


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return _WORD.findall(text.casefold())


def by_reference(replies: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """``exact_match_share`` (0 or 1) and ``token_f1`` of each reply beside a person's.

    Token F1 is the harmonic mean of the shares of words in common (Rajpurkar et al. 2016, "SQuAD",
    6.1). Texts are equal for an exact match if their words are, whatever the white space.
    """
    pairs = list(zip(replies, references, strict=True))
    return {
        "exact_match_share": [float(reply.split() == person.split()) for reply, person in pairs],
        "token_f1": [token_f1(words_of(reply), words_of(person)) for reply, person in pairs],
    }


def token_f1(words: Sequence[str], reference: Sequence[str]) -> float:
    """The harmonic mean of the shares of words in common; 1 if both have no word."""
    if not words or not reference:
        return float(not words and not reference)
    common = (Counter(words) & Counter(reference)).total()
    return 2 * common / (len(words) + len(reference))


def by_itself(replies: Sequence[str], requests: Sequence[str]) -> dict[str, list[float]]:
    """Of each reply: whether it is empty or an echo, how much it repeats itself, how long it is.

    A reply is an echo if it has four words or more and repeats the request, or a part of it, or has
    the whole request in it. ``repeated_share`` is the share of runs of four words that the reply
    already has (Welleck et al. 2020, "Neural text generation with unlikelihood training").
    """
    told = [words_of(reply) for reply in replies]
    asked = [words_of(request) for request in requests]
    return {
        "empty_share": [float(not reply.strip()) for reply in replies],
        "echo_share": [float(_is_echo(w, q)) for w, q in zip(told, asked, strict=True)],
        "repeated_share": [_repeated(words, _RUN) for words in told],
        "mean_words": [float(len(words)) for words in told],
    }


def distinct(replies: Sequence[str], n: int) -> float:
    """The share of different runs of ``n`` words among those of all replies (Li et al. 2016).

    0 if the replies have none.
    """
    runs = [run for reply in replies for run in _runs(words_of(reply), n)]
    return len(set(runs)) / len(runs) if runs else 0.0


def summary(replies: Sequence[str], requests: Sequence[str]) -> dict[str, float]:
    """The means of ``by_itself`` and the shares of different words and pairs of words."""
    means = {name: fmean(values) for name, values in by_itself(replies, requests).items()}
    return {
        **means,
        "distinct_1_share": distinct(replies, 1),
        "distinct_2_share": distinct(replies, 2),
    }


def beside_people(replies: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The means of ``by_reference``."""
    return {name: fmean(values) for name, values in by_reference(replies, references).items()}


def _is_echo(words: Sequence[str], request: Sequence[str]) -> bool:
    if list(words) == list(request):
        return bool(words)
    shorter, longer = sorted((f" {' '.join(words)} ", f" {' '.join(request)} "), key=len)
    return min(len(words), len(request)) >= _ECHO and shorter in longer


def _runs(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _repeated(words: Sequence[str], n: int) -> float:
    runs = _runs(words, n)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
