"""What a kind of source is: its section of a recipe, how it is read, what else decides its text."""

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
    """The section of a source."""

    kind: str

    def names_documents(self) -> bool:
        """Whether the source itself names its documents, so that a name may come twice."""
        return False


class Places(NamedTuple):
    """Where a relative folder starts, and where what is fetched is kept."""

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

    ``options`` is its section of a recipe. ``read`` takes such a section, the places and a counter
    of what was mended, and gives the documents in a fixed order. ``origin`` is the form of the one
    line that says where the text is from; it names fields of the section. ``libraries`` gives the
    distributions whose versions decide the text, ``uses`` the entries of other catalogues.
    ``observed`` reads what outside the recipe decides the text, at the time of the work; it takes
    the section and the project's folder.
    """

    options: type[SourceOptions]
    read: Callable[[Any, Places, Counter[str]], Iterator[Document | Unread]]
    origin: str
    libraries: Callable[[Any], tuple[str, ...]] = _no_libraries
    uses: Callable[[Any], Uses] = _no_entries
    observed: Callable[[Any, Path], dict[str, Any]] = _nothing

    @property
    def name(self) -> str:
        """What a recipe calls the kind."""
        return tag_of(self.options, "kind")
