"""A local folder of weights and the files that belong to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.core.identity import file_digest
from pipelines.core.stanza import Outside, Sha256
from pipelines.interop.kind import Kind, Places
from pipelines.interop.laying import keep, last_parts, require
from pipelines.interop.options import KINDS, PICKLED, WEIGHTS, ExternalWeights, File
from pipelines.text.errors import TextError
from pipelines.text.places import placed, require_inside


class FolderWeights(ExternalWeights):
    """A local folder in the layout of Hugging Face's libraries, or with one GGUF file."""

    kind: Literal["folder"]
    path: str
    """Relative to the project."""
    outside: Outside = False
    """true: the path, and links in the folder, may lead outside the project or into hidden
    folders."""
    files: dict[File, Sha256] = Field(default={})
    """The files to take, with their digests; empty: all files, whose content then decides."""

    @model_validator(mode="after")
    def _lies_where_it_may(self) -> FolderWeights:
        if not self.outside:
            require_inside(self.path)
        return self


def fetch(source: FolderWeights, folder: Path, places: Places) -> list[str]:
    """Copy the files of the local folder into ``folder``; return their names, sorted."""
    proved = folder_files(source, places.root)
    names = last_parts(proved)
    for path, name in names:
        keep(places.root / source.path / path, folder / name, proved[path])
    return sorted(name for _, name in names)


def folder_files(source: FolderWeights, root: Path) -> dict[str, str]:
    """The sha256 of each file that ``fetch`` takes from a local folder, by name."""
    digests = {}
    for path in _taken_paths(source, root):
        name = path.relative_to(root / source.path).as_posix()
        placed(root, f"{source.path}/{name}", outside=source.outside)
        digests[name] = file_digest(path)
    for name, sha256 in source.files.items():
        require(root / source.path / name, digests[name], sha256)
    return digests


def _taken_paths(source: FolderWeights, root: Path) -> list[Path]:
    """The files that the recipe names, or else all files with an allowed suffix, not hidden."""
    source_folder = placed(root, source.path, outside=source.outside)
    if not source_folder.is_dir():
        raise TextError(
            f"{source_folder}: no such folder; create it or correct the recipe's `path`"
        )
    if source.files:
        absent = [name for name in source.files if not (source_folder / name).is_file()]
        if absent:
            raise TextError(
                f"{source_folder / absent[0]}: no such file; correct the recipe's `files`"
            )
        return [source_folder / name for name in sorted(source.files)]
    visible = [
        p for p in sorted(source_folder.iterdir()) if p.is_file() and not p.name.startswith(".")
    ]
    taken = [path for path in visible if path.name.lower().endswith(KINDS)]
    if not any(path.name.endswith(WEIGHTS) for path in taken):
        pickled = [path for path in visible if path.name.lower().endswith(PICKLED)]
        if pickled:
            raise TextError(
                f"{pickled[0]}: pickled weights can run code when they are read; "
                "convert them to safetensors"
            )
        raise TextError(
            f"{source_folder}: no weights in it ({', '.join(WEIGHTS)}); correct the path"
        )
    return taken


def observed(source: FolderWeights, root: Path) -> dict[str, Any]:
    """The files' digests, because the content of a folder decides, not its name."""
    return {"files": folder_files(source, root)}


KIND = Kind(options=FolderWeights, fetch=fetch, origin="folder", observed=observed)
