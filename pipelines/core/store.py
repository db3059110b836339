"""The store: the only module that resolves, verifies and writes under ``assets_store/``.

    <key>/<version>/manifest.json and files     an artefact, immutable
    <key>/records/<derivation>.json             how a version came about
    <key>/records/<derivation>.<version>.json   how an earlier one did, under the same derivation
    <key>/current                               the newest, for doors that ask no database
    .work/<derivation>/                         a draft, finished parts and checkpoints, gone once
                                                published
    .work/lock                                  shared by who writes, alone with who sweeps

See ``assets_store/README.md`` for the contract and docs/adr/0001 for the reasons.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
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
from pipelines.core.identity import HEX, RESERVED, canonical
from pipelines.core.record import Record, StoreError, record_of
from pipelines.core.work import KEY, Work, locked, tidy
from pipelines.text.regular import read_regular

View = TypeVar("View", bound=Artefact)
log = logging.getLogger("dragon.store")
Fence = Callable[[], contextlib.AbstractContextManager[None]]

PART = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Store:
    """One ``assets_store`` folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where a key's versions lie. Raises StoreError for a key that leaves the store."""
        parts = key.split("/")
        if any(not PART.fullmatch(part) or part in RESERVED for part in parts):
            raise StoreError(f"key={key!r}: lower case letters, digits and _ between slashes")
        return self.root.joinpath(*parts)

    def require_writable(self) -> None:
        """Raise StoreError at once, not after hours of work, if nothing can be published."""
        probe = self.root / ".work" / f"{uuid.uuid4().hex}.probe"
        try:
            make_folder(probe.parent)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)  # a sweep may have been quicker
        except OSError as error:
            raise StoreError(
                f"{self.root}: the store cannot be written ({error.strerror}); make it writable"
                " or choose another with DRAGON_STORE"
            ) from None

    # Reading

    def open(self, key: str, version: str, view: type[View], derivation: str = "") -> View:
        """One version of an asset, its manifest checked; files are checked as they are read.

        Raises StoreError when the store has no such version.
        """
        folder = self.folder(key) / version
        if not HEX.fullmatch(version) or not folder.is_dir():
            raise StoreError(f"{key}: the store has no version {version[:12]}; materialize it")
        files = read_manifest(folder, version)
        if not derivation:
            derivation = next((r.derivation for r in self.records(key, version)), "")
        return view(key, version, derivation, folder, files)

    def current(self, key: str, view: type[View]) -> View:
        """The version made or reused last. Raises StoreError when there is none."""
        pointer = self.folder(key) / "current"
        try:
            content = json.loads(read_regular(pointer))
            version, derivation = content["version"], content["derivation"]
        except FileNotFoundError:
            raise StoreError(f"{key}: not made yet; materialize it first") from None
        except OSError as error:
            raise CorruptArtefact(f"{pointer}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise CorruptArtefact(f"{pointer}: unreadable; remove it and run again") from None
        record = self.record(key, str(derivation))
        if record is None or record.version != version:
            raise CorruptArtefact(f"{pointer}: no record bears it out; remove it and run again")
        return self.open(key, version, view, derivation)

    def record(self, key: str, derivation: str, version: str | None = None) -> Record | None:
        """The record of a derivation, checked; None when there is none.

        ``version``: of what it once made, should it have come out otherwise since.
        """
        folder = self.folder(key) / "records"
        names = [f"{derivation}.json", *([f"{derivation}.{version}.json"] if version else [])]
        for path in (folder / name for name in names if HEX.fullmatch(derivation)):
            if os.path.lexists(path):
                record = record_of(key, path)
                if version in (None, record.version):
                    return record
        return None

    def records(self, key: str, version: str | None = None) -> list[Record]:
        """The records of a key (of one version), the current one first.

        A bad record does not stand in the way of the good ones. Raises CorruptArtefact naming it
        when none of the good ones is asked for, for then it may have been the one.
        """
        folder, records, fault = self.folder(key), [], None
        for path in sorted((folder / "records").glob("*.json")):
            try:
                records.append(record_of(key, path))
            except CorruptArtefact as error:
                fault = fault or error
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            now = json.loads(read_regular(folder / "current"))
            current = now["derivation"], now["version"]
            records.sort(key=lambda record: (record.derivation, record.version) != current)
        wanted = [record for record in records if version in (None, record.version)]
        if fault and not wanted:
            raise fault
        if fault:
            log.warning("%s", fault)
        return wanted

    def reusable(self, key: str, derivation: str, view: type[View]) -> View | None:
        """What a derivation made, every file verified; None when it has to be made.

        A version folder that somebody removed is made again; one that was changed is an error,
        for only a person can say whether the change matters.
        """
        record = self.record(key, derivation)
        if record is None or not (self.folder(key) / record.version).is_dir():
            return None
        artefact = self.open(key, record.version, view, derivation)
        artefact.verify()
        try:
            self._point(key, artefact.version, derivation)
        except OSError as error:  # what a read-only store has can be used all the same
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            log.warning("%s: its current version stays as it was (%s)", key, error.strerror)
        return artefact

    def keys(self) -> list[str]:
        """Every key that has a record."""
        found = (
            path.parent.relative_to(self.root)
            for path in self.root.glob("[!.]*/**/records")
            if path.is_dir()
        )
        return sorted(k.as_posix() for k in found if all(map(PART.fullmatch, k.parts)))

    def versions(self, key: str) -> list[str]:
        """The versions of a key that lie in the store."""
        folder = self.folder(key)
        return (
            sorted(p.name for p in folder.iterdir() if HEX.fullmatch(p.name))
            if folder.exists()
            else []
        )

    def find(self, sha256: str) -> tuple[str, str, str] | None:
        """The (key, version, file name) whose manifest lists these bytes, or None.

        Raises CorruptArtefact when none does but one that might have cannot be trusted.
        """
        fault: CorruptArtefact | None = None
        for key in self.keys():
            for version in self.versions(key):
                try:
                    files = read_manifest(self.folder(key) / version, version)
                except CorruptArtefact as error:
                    fault = fault or error
                    continue
                for name, entry in files.items():
                    if entry.sha256 == sha256:
                        return key, version, name
        if fault:
            raise fault
        return None

    def owner(self, version: str) -> str | None:
        """The key that has a version, or None."""
        return next((key for key in self.keys() if version in self.versions(key)), None)

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
                if not (folder / KEY).exists():
                    (folder / KEY).write_text(key)
                yield Work(folder)
                shutil.rmtree(folder)
            finally:
                tidy(folder)
                lock.unlink(missing_ok=True)
                os.close(handle)

    def publish(self, draft: Path, record: Record, fence: Fence = contextlib.nullcontext) -> None:
        """Make a sealed draft an artefact: all of it, or nothing under a final name.

        Files and folders reach the disk before the rename, the rename before the record. Bytes
        that an earlier derivation already published are not stored twice. ``fence`` is held from
        before the rename until all is published; what it raises leaves the store as it was.
        """
        final = self.folder(record.key) / record.version
        persist(draft)
        with fence():
            self._publish(draft, final, record)

    def _publish(self, draft: Path, final: Path, record: Record) -> None:
        make_folder(final.parent / "records")
        try:
            draft.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self._keep_or_replace(final, draft, record)
        sync(final.parent)
        self._keep_record(record)
        self._replace(final.parent / "records" / f"{record.derivation}.json", record.to_bytes())
        self._point(record.key, record.version, record.derivation)

    def _keep_record(self, record: Record) -> None:
        """Let the record of another version that this derivation once made stay beside ours."""
        folder = self.folder(record.key) / "records"
        try:
            before = self.record(record.key, record.derivation)
        except CorruptArtefact:
            return  # ours takes its place
        if before is not None and before.version != record.version:
            log.warning(
                "%s: %s before, %s now under the same derivation; dragon show tells both",
                record.key,
                before.version[:12],
                record.version[:12],
            )
            self._replace(folder / before.earlier_name, before.to_bytes())

    def _keep_or_replace(self, final: Path, draft: Path, record: Record) -> None:
        """Another derivation made these bytes before; if they rotted since, ours take their place.

        The bad ones leave by a rename: no reader ever sees half a folder.
        """
        try:
            self.open(record.key, record.version, Artefact, record.derivation).verify()
        except CorruptArtefact:
            aside = self._aside()
            final.rename(aside)
            draft.rename(final)
            shutil.rmtree(aside)

    def _point(self, key: str, version: str, derivation: str) -> None:
        pointer = self.folder(key) / "current"
        content = canonical({"version": version, "derivation": derivation})
        if not pointer.exists() or read_regular(pointer) != content:
            self._replace(pointer, content)

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
                if HEX.fullmatch(path.name) and not self._is_made(path):
                    tidy(path)
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != lock:
                    path.unlink(missing_ok=True)

    def _is_made(self, work: Path) -> bool:
        """Whether the derivation of a work area has its record: a kill left the area behind."""
        try:
            records = self.folder(read_regular(work / KEY).decode()) / "records"
        except (OSError, ValueError):
            return False
        return (records / f"{work.name}.json").exists()
