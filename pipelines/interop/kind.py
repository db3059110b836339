"""The declaration of a kind of source of weights: its section of a recipe, and its functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.stanza import tag_of
from pipelines.interop.options import ExternalWeights


class Places(NamedTuple):
    """The folder at which local paths start, and the folder that keeps downloads."""

    root: Path
    cache: Path


def _nothing(_: Any, __: Path) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One entry of the catalogue of sources of weights.

    ``options`` is the class of its section of a recipe. ``fetch`` takes such a section, a folder
    and the places; it copies the files into the folder, each checked by its digest, and gives their
    names. ``origin`` is the template of the line that names the origin of the files; its fields are
    those of the section. ``observed`` takes the section and the project's folder; at the time of
    the work it reads the inputs outside the recipe that decide the files.
    """

    options: type[ExternalWeights]
    fetch: Callable[[Any, Path, Places], list[str]]
    origin: str
    observed: Callable[[Any, Path], dict[str, Any]] = _nothing

    @property
    def name(self) -> str:
        """The name of the kind in a recipe."""
        return tag_of(self.options, "kind")
