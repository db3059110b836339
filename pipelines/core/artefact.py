"""Artefacts: immutable folders of files, and typed views of what is in them.

Whoever holds an ``Artefact`` holds a manifest that has been checked against the version it was
asked by; every read below checks the bytes against that manifest before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.core.identity import HEX, canonical
from pipelines.text.regular import open_regular, read_regular

if TYPE_CHECKING:
    from pipelines.text.arrow import ArrowFile

Rows = list[dict[str, Any]]

FIGURES = "figures.json"
MANIFEST = "manifest.json"


class CorruptArtefact(ValueError):  # noqa: N818 - named for what was found
    """Bytes that are not the ones the manifest vouches for; the message names them."""


class Entry(NamedTuple):
    """What a manifest says of one file: its size in bytes and sha256."""

    size: int
    sha256: str


def build_manifest(folder: Path) -> bytes:
    """The canonical manifest of everything in ``folder``; its sha256 is the version.

    Raises CorruptArtefact for what is neither a file nor a folder with files.
    """
    _require_no_empty_folder(folder)
    files = []
    for path in _files_in(folder):
        size, sha256 = _measure(path)
        files.append({"path": path.relative_to(folder).as_posix(), "size": size, "sha256": sha256})
    return canonical({"files": sorted(files, key=lambda entry: str(entry["path"]))})


def read_manifest(folder: Path, version: str) -> dict[str, Entry]:
    """The files that the manifest lists, once its own bytes are shown to be ``version``."""
    path = folder / MANIFEST
    try:
        content = read_regular(path)
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != version:
        raise CorruptArtefact(
            f"{path}: sha256 is {sha256[:12]}, the version says {version[:12]};"
            f" remove {folder} and run again"
        )
    try:
        listed = json.loads(content)["files"]
        if not isinstance(listed, list):
            raise ValueError("files is no list")
        return dict(map(_entry, listed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(f"{path}: not a manifest ({error}); remove {folder}") from None


def _entry(listed: Any) -> tuple[str, Entry]:
    """A manifest's line as (path, entry). Raises ValueError for a path that leaves the folder."""
    path, entry = listed["path"], Entry(listed["size"], listed["sha256"])
    parts = path.split("/")
    if not set(parts).isdisjoint({"", ".", ".."}) or "\0" in path or "\\" in path:
        raise ValueError(f"path {path!r} leaves the folder")
    if type(entry.size) is not int or entry.size < 0 or not HEX.fullmatch(entry.sha256):
        raise ValueError(f"size or sha256 of {path!r} is none")
    return path, entry


def _files_in(folder: Path) -> Iterator[Path]:
    """The files below an artefact's folder but its manifest.

    Raises CorruptArtefact for a link, a pipe or a device: no manifest lists these, and a link leads
    out of what was hashed.
    """
    for place, folders, names in os.walk(folder):
        here = Path(place)
        for name in (*folders, *names):
            mode = (here / name).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise CorruptArtefact(f"{here / name}: neither a file nor a folder; remove it")
        yield from (here / name for name in names if here / name != folder / MANIFEST)


def _require_no_empty_folder(folder: Path) -> None:
    """Raise CorruptArtefact naming a folder without a file, which no manifest can list."""
    for place, folders, names in os.walk(folder):
        if not folders and not names and Path(place) != folder:
            raise CorruptArtefact(f"{place}: a folder that the manifest does not know; remove it")


def _measure(path: Path) -> tuple[int, str]:
    """A file's size and sha256, of the same open file. Raises CorruptArtefact naming it."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class Artefact:
    """One version of one asset: its key, version, derivation, folder and manifest."""

    key: str
    version: str
    derivation: str
    folder: Path
    files: Mapping[str, Entry]

    kind: ClassVar[str] = "artefact"

    def read(self, name: str) -> bytes:
        """The bytes of one file, hashed first. Raises CorruptArtefact naming the file."""
        path = self._listed(name)
        try:
            content = read_regular(path)
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        self._compare(name, len(content), hashlib.sha256(content).hexdigest())
        return content

    def json(self, name: str) -> Any:
        """One file as JSON, its bytes hashed first."""
        return json.loads(self.read(name))

    def table(self, name: str) -> ArrowFile:
        """One table, opened by the checksums in ``tables.json``: each record batch is checked as it
        is read, so a large one need not be hashed whole first."""
        from pipelines.text.arrow import ArrowFile
        from pipelines.text.tables import TABLES, read_index

        self._listed(name)
        return ArrowFile(self.folder, read_index(self.read(TABLES))[name])

    def verify(self) -> None:
        """Hash every file; a missing, extra or changed one raises CorruptArtefact.

        So does a link, a pipe or an empty folder.
        """
        present = {path.relative_to(self.folder).as_posix() for path in _files_in(self.folder)}
        for name in sorted(present ^ set(self.files)):
            wrong = "not in the manifest" if name in present else "missing"
            raise CorruptArtefact(f"{self.folder / name}: {wrong}; remove {self._mend}")
        _require_no_empty_folder(self.folder)
        for name in self.files:
            self._compare(name, *_measure(self.folder / name))

    def remark(self) -> str:
        """What a run's line should say of it besides; empty for nothing."""
        return ""

    def figures(self) -> dict[str, float]:
        """The numbers that were measured on it, for the tracker and the report."""
        found: dict[str, float] = self.json(FIGURES) if FIGURES in self.files else {}
        return found

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def _mend(self) -> str:
        return f"{self.folder} and run again"

    def _listed(self, name: str) -> Path:
        if name not in self.files:
            raise CorruptArtefact(f"{self.folder}: the manifest lists no {name}")
        path = self.folder / name
        for above in path.parents:
            if above == self.folder:
                return path
            if above.is_symlink():
                raise CorruptArtefact(f"{above}: a link, where a folder has to be; remove it")
        raise AssertionError(f"{name} lies outside its artefact")  # the manifest was checked

    def _compare(self, name: str, size: int, sha256: str) -> None:
        entry = self.files[name]
        if size != entry.size:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: {size} bytes, the manifest says {entry.size};"
                f" remove {self._mend}"
            )
        if sha256 != entry.sha256:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: sha256 is {sha256[:12]}, the manifest says"
                f" {entry.sha256[:12]}; remove {self._mend}"
            )
