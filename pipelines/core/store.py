"""The store: the only module that resolves, verifies and writes under ``assets_store/``.

    objects/<version>/manifest.json and files   an artefact, immutable
    records/<derivation>.json                   how a version came about
    records/<derivation>.<version>.json         how an earlier one did, under the same derivation
    <scope>/<name>/...                          the names of versions (``references``)
    .work/<derivation>/                         a draft, finished parts and checkpoints, gone once
                                                published
    .work/lock                                  shared by who writes, alone with who sweeps

See ``assets_store/README.md`` for the contract, docs/adr/0001 and 0013 for the reasons.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pipelines.core.artefact import (
    Artefact,
    CorruptArtefact,
    read_manifest,
)
from pipelines.core.disk import lock_file, make_folder, persist, replace, sync
from pipelines.core.earlier import require_layout
from pipelines.core.identity import HEX
from pipelines.core.record import Record, StoreError
from pipelines.core.references import OBJECTS, RECORDS, References
from pipelines.core.work import Work, locked, tidy

View = TypeVar("View", bound=Artefact)
log = logging.getLogger("dragon.store")
Fence = Callable[[], contextlib.AbstractContextManager[None]]


class Store:
    """One ``assets_store`` folder. Raises StoreError for one of an earlier layout."""

    def __init__(self, root: Path) -> None:
        require_layout(root)
        self.root = root
        self.references = References(root)

    def folder(self, version: str) -> Path:
        """Where a version lies. Raises StoreError for what is no version."""
        if not HEX.fullmatch(version):
            raise StoreError(f"version={version!r}: not a sha256; dragon ls lists versions")
        return self.root / OBJECTS / version

    def require_writable(self) -> None:
        """Raise StoreError at once, not after hours of work, if nothing can be published."""
        probe = self.root / ".work" / f"{uuid.uuid4().hex}.probe"
        try:
            make_folder(probe.parent)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)  # a sweep may have been quicker
            probe.symlink_to("nowhere")  # not every file system has links
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.root}: the store cannot be written ({error.strerror}); make it writable"
                " or choose another with DRAGON_STORE"
            ) from None

    # Reading

    def open(self, key: str, version: str, view: type[View], derivation: str = "") -> View:
        """One version, its manifest checked; files are checked as they are read.

        ``key`` is the name under which messages speak of it. Raises StoreError when the store has
        no such version.
        """
        if not HEX.fullmatch(version) or not self.folder(version).is_dir():
            raise StoreError(f"{key}: the store has no version {version[:12]}; materialize it")
        files = read_manifest(self.folder(version), version)
        return view(
            key, version, derivation or self._derivation(key, version), self.folder(version), files
        )

    def current(self, key: str, view: type[View]) -> View:
        """The version made or reused last. Raises StoreError when there is none."""
        derivation, version = self._current(key)
        return self.open(key, version, view, derivation)

    def current_record(self, key: str) -> Record:
        """How a key's current version came about. Raises StoreError when there is none."""
        derivation, version = self._current(key)
        record = self.record(derivation, version)
        assert record is not None  # as _current found
        return record

    def _current(self, key: str) -> tuple[str, str]:
        current = self.references.current(key)
        if current is None:
            raise StoreError(f"{key}: not made yet; materialize it first")
        if self.record(*current) is None:
            pointer = self.references.folder(key) / current[0]
            raise CorruptArtefact(f"{pointer}: no record bears it out; remove it and run again")
        return current

    def record(self, derivation: str, version: str | None = None) -> Record | None:
        """The record of a derivation, checked; None when there is none.

        ``version``: of what it once made, should it have come out otherwise since.
        """
        names = [f"{derivation}.json", *([f"{derivation}.{version}.json"] if version else [])]
        for path in (self.root / RECORDS / name for name in names if HEX.fullmatch(derivation)):
            if os.path.lexists(path):
                record = Record.from_file(path)
                if version in (None, record.version):
                    return record
        return None

    def records(self, key: str, version: str | None = None) -> list[Record]:
        """The records of a key (of one version), the current one first.

        A bad record does not stand in the way of the good ones. Raises CorruptArtefact naming it
        when none of the good ones is asked for, for then it may have been the one.
        """
        records, fault = [], None
        for derivation in self.references.versions(key):
            for path in self._record_files(derivation):
                try:
                    records.append(Record.from_file(path))
                except CorruptArtefact as error:
                    fault = fault or error
        wanted = [record for record in records if version in (None, record.version)]
        if fault and not wanted:
            raise fault
        if fault:
            log.warning("%s", fault)
        return wanted

    def _record_files(self, derivation: str) -> list[Path]:
        """The files of a derivation's records, that of its newest version first."""
        newest = self.root / RECORDS / f"{derivation}.json"
        earlier = sorted((self.root / RECORDS).glob(f"{derivation}.*.json"))
        return [*([newest] if os.path.lexists(newest) else []), *earlier]

    def _derivation(self, key: str, version: str) -> str:
        """The derivation by which a key came to a version; an empty text if no record tells."""
        return next((record.derivation for record in self.records(key, version)), "")

    def reusable(self, key: str, derivation: str, view: type[View]) -> View | None:
        """What a derivation made, every file verified; None when it has to be made.

        The key refers to it from then on. A version folder that somebody removed is made again; one
        that was changed is an error, for only a person can say whether the change matters.
        """
        record = self.record(derivation)
        if record is None or not self.folder(record.version).is_dir():
            return None
        artefact = self.open(key, record.version, view, derivation)
        artefact.verify()
        try:
            self._refer(key, derivation, artefact.version)
        except OSError as error:  # what a read-only store has can be used all the same
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            log.warning("%s: its current version stays as it was (%s)", key, error.strerror)
        return artefact

    def keys(self) -> list[str]:
        """Every key that refers to something."""
        return self.references.keys()

    def versions(self, key: str) -> list[str]:
        """The versions of a key that lie in the store."""
        made = set(self.references.versions(key).values())
        for derivation in self.references.versions(key):
            made |= {path.name.split(".")[1] for path in self._record_files(derivation)[1:]}
        return sorted(version for version in made if self.folder(version).is_dir())

    def key_of(self, version: str) -> str:
        """A key that refers to a version, as its current one if any does.

        Raises StoreError for a version that no key refers to.
        """
        for reference in self.references.all():
            if reference.version == version:
                return reference.key
        raise StoreError(
            f"{self.folder(version)}: no key refers to this version; dragon run makes keys refer"
            " again to what is still in the store"
        )

    def find(self, sha256: str) -> tuple[str, str] | None:
        """The (version, file name) whose manifest lists these bytes, or None.

        Raises CorruptArtefact when none does but one that might have cannot be trusted.
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
    def work(self, key: str, derivation: str) -> Iterator[Work]:
        """The working area of a derivation, for one process at a time.

        A second process waits and is told for whom. A lock dies with its process, so a killed
        run leaves no lock behind.
        """
        folder = self.root / ".work" / derivation
        lock = folder.with_suffix(".lock")
        self.sweep()
        with self._writing():
            handle = locked(lock, key)
            try:
                make_folder(folder)
                yield Work(folder)
                shutil.rmtree(folder)
            finally:
                tidy(folder)
                lock.unlink(missing_ok=True)
                os.close(handle)

    def publish(
        self, key: str, draft: Path, record: Record, fence: Fence = contextlib.nullcontext
    ) -> None:
        """Make a sealed draft an artefact: all of it, or nothing under a final name.

        Files and folders reach the disk before the rename, the rename before the record, and that
        before the key refers to it. Bytes that an earlier derivation already published are not
        stored twice. ``fence`` is held from before the rename until all is published; what it
        raises leaves the store as it was.
        """
        final = self.folder(record.version)
        persist(draft)
        with fence():
            self._publish(draft, final, record)
            self._refer(key, record.derivation, record.version)

    def _publish(self, draft: Path, final: Path, record: Record) -> None:
        make_folder(final.parent)
        make_folder(self.root / RECORDS)
        try:
            draft.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self._keep_or_replace(final, draft, record)
        sync(final.parent)
        self._keep_record(record)
        self._replace(self.root / RECORDS / f"{record.derivation}.json", record.to_bytes())

    def _keep_record(self, record: Record) -> None:
        """Let the record of another version that this derivation once made stay beside ours."""
        try:
            before = self.record(record.derivation)
        except CorruptArtefact:
            return  # ours takes its place
        if before is not None and before.version != record.version:
            log.warning(
                "%s: %s before, %s now under the same derivation; dragon show tells both",
                record.first_key,
                before.version[:12],
                record.version[:12],
            )
            self._replace(self.root / RECORDS / before.earlier_name, before.to_bytes())

    def _keep_or_replace(self, final: Path, draft: Path, record: Record) -> None:
        """Another derivation made these bytes before; if they rotted since, ours take their place.

        The bad ones leave by a rename: no reader ever sees half a folder.
        """
        try:
            self.open(record.first_key, record.version, Artefact, record.derivation).verify()
        except CorruptArtefact:
            aside = self._aside()
            final.rename(aside)
            draft.rename(final)
            shutil.rmtree(aside)

    def _refer(self, key: str, derivation: str, version: str) -> None:
        """Let a key refer to a version; what a killed process leaves lies where it is swept."""
        if not self.references.refers(key, derivation, version):
            with self._writing():
                self.references.refer(key, derivation, version, self._aside())

    def _replace(self, path: Path, content: bytes) -> None:
        """Replace a file; what a killed process leaves half-written lies where it is swept."""
        with self._writing():
            replace(path, content, self._aside())

    def _aside(self) -> Path:
        return self.root / ".work" / f"{uuid.uuid4().hex}.partial"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep the sweep away: what lies in ``.work`` is wanted."""
        with lock_file(self.root / ".work" / "lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    def sweep(self) -> None:
        """Remove what killed processes left, if nobody is writing now and the store can be written.

        Checkpoints and finished parts stay until their derivation has a record.
        """
        lock = self.root / ".work" / "lock"
        with contextlib.suppress(OSError), lock_file(lock) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for path in lock.parent.iterdir():
                if HEX.fullmatch(path.name) and not self._is_made(path.name):
                    tidy(path)
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != lock:
                    path.unlink(missing_ok=True)

    def _is_made(self, derivation: str) -> bool:
        """Whether a derivation has its record: a kill left its work area behind."""
        return (self.root / RECORDS / f"{derivation}.json").exists()
