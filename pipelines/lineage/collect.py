"""Decides what of a store nothing needs any more: ``dragon gc`` removes that.

Kept are the current version of each key, versions with an alias in MLflow, pinned ones, those that
are younger than a limit, the inputs of unfinished trainings, and the whole lineage of all of these:
``trace`` reads every version of a lineage, ``reproduce`` compares with it, and ``forget`` looks up
in it where a document went. The states that a training kept on its way are large. So their being
current keeps nothing: they stay as long as something that is kept was taken or branched from them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.identity import HEX
from pipelines.core.references import CURRENT, OBJECTS, RECORDS
from pipelines.core.removal import Removal, remove
from pipelines.core.store import Store
from pipelines.core.sweeping import DAY, why_useless
from pipelines.core.work import POINTER, checkpoint_state
from pipelines.lineage.faults import Mark, size_of
from pipelines.lineage.recorded import Survey
from pipelines.training.artefacts import KeptStates

NO_KEY = "(no key)"
REASONS = ("current", "aliased", "pinned", "for unfinished work", "young", "in their lineage")
Aliases = Mapping[Mark, list[str]]


@dataclass(frozen=True)
class Removed:
    """A version that goes: its key, when it was made, its bytes (0 if its files stay)."""

    key: str
    version: str
    derivation: str
    finished: str
    bytes: int


@dataclass(frozen=True)
class Loose:
    """Something to which no record refers, its bytes, and why it goes."""

    path: str
    bytes: int
    reason: str


@dataclass
class Plan:
    """What a collection removes and keeps; ``kept`` counts versions by the first reason."""

    removal: Removal = field(default_factory=Removal)
    versions: list[Removed] = field(default_factory=list)
    loose: list[Loose] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    kept_bytes: int = 0

    @property
    def bytes(self) -> int:
        """The number of bytes that become free."""
        versions = sum(one.bytes for one in self.versions)
        return versions + sum(one.bytes for one in self.loose)


def plan(store: Store, days: float, aliases: Aliases) -> Plan:
    """What nothing needs and what is older than so many ``days``.

    Raises CorruptArtefact for a bad record, reference or pin: it may hide what is needed.
    """
    return _Collection(store, days, aliases).plan()


def collect(store: Store, days: float, aliases: Aliases) -> Plan:
    """Remove what ``plan`` finds, and return what was removed.

    Raises StoreError if another process works in the store; then nothing was removed.
    """
    with store.workplace.alone():
        planned = plan(store, days, aliases)  # by now nobody else can change the store
        remove(store.workplace, planned.removal)
    return planned


class _Collection:
    """The marks of a store: by key, those that stay for a reason of their own, all that stay."""

    def __init__(self, store: Store, days: float, aliases: Aliases) -> None:
        self.store, self.survey = store, Survey.of(store)
        self.before = time.time() - days * DAY
        for errors in self.survey.bad.values():
            raise errors[0]
        known = store.keys()
        self.keys = {key: list(store.references.versions(key).items()) for key in known}
        self.useless = dict(self._useless_work())
        self.roots = self._roots(aliases)
        self.kept = self.survey.named(self.roots)
        self.kept_versions = {version for _, version in self.kept}

    def _roots(self, aliases: Aliases) -> dict[Mark, str]:
        """What stays for a reason of its own, with the first reason."""
        current, aliased, pinned, work, young, _ = REASONS
        roots: dict[Mark, str] = {}

        def add(mark: Mark, reason: str) -> None:
            roots.setdefault(mark, reason)

        for key in self.keys:
            mark = self.store.references.current(key)
            record = self.survey.records.get(mark) if mark else None
            if mark and not (record and record.makes == KeptStates.__name__):
                add(mark, current)
        for mark in aliases:
            add(mark, aliased)
        for pin in self.store.pins.all():
            add((pin.derivation, pin.version), pinned)
        areas = [path for path in self._areas() if path not in self.useless]
        inputs = {version for area in areas for version in _inputs_of(area)}
        for mark in self.survey.records:
            if mark[1] in inputs:
                add(mark, work)
        for mark in self._young():
            add(mark, young)
        return roots

    def _young(self) -> Iterator[Mark]:
        """The marks whose record or reference is younger than the limit."""
        for path, record in self.survey.files:
            if self._is_young(path):
                yield path.name[:64], record.version
        for key, marks in self.keys.items():
            for mark in marks:
                if self._is_young(self.store.references.folder(key) / mark[0]):
                    yield mark

    def _is_young(self, path: Path) -> bool:
        return path.lstat().st_mtime > self.before

    def plan(self) -> Plan:
        """All that goes, in words and as paths."""
        folders = [path for path in _inside(self.store.root / OBJECTS) if HEX.fullmatch(path.name)]
        sizes = {path.name: size_of(path) for path in folders}
        made = {record.version for _, record in self.survey.files}
        gone = {path.name: path for path in folders if self._goes(path, made)}
        beside = list(self._beside())
        removal = Removal(
            tuple(self._links()),
            tuple(self._records()),
            tuple(beside),
            tuple(gone.values()),
            tuple(self.useless),
        )
        left = {name: sizes[name] for name in gone}
        rows = [self._removed(key, mark, left) for key, mark in self._named()]
        loose = [Loose(str(gone[name]), left[name], "it has no record") for name in left]
        loose += [Loose(str(path), size_of(path), "no record has it") for path in beside]
        loose += [Loose(str(path), size_of(path), reason) for path, reason in self.useless.items()]
        kept_bytes = sum(size for name, size in sizes.items() if name not in gone)
        return Plan(removal, rows, loose, self._counted(), kept_bytes)

    def _goes(self, folder: Path, made: set[str]) -> bool:
        """Whether a version goes; ``made`` has the versions with a record, whose age counts."""
        if folder.name in self.kept_versions:
            return False
        return folder.name in made or not self._is_young(folder)

    def _records(self) -> list[Path]:
        """The files of records that go. A child goes before its parents, as its lineage is larger:
        so no record ever names one that is not there."""
        gone = {
            path: len(self.survey.lineage([mark]))
            for path, record in self.survey.files
            if (mark := (path.name[:64], record.version)) not in self.kept
        }
        return sorted(gone, key=lambda path: (-gone[path], path))

    def _links(self) -> Iterator[Path]:
        """The links of keys to what goes."""
        for key, marks in self.keys.items():
            folder, current = self.store.references.folder(key), self.store.references.current(key)
            for mark in marks:
                if mark not in self.kept:
                    yield folder / mark[0]
                    if mark == current:
                        yield folder / CURRENT

    def _beside(self) -> Iterator[Path]:
        """The files beside records that no record which stays has."""
        named: dict[str, bool] = {}
        for mark, record in self.survey.records.items():
            for sha256 in record.beside.values():
                named[sha256] = named.get(sha256, False) or mark in self.kept
        for path in _inside(self.store.root / RECORDS / "beside"):
            if not named.get(path.name, self._is_young(path)):
                yield path

    def _areas(self) -> list[Path]:
        return [path for path in _inside(self.store.workplace.folder) if HEX.fullmatch(path.name)]

    def _useless_work(self) -> Iterator[tuple[Path, str]]:
        """The folders of work that nobody will finish, and what killed processes left."""
        references, records = self.store.references, self.survey.folder
        for area in self._areas():
            if records.path(area.name).exists():
                yield area, "its asset was made"
            elif reason := why_useless(area, references, records):
                yield area, reason
        for path in _inside(self.store.workplace.folder):
            if path.suffix == ".partial" and path.is_dir():
                yield path, "a killed process left it"

    def _named(self) -> Iterator[tuple[str, Mark]]:
        """The marks that go, by each key that refers to them."""
        keys: dict[Mark, list[str]] = {}
        for key, marks in self.keys.items():
            for mark in marks:
                keys.setdefault(mark, []).append(key)
        for mark in self.survey.records:
            if mark not in self.kept:
                yield from ((key, mark) for key in keys.get(mark, [NO_KEY]))

    def _removed(self, key: str, mark: Mark, left: dict[str, int]) -> Removed:
        """A row; the bytes of a version are told once, so they are taken from ``left``."""
        finished = str(self.survey.records[mark].made.get("finished", ""))
        return Removed(key, mark[1], mark[0], finished, left.pop(mark[1], 0))

    def _counted(self) -> dict[str, int]:
        counts = dict.fromkeys(REASONS, 0)
        for mark in self.kept & self.survey.records.keys():
            counts[self.roots.get(mark, REASONS[-1])] += 1
        return {reason: count for reason, count in counts.items() if count}


def _inputs_of(area: Path) -> list[str]:
    """The versions that an unfinished training reads; only its checkpoint tells them."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return list(checkpoint_state(area / POINTER)["notes"]["decides"]["inputs"].values())
    return []


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
