"""Verifies a store, or the lineage of one artefact: every file of it is read and hashed once.

One fault does not hide the others: each says where it is, what is wrong, and how to mend it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact, Entry, read_manifest
from pipelines.core.hashing import hash_files
from pipelines.core.identity import HEX
from pipelines.core.references import OBJECTS, RECORDS
from pipelines.core.store import Store
from pipelines.lineage import layout
from pipelines.lineage.faults import Verified, size_of
from pipelines.lineage.recorded import Survey

Tell = Callable[[int, int], None]
"""Called with the number of bytes that were hashed so far, and the number of all bytes."""
BY_NAME = -1  # the size of a file whose digest is its name


def verify(store: Store, artefact: Artefact | None, tell: Tell) -> Verified:
    """Verify the lineage of an artefact, or the whole store.

    The whole store also has references, pins, work areas, and files to which nothing refers
    (strays). Nobody removes anything meanwhile; others may make and publish.
    """
    with store.workplace.staying():
        return _verify(store, artefact, tell)


def _verify(store: Store, artefact: Artefact | None, tell: Tell) -> Verified:
    found = Verified(str(store.root))
    # As they are published, backwards: so what one of them names is there when it is read.
    links = [] if artefact else layout.read_references(store, found)
    survey = Survey.of(store)
    if artefact is None:
        chosen = set(survey.records)
        for error in (error for errors in survey.bad.values() for error in errors):
            found.add_error(error)
        kept = layout.check_references(links, survey, found) | layout.check_pins(survey, found)
        layout.check_areas(survey, found)
        layout.find_strays(survey, kept, found)
        folders = _folders(store, found)
    else:
        chosen = survey.lineage([(artefact.derivation, artefact.version)])
        versions = sorted({version for _, version in chosen})
        folders = [folder for folder in map(store.folder, versions) if folder.is_dir()]
    survey.check_records(chosen, found)
    survey.check_journal(chosen, found)
    hashing = _Hashing(found)
    for folder in folders:
        hashing.add_version(folder)
    named = {sha256 for mark in chosen for sha256 in survey.records[mark].beside.values()}
    for sha256 in sorted(named):
        hashing.add_beside(store.root / RECORDS / "beside" / sha256)
    hashing.hash(tell)
    found.faults.sort()
    return found


def _folders(store: Store, found: Verified) -> list[Path]:
    """The folders of all versions; a link or a file in the place of one is a fault."""
    place, folders = store.root / OBJECTS, []
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if HEX.fullmatch(path.name):
            if path.is_symlink() or not path.is_dir():
                found.add(path, "is not a folder", "remove it and run again")
            else:
                folders.append(path)
    return folders


class _Expected(NamedTuple):
    """A file, its size and sha256 as ``said`` by a manifest or by its name, and the mend."""

    path: Path
    entry: Entry
    said: str
    mend: str


@dataclass
class _Hashing:
    """The files to hash, with what each must hold."""

    found: Verified
    expected: list[_Expected] = field(default_factory=list)

    def add_version(self, folder: Path) -> None:
        """The files of a version; a file that its manifest does not list is a fault."""
        found, mend = self.found, f"remove {folder} and run again"
        found.artefacts += 1
        try:
            files = read_manifest(folder, folder.name)
        except CorruptArtefact as error:
            found.add_error(error)
            return
        present = {MANIFEST}
        for path, wrong in _walk(folder):
            name = path.relative_to(folder).as_posix()
            present.add(name)
            if wrong or name not in (MANIFEST, *files):
                found.add(path, wrong or "is not in the manifest", "remove it")
        for name, entry in files.items():
            if name in present:
                self.expected.append(_Expected(folder / name, entry, "the manifest", mend))
            else:
                found.add(folder / name, "is missing", mend)

    def add_beside(self, path: Path) -> None:
        """A file that a record names by its digest; a missing one was told before."""
        if os.path.lexists(path):
            self.found.beside += 1
            mend = f"remove it and the records that name it ({path.name[:12]}), and run again"
            entry = Entry(BY_NAME, path.name)
            self.expected.append(_Expected(path, entry, "its name", mend))

    def hash(self, tell: Tell) -> None:
        """Hash everything, the largest files first, and add what does not fit."""
        sizes = {one.path: size_of(one.path) for one in self.expected}
        whole = sum(sizes.values())
        self.expected.sort(key=lambda one: (-sizes[one.path], one.path))
        paths = [one.path for one in self.expected]
        hashed = hash_files(paths, lambda done: tell(done, whole))
        for (path, entry, said, mend), now in zip(self.expected, hashed, strict=True):
            self.found.files += 1
            self.found.bytes += now.size
            if now.fault:
                self.found.add(path, f"cannot be read ({now.fault})", mend)
            elif entry.size not in (BY_NAME, now.size):
                wrong = f"has {now.size} bytes, {said} says {entry.size}"
                self.found.add(path, wrong, mend)
            elif now.sha256 != entry.sha256:
                wrong = f"sha256 is {now.sha256[:12]}, {said} says {entry.sha256[:12]}"
                self.found.add(path, wrong, mend)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file below an artefact's folder, and each thing that may not be there, with why."""
    for place, folders, names in os.walk(folder):
        if not folders and not names and Path(place) != folder:
            yield Path(place), "is an empty folder"
        for name in (*folders, *names):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path, ""
            elif not stat.S_ISDIR(mode):
                yield path, "is neither a file nor a folder"
