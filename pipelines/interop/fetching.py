"""The files of external weights: fetched, checked, and copied unchanged into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.interop.artefacts import Weights
from pipelines.interop.kind import Places
from pipelines.interop.kinds import catalogue
from pipelines.interop.options import WEIGHTS, ExternalWeights
from pipelines.interop.pickles import TELLING, refuse_pickle
from pipelines.text.errors import TextError


def fetch_weights(source: ExternalWeights, folder: Path, *, root: Path, cache: Path) -> list[str]:
    """Copy the source's files into ``folder`` under their own names; return the names, sorted.

    A local path is relative to ``root``; ``cache`` keeps downloads. Raises TextError for a missing
    or changed file, for a pickle under any name, or if no file has weights; SourceUnavailable if
    the source cannot be reached.
    """
    names = catalogue()[source.kind].fetch(source, folder, Places(root, cache))
    for name in names:
        with (folder / name).open("rb") as file:
            refuse_pickle(name, file.read(TELLING))
    if not any(name.endswith(WEIGHTS) for name in names):
        raise TextError(f"no weights among {', '.join(names)}; add {' or '.join(WEIGHTS)}")
    return names


def fetch(making: Making, settings: ExternalWeights) -> None:
    """Weights that were trained elsewhere, with their tokenizer; all files are unchanged."""
    folder = making.folder / Weights.FOLDER
    folder.mkdir()
    project = making.project
    names = fetch_weights(settings, folder, root=project.root, cache=project.downloads)
    sizes = [(folder / name).stat().st_size for name in names]
    making.write(FIGURES, {"source_files": len(names), "source_bytes": sum(sizes)})


def observed(settings: ExternalWeights, project: Project) -> dict[str, Any]:
    """The inputs outside the recipe that decide the files, such as the content of a folder."""
    return catalogue()[settings.kind].observed(settings, project.root)
