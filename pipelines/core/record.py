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
    """How a version came about. No name of an asset decides anything in it.

    ``makes`` names the view that the version is read through. ``decides`` is what the derivation is
    the digest of: making, code, recipe part, seed, versions of the inputs, libraries. ``parents``
    are (input, version, derivation), in the order of the making's inputs. ``made`` holds what does
    not decide the result: the key that it was made under, git commit, device, threads, times, the
    Dagster run.
    """

    version: str
    makes: str
    decides: Mapping[str, Any]
    parents: tuple[Mapping[str, str], ...]
    made: Mapping[str, Any]

    @property
    def derivation(self) -> str:
        """The sha256 of what decides the result, known before the work."""
        return digest(self.decides)

    @property
    def first_key(self) -> str:
        """The key that it was made under; other keys may refer to it since."""
        return str(self.made.get("key", "unnamed"))

    @property
    def reads(self) -> frozenset[str]:
        """What its making read, by the names of the parameters: ``examples``, ``tokenizer``."""
        return frozenset(parent["input"].split("/")[0] for parent in self.parents)

    def to_bytes(self) -> bytes:
        """The record's file, with a digest of itself inside."""
        content = {
            "version": self.version,
            "makes": self.makes,
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
            isinstance(self.makes, str)
            and all(isinstance(part, Mapping) for part in (decides, inputs, decides["recipe"]))
            and all(isinstance(version, str) for version in inputs.values())
            and all(isinstance(parent["input"], str) for parent in self.parents)
            and isinstance(self.made, Mapping)
            and all(HEX.fullmatch(link) for link in (self.version, *links))
        )
