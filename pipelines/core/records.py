"""The folder of records: how each version of a store came about, by derivation.

<derivation>.json             the record of the version that the derivation made last
<derivation>.<version>.json   the record of one that it made earlier
beside/<sha256>               a file that belongs to a record, such as the curve of a training
journal.jsonl, pins/          see ``journal`` and ``pins``
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import HEX
from pipelines.core.record import Record
from pipelines.text.regular import read_regular

RECORD = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{64})?\.json")
EARLIER = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.json")

log = logging.getLogger("dragon.store")


class Records:
    """The records of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, derivation: str) -> Path:
        """The file of a derivation's newest record."""
        return self.folder / f"{derivation}.json"

    def of(self, derivation: str, version: str | None = None) -> Record | None:
        """The checked record of a derivation; None if the store has none.

        ``version`` chooses among several: the derivation may have made another version later.
        """
        names = [f"{derivation}.json", *([f"{derivation}.{version}.json"] if version else [])]
        for path in (self.folder / name for name in names if HEX.fullmatch(derivation)):
            if os.path.lexists(path):
                record = Record.from_file(path)
                if version in (None, record.version):
                    return record
        return None

    def files(self) -> list[Path]:
        """The files of all records, sorted."""
        return [self.folder / name for name in self._names(RECORD)]

    def _names(self, form: re.Pattern[str]) -> list[str]:
        """The sorted names of one form; the names alone, because to sort paths takes long."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []  # noqa: PTH208
        return sorted(filter(form.fullmatch, names))

    def good(self) -> Iterator[Record]:
        """All records that can be read."""
        for path in self.files():
            with contextlib.suppress(CorruptArtefact):
                yield Record.from_file(path)

    def file_beside(self, sha256: str) -> Path:
        """The place of a file that belongs to a record."""
        return self.folder / "beside" / sha256

    def all(self, references: Mapping[str, str], version: str | None = None) -> list[Record]:
        """The records of some derivations in their order, or those of one version.

        ``references`` has the version that each derivation made last. A bad record does not hide
        the good records: it is logged as a warning. Raises CorruptArtefact naming the bad record if
        no good record has the version, because the bad one may have been the record of it.
        """
        records, fault = [], None
        for path in self._files(references, version):
            try:
                records.append(Record.from_file(path))
            except CorruptArtefact as error:
                fault = fault or error
        fitting = [record for record in records if version in (None, record.version)]
        if fault and not fitting:
            raise fault
        if fault:
            log.warning("%s", fault)
        return fitting

    def _files(self, references: Mapping[str, str], version: str | None) -> Iterator[Path]:
        """The files that may tell of a version; a derivation's newest record comes first."""
        earlier = self.earlier_versions()
        for derivation, newest in references.items():
            if version in (None, newest) and os.path.lexists(self.path(derivation)):
                yield self.path(derivation)
            for other in earlier.get(derivation, []):
                if version in (None, other):
                    yield self.folder / f"{derivation}.{other}.json"

    def earlier_versions(self) -> dict[str, list[str]]:
        """The versions that derivations made before their newest one; few derivations have any."""
        versions: dict[str, list[str]] = {}
        for name in self._names(EARLIER):
            derivation, version = name.removesuffix(".json").split(".")
            versions.setdefault(derivation, []).append(version)
        return versions


@dataclass(frozen=True)
class Beside:
    """The files that belong to the record of a version; they are no part of the version."""

    records: Records
    derivation: str
    version: str

    def digests(self) -> dict[str, str]:
        """The sha256 of each file by name; empty if the store has no record."""
        record = self.records.of(self.derivation, self.version)
        return record.beside if record else {}

    def read(self, name: str) -> bytes | None:
        """The checked bytes of a file; None if the record names none.

        Raises CorruptArtefact naming the file.
        """
        sha256 = self.digests().get(name)
        if sha256 is None:
            return None
        path = self.records.file_beside(sha256)
        mend = f"remove {self.records.path(self.derivation)} and run again"
        try:
            content = read_regular(path)
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror}); {mend}") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptArtefact(f"{path}: sha256 is not the one in its name; {mend}")
        return content
