"""What a kind of source of weights is: its section of a recipe and how its files are had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.stanza import tag_of
from pipelines.interop.options import ExternalWeights


class Places(NamedTuple):
    """Where a local path starts, and where what is downloaded is kept."""

    root: Path
    cache: Path


def _nothing(_: Any, __: Path) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One entry of the catalogue of sources of weights.

    ``options`` is its section of a recipe. ``fetch`` takes such a section, a folder and the places,
    lays the files into the folder, each proved by its digest, and gives their names. ``origin`` is
    the form of the line that says where they are from; it names fields of the section. ``observed``
    reads what outside the recipe decides them, at the time of the work; it takes the section and
    the project's folder.
    """

    options: type[ExternalWeights]
    fetch: Callable[[Any, Path, Places], list[str]]
    origin: str
    observed: Callable[[Any, Path], dict[str, Any]] = _nothing

    @property
    def name(self) -> str:
        """What a recipe calls the kind."""
        return tag_of(self.options, "kind")
