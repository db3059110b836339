"""Local files: a folder and a glob, or one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from pipelines.core.stanza import Outside
from pipelines.corpora.sources.file_options import Reading
from pipelines.corpora.sources.files import at_rest, matching, sha256_of
from pipelines.corpora.sources.kind import Kind, Places
from pipelines.corpora.sources.reading import documents_of_file, libraries
from pipelines.corpora.sources.records import Origin
from pipelines.text.places import placed, require_inside
from pipelines.text.tables import Document, Unread


class FolderSource(Reading):
    """Local files: a folder and a glob, or one file."""

    kind: Literal["folder"]
    path: str
    """The folder or file, relative to the project."""
    outside: Outside = False
    """true: the path may lead outside the project, or into hidden folders."""
    glob: str = "**/*"
    """Hidden files are never read."""

    @model_validator(mode="after")
    def _lies_where_it_may(self) -> FolderSource:
        if not self.outside:
            require_inside(self.path)
        return self

    def decides(self) -> dict[str, Any]:
        """Everything but the path, because the place of a file does not decide its text."""
        return self.model_dump(mode="json", exclude={"path", "outside"})


def read(source: FolderSource, places: Places, notes: Counter[str]) -> Iterator[Document | Unread]:
    """The documents of all files that match the glob, in the order of the files' names."""
    for name, path in matching(_folder(source, places.root), source.glob):
        with at_rest(path) as file:
            # A document does not name the folder, so a moved folder gives the same documents.
            yield from documents_of_file(file, Origin(path, name, name), source, notes)


def folder_state(source: FolderSource, root: Path) -> list[list[str]]:
    """[relative path, sha256] of every file that a folder source reads: its present content."""
    files = matching(_folder(source, root), source.glob)
    return [[name, sha256_of(path)] for name, path in files]


def _folder(source: FolderSource, root: Path) -> Path:
    return placed(root, source.path, outside=source.outside)


def observed(source: FolderSource, root: Path) -> dict[str, Any]:
    """The files' digests, because the content of a folder decides the text, not its name."""
    return {"files": folder_state(source, root)}


KIND = Kind(
    options=FolderSource,
    read=read,
    origin="folder, {glob}",
    libraries=libraries,
    observed=observed,
)
