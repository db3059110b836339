"""What lies in a store beside versions and records: references, pins, work areas, strays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.hashing import hash_file
from pipelines.core.identity import HEX
from pipelines.core.journal import JOURNAL
from pipelines.core.pins import PINS, Pin
from pipelines.core.records import RECORD
from pipelines.core.references import CURRENT, KEY, OBJECTS, RECORDS, TO_CURRENT, TO_VERSION
from pipelines.core.store import Store
from pipelines.core.work import POINTER, checkpoint_state
from pipelines.lineage.faults import Mark, Verified
from pipelines.lineage.recorded import Survey

KNOWN = {OBJECTS, RECORDS, ".work", "README.md"}
AGAIN = "remove it and run again"
Links = list[tuple[Path, str | None]]
"""The references of a store, and the text of each link; None for one that is no link."""


def read_references(store: Store, found: Verified) -> Links:
    """The links of all keys, and to what they lead; what else lies in their places is a stray."""
    links: Links = []
    for folder in _keys(store.root, found):
        current = folder / CURRENT
        newest = _text(current)  # before the others: a new version is referred to by them first
        for path in sorted(folder.iterdir()):
            if path == current or HEX.fullmatch(path.name):
                links.append((path, (newest if path == current else None) or _text(path)))
            else:
                found.stray(path)
    return links


def check_references(links: Links, survey: Survey, found: Verified) -> set[Mark]:
    """Check that each reference leads to a version with a record; returns what they refer to."""
    referred: set[Mark] = set()
    paths = {path for path, _ in links}
    newest = {path.parent: text for path, text in links if path.name == CURRENT}
    for path, text in links:
        found.references += 1
        form = TO_CURRENT if path.name == CURRENT else TO_VERSION
        target = form.fullmatch(text or "")
        if target is None:
            found.add(path, "is not a reference of the store", AGAIN)
        elif form is TO_CURRENT:
            if path.with_name(target[1]) not in paths:
                found.add(path, f"the key has no reference {target[1][:12]}", AGAIN)
        else:
            mark, is_current = (path.name, target[1]), path.name == newest.get(path.parent)
            referred.add(mark)
            _check_reference(survey, path, mark, is_current, found)
    return referred


def _check_reference(
    survey: Survey, link: Path, mark: Mark, is_current: bool, found: Verified
) -> None:
    derivation, version = mark
    if mark not in survey.records and derivation not in survey.bad:
        found.add(link, "the store has no record of this version", AGAIN)
    elif is_current and not survey.store.folder(version).is_dir():
        found.add(link, f"version {version[:12]} was removed", "run its recipe again")


def _keys(root: Path, found: Verified) -> Iterator[Path]:
    """The folders of keys; what else lies in the store's folder is a stray."""
    for scope in sorted(root.iterdir()):
        if scope.name in KNOWN:
            continue
        if scope.is_symlink() or not scope.is_dir():
            found.stray(scope)
            continue
        for folder in sorted(scope.iterdir()):
            is_folder = folder.is_dir() and not folder.is_symlink()
            if is_folder and KEY.fullmatch(f"{scope.name}/{folder.name}"):
                yield folder
            else:
                found.stray(folder)


def check_pins(survey: Survey, found: Verified) -> set[Mark]:
    """Check the pins; returns what they keep."""
    pinned: set[Mark] = set()
    for path in survey.store.pins.files():
        found.pins += 1
        try:
            pin = Pin.from_file(path)
        except CorruptArtefact as error:
            found.add_error(error)
            continue
        pinned.add((pin.derivation, pin.version))
        is_there = survey.store.folder(pin.version).is_dir()
        if not is_there or (pin.derivation, pin.version) not in survey.records:
            found.add(path, f"the pinned version of {pin.key} is gone", "remove it")
    return pinned


def check_areas(survey: Survey, found: Verified) -> None:
    """Check the newest checkpoint of each unfinished training."""
    place = survey.store.workplace.folder
    for area in sorted(place.iterdir()) if place.is_dir() else ():
        if HEX.fullmatch(area.name) and area.is_dir() and os.path.lexists(area / POINTER):
            found.work_areas += 1
            _check_checkpoint(area, found)


def _check_checkpoint(area: Path, found: Verified) -> None:
    """Check a checkpoint. A running training may replace it meanwhile; then the new one counts."""
    mend, pointer, before = f"remove {area} to train from the start", area / POINTER, None
    while True:
        try:
            told = checkpoint_state(pointer)
            name, sha256 = told["file"], told["sha256"]
        except FileNotFoundError:
            return  # its training has ended
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            found.add(pointer, "is not a checkpoint", mend)
            return
        now = hash_file(area / name)
        if now.sha256 == sha256:
            found.files, found.bytes = found.files + 1, found.bytes + now.size
            return
        if told == before:
            wrong = f"cannot be read ({now.fault})" if now.fault else "sha256 is not the one in"
            found.add(area / name, wrong if now.fault else f"{wrong} {POINTER}", mend)
            return
        before = told


def find_strays(survey: Survey, kept: set[Mark], found: Verified) -> None:
    """Find versions, records and files to which no reference leads, directly or through others."""
    store = survey.store
    reached = survey.named(kept)
    versions = {version for _, version in reached}
    beside = {
        sha256
        for mark in reached & survey.records.keys()
        for sha256 in survey.records[mark].beside.values()
    }
    marks = {derivation for derivation, _ in reached}
    for path in _inside(store.root / OBJECTS):
        if path.name not in versions:
            found.stray(path)
    for path in _inside(store.root / RECORDS):
        is_record = RECORD.fullmatch(path.name)
        if path.name not in (JOURNAL, PINS, "beside") and not (
            is_record and path.name[:64] in marks
        ):
            found.stray(path)
    for path in _inside(store.root / RECORDS / "beside"):
        if path.name not in beside:
            found.stray(path)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _text(link: Path) -> str | None:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return None
