"""The declaration of a generator of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One entry of the catalogue of generators.

    ``write`` takes (seed, index) and gives the text and the label of that document; it is a pure
    function. ``licence`` is the licence of the material that the text is made from. ``libraries``
    are the distributions whose versions decide the text. ``has_roles``: its documents are
    conversations with an assistant, whose letter is B.
    """

    name: str
    write: Callable[[int, int], tuple[str, str | None]]
    licence: str = "CC0-1.0"
    libraries: tuple[str, ...] = ()
    has_roles: bool = False
