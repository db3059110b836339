"""Pins: versions that ``dragon gc`` keeps because a person said so, with the person's reason.

A pin is a small file ``records/pins/<derivation>.<version>.json`` with a digest of itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.disk import make_folder, replace, sync
from pipelines.core.identity import canonical, digest
from pipelines.text.regular import read_regular

PINS = "pins"


@dataclass(frozen=True)
class Pin:
    """A version that has to stay: its key at the time, when it was pinned (UTC), and why."""

    key: str
    version: str
    derivation: str
    reason: str
    pinned: str

    def to_bytes(self) -> bytes:
        """The bytes of its file, which include a digest of the other fields."""
        return canonical({**asdict(self), "digest": digest(asdict(self))})

    @classmethod
    def from_file(cls, path: Path) -> Pin:
        """Read a pin and check its digest. Raises CorruptArtefact naming the file."""
        mend = "remove it, and pin the version again"
        try:
            raw = read_regular(path)
            content = json.loads(raw)
            del content["digest"]
            pin = cls(**content)
            shaped = all(isinstance(value, str) for value in content.values())
            faithful = shaped and raw == pin.to_bytes()
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CorruptArtefact(f"{path}: is not a pin; {mend}") from None
        if not faithful:
            raise CorruptArtefact(f"{path}: the content does not match its digest; {mend}")
        if path.name != _name(pin.derivation, pin.version):
            raise CorruptArtefact(f"{path}: is the pin of another version; {mend}")
        return pin


class Pins:
    """The pins of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> list[Path]:
        """The files of all pins, sorted."""
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def all(self) -> Iterator[Pin]:
        """All pins, sorted by their files. Raises CorruptArtefact naming a file that is no pin."""
        return map(Pin.from_file, self.files())

    def add(self, artefact: Artefact, reason: str, aside: Path) -> Pin:
        """Pin a version; an earlier pin of it is replaced. ``aside`` is a free path."""
        pinned = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pin = Pin(artefact.key, artefact.version, artefact.derivation, reason, pinned)
        make_folder(self.folder)
        replace(self.folder / _name(pin.derivation, pin.version), pin.to_bytes(), aside)
        return pin

    def remove(self, pin: Pin) -> None:
        """Remove a pin; after the return it is gone for good."""
        (self.folder / _name(pin.derivation, pin.version)).unlink(missing_ok=True)
        sync(self.folder)


def _name(derivation: str, version: str) -> str:
    return f"{derivation}.{version}.json"
