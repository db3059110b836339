"""A survey of the small files of a store: its records, its manifests and its references.

A survey remembers the state of each file (time of change, size, inode). So the next survey reads
only the files that have changed since.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.core.artefact import MANIFEST, CorruptArtefact, read_manifest
from pipelines.core.identity import HEX
from pipelines.core.record import Record
from pipelines.core.records import EARLIER
from pipelines.core.references import CURRENT, KEY, OBJECTS, RECORDS, TO_CURRENT, TO_VERSION

# A clock of a file system may stand still for some milliseconds. A file that changed this shortly
# before it was read may change again without a new time, so its state is not remembered.
SETTLED_NS = 2_000_000_000

State = list[int]
Files = Iterator[tuple[str, str, State]]  # a path as text: a Path costs more than a stat


@dataclass(frozen=True)
class Survey:
    """What the small files say, each with its state; all of it can be written as JSON.

    ``records``: by file name ``[state, told]``; ``told`` has the ``version``, ``derivation``,
    ``makes``, ``parents`` as [input, version, derivation], ``key`` at its making, ``finished``,
    ``libraries`` and the ``sha256`` of the file. ``manifests``: by version ``[state, told]``;
    ``told`` has the size and the sha256 of each file by name. ``references``: by key ``[state,
    told]``; ``told`` has the version of each derivation, and ``current``. A file that is damaged
    has ``{"fault": the fault}`` in place of what it tells.
    """

    records: dict[str, Any] = field(default_factory=dict)
    manifests: dict[str, Any] = field(default_factory=dict)
    references: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The survey for ``Survey(**...)``."""
        return asdict(self)


NOTHING = Survey()


def survey(root: Path, before: Survey = NOTHING) -> Survey:
    """The survey of the store in ``root``; what has not changed is taken from an earlier one."""
    return Survey(
        _told(_record_files(root / RECORDS), before.records, _record),
        _told(_manifest_files(root / OBJECTS), before.manifests, _manifest),
        _told(_reference_folders(root), before.references, _references),
    )


def _told(
    files: Files, before: dict[str, Any], read: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, path, state in files:
        known = before.get(name)
        if known is not None and known[0] == state:
            told[name] = known
            continue
        is_settled = state[0] < time.time_ns() - SETTLED_NS
        try:
            told[name] = [state if is_settled else None, read(Path(path))]
        except FileNotFoundError:
            continue  # removed between the listing and the reading
        except ValueError as error:
            told[name] = [None, {"fault": str(error)}]
    return told


def _state(found: os.stat_result) -> State:
    return [found.st_ctime_ns, found.st_size, found.st_ino]


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return list(entries)


def _record_files(folder: Path) -> Files:
    for entry in _listed(folder):
        stem = entry.name.removesuffix(".json")
        if stem != entry.name and (HEX.fullmatch(stem) or EARLIER.fullmatch(entry.name)):
            yield entry.name, entry.path, _state(entry.stat(follow_symlinks=False))


def _record(path: Path) -> dict[str, Any]:
    record = Record.from_file(path)
    return {
        "version": record.version,
        "derivation": record.derivation,
        "makes": record.makes,
        "parents": [[p["input"], p["version"], p["derivation"]] for p in record.parents],
        "key": record.first_key,
        "finished": str(record.made.get("finished", "")),
        "libraries": dict(record.decides.get("libraries", {})),
        "sha256": hashlib.sha256(record.to_bytes()).hexdigest(),
    }


def _manifest_files(folder: Path) -> Files:
    for entry in _listed(folder):
        if HEX.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            path = f"{entry.path}/{MANIFEST}"
            try:
                yield entry.name, path, _state(os.lstat(path))
            except OSError:
                yield entry.name, path, [0, 0, 0]  # its reading names the fault


def _manifest(path: Path) -> dict[str, Any]:
    files = read_manifest(path.parent, path.parent.name)
    return {name: [entry.size, entry.sha256] for name, entry in files.items()}


def _reference_folders(root: Path) -> Files:
    """The folders of keys; a folder's own state changes when one of its links is replaced."""
    for scope in _listed(root):
        if scope.name in (OBJECTS, RECORDS) or not scope.is_dir(follow_symlinks=False):
            continue
        for name in _listed(Path(scope.path)):
            key = f"{scope.name}/{name.name}"
            if KEY.fullmatch(key) and name.is_dir(follow_symlinks=False):
                yield key, name.path, _state(name.stat(follow_symlinks=False))


def _references(folder: Path) -> dict[str, Any]:
    """The links of a key. What is no link of the store is left out, as ``References.all`` does."""
    versions, current = {}, ""
    for entry in _listed(folder):
        if not entry.is_symlink():
            continue
        target = os.readlink(entry.path)  # noqa: PTH115 - a Path costs more than the call
        if entry.name == CURRENT and TO_CURRENT.fullmatch(target):
            current = target
        elif HEX.fullmatch(entry.name) and (match := TO_VERSION.fullmatch(target)):
            versions[entry.name] = match[1]
    return {"versions": versions, CURRENT: current}


def faults(known: Survey) -> list[str]:
    """The faults of damaged records and manifests, each in one line."""
    parts = (known.records, known.manifests)
    return [told["fault"] for part in parts for _, told in part.values() if "fault" in told]


def require_whole(known: Survey) -> None:
    """Raise CorruptArtefact naming the first damaged file: an answer about all would lack it."""
    if found := faults(known):
        more = f" (and {len(found) - 1} more such files)" if len(found) > 1 else ""
        raise CorruptArtefact(f"{found[0]}{more}")
