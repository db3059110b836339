"""A data file inside a released Python package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Sha256
from pipelines.corpora.packages import open_package_file
from pipelines.corpora.sources.file_options import Reading
from pipelines.corpora.sources.kind import Kind, Places
from pipelines.corpora.sources.reading import documents_of_file, libraries
from pipelines.corpora.sources.records import Origin
from pipelines.text.tables import Document, Unread


class PackageSource(Reading):
    """A data file inside a released Python package; the package is never imported."""

    kind: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    file: str
    """The file's path inside the package."""
    sha256: Sha256


def read(source: PackageSource, places: Places, notes: Counter[str]) -> Iterator[Document | Unread]:
    """The documents of the file, whose bytes must have the recipe's digest."""
    where = f"{source.package}=={source.version}/{source.file}"
    file_in_package = (source.package, source.version, source.file, source.sha256, places.cache)
    with open_package_file(*file_in_package) as file:
        yield from documents_of_file(file, Origin(where, source.file, where), source, notes)


KIND = Kind(
    options=PackageSource,
    read=read,
    origin="{package}=={version} {file}",
    libraries=libraries,
)
