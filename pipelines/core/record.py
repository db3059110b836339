"""Records: how a version came about, each with a digest of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import HEX, canonical, digest
from pipelines.text.regular import read_regular


class StoreError(ValueError):
    """The store cannot do what was asked; the message says why and the mend."""


@dataclass(frozen=True)
class Record:
    """How a version came about.

    ``decides`` is what the derivation is the digest of: key, code, recipe part, seed, input
    versions and libraries. ``parents`` are (key, version, derivation). ``made`` holds what does
    not decide the result: git commit, device, threads, times, the Dagster run.
    """

    version: str
    decides: Mapping[str, Any]
    parents: tuple[Mapping[str, str], ...]
    made: Mapping[str, Any]

    @property
    def derivation(self) -> str:
        """The sha256 of what decides the result, known before the work."""
        return digest(self.decides)

    @property
    def key(self) -> str:
        """The asset's key."""
        return str(self.decides["key"])

    @property
    def reads(self) -> frozenset[str]:
        """What its making read, by the names of the parameters: ``examples``, ``tokenizer``."""
        return frozenset(str(parameter) for parameter, _ in self.decides.get("reads", ()))

    def to_bytes(self) -> bytes:
        """The record's file, with a digest of itself inside."""
        content = {
            "version": self.version,
            "decides": self.decides,
            "parents": list(self.parents),
            "made": self.made,
        }
        return canonical({**content, "digest": digest(content)})

    @classmethod
    def from_file(cls, path: Path) -> Record:
        """Read and check a record: its own digest, its shape, and its name against what it says.

        Raises CorruptArtefact naming the file.
        """
        try:
            raw = read_regular(path)
            content = json.loads(raw)
            stated = content.pop("digest")
            faithful = raw == canonical({**content, "digest": stated})
            record = cls(**{**content, "parents": tuple(content["parents"])})
            shaped = record.has_shape()
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CorruptArtefact(f"{path}: not a record; remove it and run again") from None
        if not faithful or stated != digest(content):
            raise CorruptArtefact(f"{path}: its digest does not fit; remove it and run again")
        if not shaped:
            raise CorruptArtefact(f"{path}: not shaped as a record; remove it and run again")
        if path.name not in (f"{record.derivation}.json", record.earlier_name):
            raise CorruptArtefact(f"{path}: tells of derivation {record.derivation[:12]}")
        return record

    @property
    def earlier_name(self) -> str:
        """Its file's name once the derivation has come out as another version."""
        return f"{self.derivation}.{self.version}.json"

    def has_shape(self) -> bool:
        """Whether every part is of the kind that readers rely on; a digest proves no shape."""
        decides, inputs = self.decides, self.decides["inputs"]
        links = [part for p in self.parents for part in (p["version"], p["derivation"])]
        return (
            all(isinstance(part, Mapping) for part in (decides, inputs, decides["recipe"]))
            and all(isinstance(key, str) for key in (decides["key"], *inputs.values()))
            and all(isinstance(parent["key"], str) for parent in self.parents)
            and isinstance(self.made, Mapping)
            and all(len(pair) == 2 for pair in decides.get("reads", ()))
            and all(HEX.fullmatch(link) for link in (self.version, *links))
        )


def record_of(key: str, path: Path) -> Record:
    record = Record.from_file(path)
    if record.key != key:
        raise CorruptArtefact(f"{path}: tells of {record.key}; remove it and run again")
    return record
