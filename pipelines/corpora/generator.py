"""What a generator of text is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One entry of the catalogue of generators.

    ``write`` gives the text and the label of the document of (seed, index), a pure function of
    both. ``licence`` is that of what it writes from, ``libraries`` are the distributions whose
    versions decide the text.
    """

    name: str
    write: Callable[[int, int], tuple[str, str | None]]
    licence: str = "CC0-1.0"
    libraries: tuple[str, ...] = ()
