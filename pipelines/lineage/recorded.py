"""All records of a store, read once: which artefacts there are, and from which others they come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.journal import Line, digest_of_file
from pipelines.core.record import Record
from pipelines.core.records import Records
from pipelines.core.references import RECORDS
from pipelines.core.store import Store
from pipelines.lineage.faults import Mark, Verified


@dataclass
class Survey:
    """The records of a store by mark, their files, and by derivation the errors of bad records."""

    store: Store
    folder: Records
    records: dict[Mark, Record] = field(default_factory=dict)
    files: list[tuple[Path, Record]] = field(default_factory=list)
    bad: dict[str, list[CorruptArtefact]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Survey:
        """Read all records of a store."""
        survey = cls(store, Records(store.root / RECORDS))
        for path in survey.folder.files():
            derivation = path.name[:64]
            try:
                record = Record.from_file(path)
            except CorruptArtefact as error:
                survey.bad.setdefault(derivation, []).append(error)
                continue
            survey.files.append((path, record))
            survey.records.setdefault((derivation, record.version), record)
        return survey

    def lineage(self, roots: Iterable[Mark]) -> set[Mark]:
        """Some marks and all from which they come, as far as the store has their records."""
        reached: set[Mark] = set()
        waiting = list(roots)
        while waiting:
            mark = waiting.pop()
            if mark not in reached and mark in self.records:
                reached.add(mark)
                waiting += parents_of(self.records[mark])
        return reached

    def named(self, roots: Iterable[Mark]) -> set[Mark]:
        """The lineage of some marks, with those of which the store has no record."""
        roots = list(roots)
        known = self.lineage(roots)
        return {*roots, *known, *(p for mark in known for p in parents_of(self.records[mark]))}

    def check_records(self, chosen: Collection[Mark], found: Verified) -> None:
        """Check that the parents of artefacts exist and fit, and that files beside records exist.

        An artefact whose folder was removed needs no parents: it is made again when it is wanted.
        """
        for path, record in self.files:
            if (path.name[:64], record.version) not in chosen:
                continue
            found.records += 1
            if not self._has_folder(record.version):
                found.gone += 1
                continue
            if {p["input"]: p["version"] for p in record.parents} != record.decides["inputs"]:
                found.add(path, "has parents that are not its inputs", "remove it and run again")
            for parent in record.parents:
                self._check_parent(path, parent["input"], _mark(parent), found)
            for name, sha256 in record.beside.items():
                kept = self.store.root / RECORDS / "beside" / sha256
                if not kept.exists():
                    wrong = f"is missing; {path.name} names it as {name}"
                    found.add(kept, wrong, f"remove {path} and run again")

    def _check_parent(self, path: Path, name: str, mark: Mark, found: Verified) -> None:
        derivation, version = mark
        mend = f"run its recipe again, or remove {path}"
        if mark not in self.records:
            for error in self.bad.get(derivation, ()):
                found.add_error(error)
            if derivation not in self.bad:
                wrong = f"the store has no record of its parent {name} ({version[:12]})"
                found.add(path, wrong, mend)
        if not self._has_folder(version):
            found.add(path, f"the store has not its parent {name} ({version[:12]})", mend)

    def _has_folder(self, version: str) -> bool:
        folder = self.store.folder(version)
        return folder.is_dir() and not folder.is_symlink()

    def check_journal(self, chosen: Collection[Mark], found: Verified) -> None:
        """Check the journal, and that it has each record as it lies in the store."""
        path = self.store.journal.path
        try:
            published = {line.record for line in self._lines(found)}
        except FileNotFoundError:
            if self.files:
                found.notes.append(
                    "the store has no journal yet (an earlier version of dragon made it), so a"
                    " record that was changed together with its digest does not show; the next"
                    " publication begins one"
                )
            return
        except OSError as error:
            found.add(path, f"cannot be read ({error.strerror})", "")
            return
        except ValueError as error:
            mend = "find out who changed it, then move it away: the next publication begins anew"
            found.add(path, str(error), mend)
            return
        for path, record in self.files:
            mark = path.name[:64], record.version
            if mark in chosen and digest_of_file(record) not in published:
                wrong = "was changed after its publication, or was never published here"
                wrong += ": the journal has no such record"
                found.add(path, wrong, "remove it and run again")

    def _lines(self, found: Verified) -> list[Line]:
        lines = list(self.store.journal.read())
        found.publications = len(lines)
        return lines


def parents_of(record: Record) -> list[Mark]:
    """The marks of a record's parents."""
    return [_mark(parent) for parent in record.parents]


def _mark(parent: Mapping[str, str]) -> Mark:
    return parent["derivation"], parent["version"]
