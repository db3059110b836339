"""Artefacts: immutable folders of files, and typed views of their content.

The manifest of an ``Artefact`` has been checked against the artefact's version. Every read checks
the bytes against the manifest before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.core.identity import HEX, canonical
from pipelines.text.regular import open_regular, read_regular

if TYPE_CHECKING:
    from pipelines.core.records import Beside
    from pipelines.text.arrow import ArrowFile

Rows = list[dict[str, Any]]

FIGURES = "figures.json"
MANIFEST = "manifest.json"


class CorruptArtefact(ValueError):  # noqa: N818 - the name of the state, not of an error
    """A file of the store has not the bytes of its manifest or digest; the message names it."""


class Entry(NamedTuple):
    """A manifest's entry for one file: its size in bytes and its sha256."""

    size: int
    sha256: str


def build_manifest(folder: Path) -> bytes:
    """The canonical manifest of all files in ``folder``; its sha256 is the version.

    Raises CorruptArtefact for an empty folder, a link, a pipe or a device.
    """
    _require_no_empty_folder(folder)
    files = []
    for path in _files_in(folder):
        size, sha256 = _measure(path)
        files.append({"path": path.relative_to(folder).as_posix(), "size": size, "sha256": sha256})
    return canonical({"files": sorted(files, key=lambda entry: str(entry["path"]))})


def read_manifest(folder: Path, version: str) -> dict[str, Entry]:
    """The files that the manifest in ``folder`` lists.

    Raises CorruptArtefact if the manifest's sha256 is not ``version``, or if it is malformed.
    """
    path = folder / MANIFEST
    try:
        content = read_regular(path)
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != version:
        raise CorruptArtefact(
            f"{path}: its sha256 is {sha256[:12]}, not the version {version[:12]};"
            f" remove {folder} and run again"
        )
    try:
        listed = json.loads(content)["files"]
        if not isinstance(listed, list):
            raise ValueError("files is not a list")
        return dict(map(_entry, listed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path}: is not a manifest ({error}); remove {folder} and run again"
        ) from None


def _entry(listed: Any) -> tuple[str, Entry]:
    """A manifest's line as (path, entry).

    Raises ValueError for a path that leaves the folder, and for a wrong size or sha256.
    """
    path, entry = listed["path"], Entry(listed["size"], listed["sha256"])
    parts = path.split("/")
    if not set(parts).isdisjoint({"", ".", ".."}) or "\0" in path or "\\" in path:
        raise ValueError(f"path {path!r} leaves the folder")
    if type(entry.size) is not int or entry.size < 0 or not HEX.fullmatch(entry.sha256):
        raise ValueError(f"{path!r} has no valid size or sha256")
    return path, entry


def _files_in(folder: Path) -> Iterator[Path]:
    """The files below an artefact's folder, without its manifest.

    Raises CorruptArtefact for a link, a pipe or a device: no manifest lists these, and a link leads
    to files that were not hashed.
    """
    for place, folders, names in os.walk(folder):
        parent = Path(place)
        for name in (*folders, *names):
            mode = (parent / name).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise CorruptArtefact(f"{parent / name}: is neither a file nor a folder; remove it")
        yield from (parent / name for name in names if parent / name != folder / MANIFEST)


def _require_no_empty_folder(folder: Path) -> None:
    """Raise CorruptArtefact naming an empty folder, which no manifest can list."""
    for place, folders, names in os.walk(folder):
        if not folders and not names and Path(place) != folder:
            raise CorruptArtefact(f"{place}: is an empty folder; remove it")


def _measure(path: Path) -> tuple[int, str]:
    """A file's size and sha256, both read from one open file.

    Raises CorruptArtefact naming the file if it cannot be read.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class Artefact:
    """One version of one asset: its key, version, derivation, folder and manifest.

    ``beside`` are the files of its record, which are no part of the version.
    """

    key: str
    version: str
    derivation: str
    folder: Path
    files: Mapping[str, Entry]
    beside: Beside | None = field(default=None, compare=False, repr=False)

    kind: ClassVar[str] = "artefact"

    def read(self, name: str) -> bytes:
        """The bytes of one file, checked against the manifest.

        Raises CorruptArtefact naming the file.
        """
        path = self._listed(name)
        try:
            content = read_regular(path)
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        self._compare(name, len(content), hashlib.sha256(content).hexdigest())
        return content

    def json(self, name: str) -> Any:
        """The JSON value of one file, whose bytes are checked first."""
        return json.loads(self.read(name))

    def table(self, name: str) -> ArrowFile:
        """One table, opened with the checksums in ``tables.json``.

        Each record batch is checked when it is read, so a large table need not be hashed as a whole
        first.
        """
        from pipelines.text.arrow import ArrowFile
        from pipelines.text.tables import TABLES, read_index

        self._listed(name)
        return ArrowFile(self.folder, read_index(self.read(TABLES))[name])

    def verify(self) -> None:
        """Hash every file.

        Raises CorruptArtefact for a missing, extra or changed file, a link, a pipe or an empty
        folder.
        """
        present = {path.relative_to(self.folder).as_posix() for path in _files_in(self.folder)}
        for name in sorted(present ^ set(self.files)):
            wrong = "is not in the manifest" if name in present else "is missing"
            raise CorruptArtefact(f"{self.folder / name}: {wrong}; remove {self._mend}")
        _require_no_empty_folder(self.folder)
        for name in self.files:
            self._compare(name, *_measure(self.folder / name))

    def remark(self) -> str:
        """A remark for the artefact's line in the output of a run; empty for none."""
        return ""

    def figures(self) -> dict[str, float]:
        """The numbers that were measured on the artefact, for the tracker and the report."""
        figures: dict[str, float] = self.json(FIGURES) if FIGURES in self.files else {}
        return figures

    @property
    def size(self) -> int:
        """The number of bytes in all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def _mend(self) -> str:
        return f"{self.folder} and run again"

    def _listed(self, name: str) -> Path:
        if name not in self.files:
            raise CorruptArtefact(
                f"{self.folder}: the manifest does not list {name}; remove {self._mend}"
            )
        path = self.folder / name
        for above in path.parents:
            if above == self.folder:
                return path
            if above.is_symlink():
                raise CorruptArtefact(f"{above}: is a link and must be a folder; remove it")
        raise AssertionError(f"{name} lies outside its artefact")  # _entry refuses such a path

    def _compare(self, name: str, size: int, sha256: str) -> None:
        entry = self.files[name]
        if size != entry.size:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: has {size} bytes, the manifest says"
                f" {entry.size}; remove {self._mend}"
            )
        if sha256 != entry.sha256:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: sha256 is {sha256[:12]}, the manifest says"
                f" {entry.sha256[:12]}; remove {self._mend}"
            )
