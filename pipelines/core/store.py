"""The store: the only module that resolves, verifies and writes under ``assets_store/``.

    objects/<version>/manifest.json and files   an artefact, immutable
    records/<derivation>.json                   the record of a version
    records/<derivation>.<version>.json         the record of an earlier version of the derivation
    records/beside/<sha256>                     a file that a record names, such as a training curve
    records/journal.jsonl                       a line for each publication (``journal``)
    records/pins/                               versions that ``dragon gc`` keeps (``pins``)
    <scope>/<name>/...                          the keys of versions (``references``)
    .work/<derivation>/                         a draft, finished parts and checkpoints, removed
                                                after publication
    .work/lock                                  shared by writers, exclusive for who removes

See ``assets_store/README.md`` for the contract and docs/adr/0001 and 0013 for the reasons.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pipelines.core.artefact import (
    Artefact,
    CorruptArtefact,
    read_manifest,
)
from pipelines.core.disk import make_folder, persist, sync
from pipelines.core.earlier import require_layout
from pipelines.core.identity import HEX
from pipelines.core.journal import JOURNAL, Journal
from pipelines.core.pins import PINS, Pin, Pins
from pipelines.core.record import Record, StoreError
from pipelines.core.records import Beside, Records
from pipelines.core.references import OBJECTS, RECORDS, References
from pipelines.core.sweeping import sweep
from pipelines.core.work import Work, locked, tidy
from pipelines.core.workplace import READ_ONLY, Workplace

View = TypeVar("View", bound=Artefact)
log = logging.getLogger("dragon.store")
Fence = Callable[[], contextlib.AbstractContextManager[None]]


class Store:
    """One ``assets_store`` folder. Raises StoreError if it has an earlier layout."""

    def __init__(self, root: Path) -> None:
        require_layout(root)
        self.root = root
        self.references = References(root)
        self.workplace = Workplace(root / ".work")
        self._records = Records(root / RECORDS)
        self.journal = Journal(root / RECORDS / JOURNAL)
        self.pins = Pins(root / RECORDS / PINS)

    def folder(self, version: str) -> Path:
        """The folder of a version. Raises StoreError if ``version`` is not a sha256."""
        if not HEX.fullmatch(version):
            raise StoreError(f"version={version!r}: is not a sha256; dragon ls lists the versions")
        return self.root / OBJECTS / version

    def require_writable(self, key: str = "") -> None:
        """Raise StoreError if nothing can be published: before the work, not after hours of it.

        Raises CorruptArtefact if something else is where the references of ``key`` belong.
        """
        if key:
            self.references.require_room(key)
        self.workplace.require_writable()

    # Reading

    def open(self, key: str, version: str, view: type[View], derivation: str = "") -> View:
        """Open one version and check its manifest; each file is checked when it is read.

        ``key`` is the name of the version in messages. Raises StoreError if the store has no such
        version.
        """
        if not self.holds(version):
            raise StoreError(f"{key}: the store has no version {version[:12]}; materialize it")
        folder = self.folder(version)
        files = read_manifest(folder, version)
        if not derivation:
            derivation = next((r.derivation for r in self.records(key, version)), "")
        beside = Beside(self._records, derivation, version)
        return view(key, version, derivation, folder, files, beside)

    def holds(self, version: str) -> bool:
        """Whether the store has the folder of a version.

        Raises CorruptArtefact for a link in its place: a link may lead anywhere.
        """
        if not HEX.fullmatch(version):
            return False
        if self.folder(version).is_symlink():
            raise CorruptArtefact(
                f"{self.folder(version)}: a link, but it must be a folder; remove it and run again"
            )
        return self.folder(version).is_dir()

    def current(self, key: str, view: type[View]) -> View:
        """The version of a key that was made or reused last. Raises StoreError if none exists."""
        derivation, version = self._current(key)
        return self.open(key, version, view, derivation)

    def current_record(self, key: str) -> Record:
        """The record of a key's current version. Raises StoreError if the key has none."""
        derivation, version = self._current(key)
        record = self.record(derivation, version)
        assert record is not None  # _current has checked it
        return record

    def _current(self, key: str) -> tuple[str, str]:
        current = self.references.current(key)
        if current is None:
            raise StoreError(f"{key}: not made yet; materialize it first")
        if self.record(*current) is None:
            pointer = self.references.folder(key) / current[0]
            raise CorruptArtefact(
                f"{pointer}: the store has no record of this version; remove it and run again"
            )
        return current

    def record(self, derivation: str, version: str | None = None) -> Record | None:
        """The checked record of a derivation, or of one version that it made; None if none is."""
        return self._records.of(derivation, version)

    def records(self, key: str, version: str | None = None) -> list[Record]:
        """The records of a key, or of one version of it; the current record comes first.

        Raises CorruptArtefact if no good record has the version and a bad one may have had it.
        """
        return self._records.all(self.references.versions(key), version)

    def reusable(self, key: str, derivation: str, view: type[View]) -> View | None:
        """The version that a derivation made, every file verified; None if it has to be made.

        The key refers to this version afterwards. A removed version folder is made again. A changed
        one raises CorruptArtefact, because only a person can judge whether the change matters.
        """
        with self.workplace.staying():
            record = self.record(derivation)
            if record is None or not self.holds(record.version):
                return None
            artefact = self.open(key, record.version, view, derivation)
            artefact.verify()
            try:
                self._refer(key, derivation, artefact.version)
            except OSError as error:  # a version in a read-only store can still be used
                if error.errno not in READ_ONLY:
                    raise
                log.warning(
                    "%s: the store cannot be written (%s), so its current version stays the same",
                    key,
                    error.strerror,
                )
            return artefact

    def require(self, artefacts: Iterable[Artefact]) -> None:
        """Raise StoreError if a version was removed since it was opened.

        In a block of ``work`` nobody removes a version any more.
        """
        for artefact in artefacts:
            known = self.record(artefact.derivation, artefact.version)
            if known is None or not self.holds(artefact.version):
                raise StoreError(
                    f"{artefact.key}: version {artefact.version[:12]} was removed from the store"
                    " after it was opened; run again"
                )

    def keys(self) -> list[str]:
        """Every key that has a reference, sorted."""
        return self.references.keys()

    def versions(self, key: str) -> list[str]:
        """The versions of a key whose folders are in the store, sorted."""
        references, earlier = self.references.versions(key), self._records.earlier_versions()
        versions = set(references.values())
        for derivation in references:
            versions.update(earlier.get(derivation, []))
        return sorted(version for version in versions if self.folder(version).is_dir())

    def key_of(self, version: str) -> str:
        """A key that refers to a version: the one under which it was made, if it still does.

        Raises StoreError if no key refers to the version.
        """
        references = [r for r in self.references.all() if r.version == version]
        for reference in references:
            record = self.record(reference.derivation)
            if record is not None and record.first_key == reference.key:
                return reference.key
        if references:
            return references[0].key
        raise StoreError(
            f"{self.folder(version)}: no key refers to this version; run its recipe again: dragon"
            " run restores the keys of the versions in the store"
        )

    def find(self, sha256: str) -> tuple[str, str] | None:
        """The (version, file name) whose manifest lists a file of this sha256, or None.

        Raises CorruptArtefact if no manifest lists it and one of the manifests is corrupt.
        """
        fault: CorruptArtefact | None = None
        for folder in sorted((self.root / OBJECTS).glob("*")):
            if not HEX.fullmatch(folder.name):
                continue
            try:
                files = read_manifest(folder, folder.name)
            except CorruptArtefact as error:
                fault = fault or error
                continue
            for name, entry in files.items():
                if entry.sha256 == sha256:
                    return folder.name, name
        if fault:
            raise fault
        return None

    # Writing

    @contextlib.contextmanager
    def work(self, key: str, derivation: str, *, keep: bool = False) -> Iterator[Work]:
        """The locked work area of a derivation, for one process at a time.

        A second process waits, and logs which process it waits for. The system drops a process'
        lock when the process ends, so a killed run leaves no lock behind. With ``keep`` the
        checkpoints and finished parts stay after the work.
        """
        folder = self.workplace.folder / derivation
        lock = folder.with_suffix(".lock")
        self.sweep(spare=derivation)
        with self.workplace.writing():
            handle = locked(lock, key)
            try:
                make_folder(folder)
                yield Work(folder)
                if not keep:
                    shutil.rmtree(folder)
            finally:
                tidy(folder)
                lock.unlink(missing_ok=True)
                os.close(handle)

    def publish(
        self,
        key: str,
        draft: Path,
        record: Record,
        fence: Fence = contextlib.nullcontext,
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Publish a sealed draft as an artefact: either all of it or nothing.

        Files and folders reach the disk before the rename, the rename before the record, and the
        record before the key's reference. Bytes that an earlier derivation published are not stored
        twice. ``fence`` is held from before the rename until the publication is complete. If it
        raises, the store is unchanged. ``beside`` has the files that the record names.
        """
        final = self.folder(record.version)
        persist(draft)
        with fence():
            self._publish(draft, final, record, beside)
            self._refer(key, record.derivation, record.version)

    def _publish(
        self, draft: Path, final: Path, record: Record, beside: Mapping[str, bytes]
    ) -> None:
        make_folder(final.parent)
        make_folder(self.root / RECORDS)
        try:
            draft.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            self._keep_or_replace(final, draft, record)
        sync(final.parent)
        for name, content in beside.items():
            path = self._records.file_beside(record.beside[name])
            make_folder(path.parent)
            self.workplace.replace(path, content)
        self._keep_record(record)
        self.journal.add(record, self._records.good)
        self.workplace.replace(self._records.path(record.derivation), record.to_bytes())

    def _keep_record(self, record: Record) -> None:
        """Keep the record of another version that the same derivation made earlier."""
        try:
            before = self.record(record.derivation)
        except CorruptArtefact:
            return  # the new record replaces it
        if before is not None and before.version != record.version:
            log.warning(
                "%s: the same derivation made version %s earlier and %s now; dragon show prints"
                " both records",
                record.first_key,
                before.version[:12],
                record.version[:12],
            )
            self.workplace.replace(self.root / RECORDS / before.earlier_name, before.to_bytes())

    def _keep_or_replace(self, final: Path, draft: Path, record: Record) -> None:
        """Keep the version's folder from another derivation; replace it if its files are corrupt.

        The corrupt folder is renamed before it is removed, so no reader sees half a folder.
        """
        try:
            self.open(record.first_key, record.version, Artefact, record.derivation).verify()
        except (CorruptArtefact, StoreError):
            aside = self.workplace.aside()
            final.rename(aside)
            draft.rename(final)
            if aside.is_dir() and not aside.is_symlink():
                shutil.rmtree(aside)
            else:
                aside.unlink()

    def pin(self, artefact: Artefact, reason: str) -> Pin:
        """Keep a version, whatever ``dragon gc`` removes, until it is unpinned."""
        with self.workplace.writing():
            return self.pins.add(artefact, reason, self.workplace.aside())

    def _refer(self, key: str, derivation: str, version: str) -> None:
        """Let a key refer to a version."""
        if not self.references.refers(key, derivation, version):
            with self.workplace.writing():
                self.references.refer(key, derivation, version, self.workplace.aside())

    def sweep(self, spare: str = "") -> None:
        """Remove what killed processes left in ``.work``.

        Checkpoints and finished parts stay until their derivation has a record, or nobody will
        finish them. Those of the derivation ``spare`` stay.
        """
        sweep(self.workplace.lock, self.references, self._records, spare)
