"""The results of a cleaning step: the text, its parts, or the reason to drop its document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, TypeAlias


class Cleaned(NamedTuple):
    """The text after a step, and a short note of the change; "" if there is nothing to note."""

    text: str
    note: str = ""


class Dropped(NamedTuple):
    """The result for a document that is left out.

    ``reason`` is a short identifier for the counts (``empty``, ``gopher_words``). ``detail`` names
    the threshold and the measured value (``min_words=50, has 12``). ``original`` is the id of the
    document that this one is a copy of; empty for none.
    """

    reason: str
    detail: str = ""
    original: str = ""


class Divided(NamedTuple):
    """The parts of a document, in order; together they contain all its words."""

    texts: tuple[str, ...]


Outcome: TypeAlias = Cleaned | Divided | Dropped
Clean: TypeAlias = Callable[[str], Cleaned | Dropped]


class Measure(NamedTuple):
    """A value that must be from ``least`` to ``most``, both included, to keep the document."""

    reason: str
    name: str
    value: float
    least: float = 0
    most: float = inf


def changed(text: str, note: str = "") -> Cleaned | Dropped:
    """The result of a step that changes texts; Dropped("empty") if no text is left."""
    return Dropped("empty") if not text or text.isspace() else Cleaned(text, note)


def judged(text: str, measures: Iterable[Measure]) -> Cleaned | Dropped:
    """The unchanged text, or the first rule that it breaks; later rules are not measured."""
    for reason, name, value, least, most in measures:
        if value < least:
            return Dropped(reason, f"min_{name}={least}, has {round(value, 6)}")
        if value > most:
            return Dropped(reason, f"max_{name}={most}, has {round(value, 6)}")
    return Cleaned(text)
