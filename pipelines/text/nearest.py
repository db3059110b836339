"""Names: the nearest known one to a name that is not known, for every "did you mean"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 300  # characters of a name that are compared: the comparison is quadratic


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a person most likely meant, or None.

    A slip of a few letters, another case, or the same words in another order or with other marks
    between them (``foundation/chat`` for ``chat/foundation``).
    """
    names = list(known)
    name = name[:LONGEST]
    alike = [other for other in names if _words(other) == _words(name)]
    if alike:
        return alike[0]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean 'chat'?``, or ``otherwise`` if nothing is near."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise


def _words(name: str) -> list[str]:
    return sorted(filter(None, re.split(r"[/_\-.\s]", name.lower())))
