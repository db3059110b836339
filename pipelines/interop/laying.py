"""The copying of files of weights into a folder under their own names, each with its digest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipelines.core.identity import file_digest
from pipelines.text.errors import TextError


def last_parts(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each path with the name of its copy. Raises TextError if two copies have the same name."""
    names = [(path, path.rsplit("/", 1)[-1]) for path in files]
    for number, (path, name) in enumerate(names):
        if name in {other for _, other in names[:number]}:
            raise TextError(f"{path}: another file has the name {name} too; leave one out")
    return names


def keep(source: Path, target: Path, sha256: str) -> None:
    """Copy a file, and check the digest of the copy, because the source may change meanwhile."""
    shutil.copyfile(source, target)
    require(source, file_digest(target), sha256)


def require(path: Path, digest: str, sha256: str) -> None:
    """Raise TextError if the digest of a file is not the one in the recipe."""
    if digest != sha256:
        raise TextError(
            f"{path}: sha256={digest} but the recipe says {sha256}; correct the recipe or the file"
        )
