"""What a verification found: faults, files to which nothing refers, and how much it read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.artefact import CorruptArtefact

Mark = tuple[str, str]
"""A derivation and a version that it made: what one record is of."""


class Fault(NamedTuple):
    """A fault of a store: where it is, what is wrong, how to mend it."""

    path: str
    wrong: str
    mend: str

    @property
    def line(self) -> str:
        """The fault on one line."""
        return "; ".join(filter(None, (f"{self.path}: {self.wrong}", self.mend)))


class Stray(NamedTuple):
    """A file or a folder to which nothing in the store refers, and its size in bytes."""

    path: str
    bytes: int


@dataclass
class Verified:
    """What was verified of one store. ``gone`` counts records of versions that were removed."""

    store: str
    faults: list[Fault] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artefacts: int = 0
    files: int = 0
    bytes: int = 0
    records: int = 0
    beside: int = 0
    references: int = 0
    pins: int = 0
    work_areas: int = 0
    publications: int = 0
    gone: int = 0

    def add(self, path: Path, wrong: str, mend: str) -> None:
        """Add a fault, once."""
        fault = Fault(str(path), wrong, mend)
        if fault not in self.faults:
            self.faults.append(fault)

    def add_error(self, error: CorruptArtefact) -> None:
        """Add a fault that another reader of the store told: ``path: what is wrong; mend``."""
        path, _, rest = str(error).partition(": ")
        wrong, _, mend = rest.rpartition("; ")
        self.add(Path(path), wrong or rest, mend if wrong else "")

    def stray(self, path: Path) -> None:
        """Add a file or a folder to which nothing refers."""
        self.strays.append(Stray(str(path), size_of(path)))

    def counts(self) -> dict[str, Any]:
        """How much was verified."""
        names = ("artefacts", "files", "bytes", "records", "beside", "references", "pins")
        more = ("work_areas", "publications", "gone")
        return {name: getattr(self, name) for name in (*names, *more)}


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(size_of(inner) for inner in path.iterdir())
        return path.lstat().st_size
    except OSError:  # it was removed meanwhile
        return 0
