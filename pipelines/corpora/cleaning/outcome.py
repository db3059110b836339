"""What a cleaning step answers: the text, its parts, or why its document is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, TypeAlias


class Cleaned(NamedTuple):
    """The text after a step, and in a few words what was done to it; "" is nothing to tell."""

    text: str
    note: str = ""


class Dropped(NamedTuple):
    """A document that is left out.

    ``reason`` is a short identifier to count by (``empty``, ``gopher_words``); ``detail`` names
    the threshold and the value found (``min_words=50, has 12``).
    """

    reason: str
    detail: str = ""


class Divided(NamedTuple):
    """The parts of a document, in order; together they hold all its words."""

    texts: tuple[str, ...]


Outcome: TypeAlias = Cleaned | Divided | Dropped
Clean: TypeAlias = Callable[[str], Cleaned | Dropped]


class Measure(NamedTuple):
    """A value that a rule wants within ``least`` and ``most``, both included."""

    reason: str
    name: str
    value: float
    least: float = 0
    most: float = inf


def changed(text: str, note: str = "") -> Cleaned | Dropped:
    """What a step that alters texts answers: if nothing is left, Dropped("empty")."""
    return Dropped("empty") if not text or text.isspace() else Cleaned(text, note)


def judged(text: str, measures: Iterable[Measure]) -> Cleaned | Dropped:
    """The text as it is, or the first rule that it breaks; later ones are not measured."""
    for reason, name, value, least, most in measures:
        if value < least:
            return Dropped(reason, f"min_{name}={least}, has {round(value, 6)}")
        if value > most:
            return Dropped(reason, f"max_{name}={most}, has {round(value, 6)}")
    return Cleaned(text)
