"""The declaration of a kind of source: its section of a recipe, and the function that reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.identity import EVERYTHING, Uses
from pipelines.core.stanza import Strict, tag_of
from pipelines.text.tables import Document, Unread


class SourceOptions(Strict):
    """The section of a source in a recipe."""

    kind: str

    def names_documents(self) -> bool:
        """Whether the ids of documents come from the source, so that an id may occur twice."""
        return False

    def has_roles(self) -> bool:
        """Whether its documents are conversations with an assistant, whose letter is B."""
        return False


class Places(NamedTuple):
    """The folder at which relative paths start, and the folder that keeps downloads."""

    root: Path
    cache: Path


def _no_libraries(_: Any) -> tuple[str, ...]:
    return ()


def _no_entries(_: Any) -> Uses:
    return EVERYTHING


def _nothing(_: Any, __: Path) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One entry of the catalogue of sources.

    ``options`` is the class of its section of a recipe. ``read`` takes such a section, the places
    and a counter of repairs, and gives the documents in a fixed order. ``origin`` is the template
    of the line that names the origin of the text; its fields are those of the section.
    ``libraries`` gives the distributions whose versions decide the text, ``uses`` the entries of
    other catalogues. ``observed`` takes the section and the project's folder; at the time of the
    work it reads the inputs outside the recipe that decide the text.
    """

    options: type[SourceOptions]
    read: Callable[[Any, Places, Counter[str]], Iterator[Document | Unread]]
    origin: str
    libraries: Callable[[Any], tuple[str, ...]] = _no_libraries
    uses: Callable[[Any], Uses] = _no_entries
    observed: Callable[[Any, Path], dict[str, Any]] = _nothing

    @property
    def name(self) -> str:
        """The name of the kind in a recipe."""
        return tag_of(self.options, "kind")
