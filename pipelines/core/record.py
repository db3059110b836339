"""Records: each says how a version was made, and holds a digest of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import HEX, canonical, digest
from pipelines.text.regular import read_regular


class StoreError(ValueError):
    """The store cannot do the operation; the message says why and how to mend it."""


@dataclass(frozen=True)
class Record:
    """How a version was made. The names of assets decide nothing in it.

    ``makes`` names the view class that reads the version. The derivation is the digest of
    ``decides``: making, code, recipe part, seed, versions of the inputs, libraries. ``parents`` are
    (input, version, derivation), in the order of the making function's inputs. ``made`` holds what
    does not decide the result: the key at the time, git commit, device, threads, times, the Dagster
    run, and under ``modules`` the start of the digest of each module of the code.
    """

    version: str
    makes: str
    decides: Mapping[str, Any]
    parents: tuple[Mapping[str, str], ...]
    made: Mapping[str, Any]

    @property
    def derivation(self) -> str:
        """The sha256 of what decides the result; it is known before the work."""
        return digest(self.decides)

    @property
    def first_key(self) -> str:
        """The key under which the version was made; other keys may refer to it by now."""
        return str(self.made.get("key", "unnamed"))

    @property
    def beside(self) -> dict[str, str]:
        """The sha256 of each file that belongs to the record and not to the version, by name."""
        return dict(self.made.get("beside", {}))

    @property
    def reads(self) -> frozenset[str]:
        """The parameters of the making function that read inputs: ``examples``, ``tokenizer``."""
        return frozenset(parent["input"].split("/")[0] for parent in self.parents)

    def to_bytes(self) -> bytes:
        """The bytes of the record's file, which include the record's own digest."""
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
        """Read a record and check its digest, its shape and the derivation in its file name.

        Raises CorruptArtefact naming the file.
        """
        try:
            raw = read_regular(path)
            content = json.loads(raw)
            stated = content.pop("digest")
            # The digest is that of the canonical bytes without it: so nothing is encoded again.
            bare = raw.replace(f'"digest":"{stated}",'.encode(), b"", 1)
            faithful = hashlib.sha256(bare).hexdigest() == stated
            record = cls(**{**content, "parents": tuple(content["parents"])})
            shaped = record.has_shape()
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CorruptArtefact(f"{path}: is not a record; remove it and run again") from None
        if not faithful:
            raise CorruptArtefact(
                f"{path}: the content does not match its digest; remove it and run again"
            )
        if not shaped:
            raise CorruptArtefact(
                f"{path}: has not the fields of a record; remove it and run again"
            )
        if path.name not in (f"{record.derivation}.json", record.earlier_name):
            raise CorruptArtefact(
                f"{path}: is the record of another derivation, {record.derivation[:12]};"
                " remove it and run again"
            )
        return record

    @property
    def earlier_name(self) -> str:
        """The name of its file once the same derivation has made another version."""
        return f"{self.derivation}.{self.version}.json"

    def has_shape(self) -> bool:
        """Whether every field has the type that readers rely on; a digest does not prove that."""
        decides, inputs = self.decides, self.decides["inputs"]
        links = [part for p in self.parents for part in (p["version"], p["derivation"])]
        return (
            isinstance(self.makes, str)
            and all(isinstance(part, Mapping) for part in (decides, inputs, decides["recipe"]))
            and all(isinstance(version, str) for version in inputs.values())
            and all(isinstance(parent["input"], str) for parent in self.parents)
            and isinstance(self.made, Mapping)
            and all(HEX.fullmatch(sha256) for sha256 in self.beside.values())
            and all(HEX.fullmatch(link) for link in (self.version, *links))
        )
