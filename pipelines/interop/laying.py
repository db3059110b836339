"""Files of weights laid into a folder under their own names, each proved by its digest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipelines.core.identity import file_digest
from pipelines.text.errors import TextError


def last_parts(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each path with the name that its file gets; TextError if two would be called alike."""
    names = [(path, path.rsplit("/", 1)[-1]) for path in files]
    for number, (path, name) in enumerate(names):
        if name in {other for _, other in names[:number]}:
            raise TextError(f"{path}: another file is called {name} as well; leave one out")
    return names


def keep(source: Path, target: Path, sha256: str) -> None:
    """Copy a file; what was copied is what is proved, should the source change meanwhile."""
    shutil.copyfile(source, target)
    require(source, file_digest(target), sha256)


def require(path: Path, digest: str, sha256: str) -> None:
    """TextError unless the digest of a file is the one that the recipe asks for."""
    if digest != sha256:
        raise TextError(
            f"{path}: sha256={digest} but {sha256} is asked; correct the recipe or the file"
        )
