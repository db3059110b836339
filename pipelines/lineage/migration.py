"""Moves an earlier store to today's layout: keys of two parts, artefacts under their digests.

The folders of the earlier kinds are renamed into ``.earlier`` first, because a key of today may
have the name of an earlier one (``documents/documents``). A version moves by a rename, and no byte
in it changes. A record keeps ``decides``, so its derivation stays the same. It gains the name of
its view, and its key becomes a reference. Each step can be repeated without effect, so the next
migration completes a move that was killed. Nothing is removed before its replacement is on the
disk, and nothing moves before every key and every record of it is known to be sound.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.artefact import Artefact, CorruptArtefact, read_manifest
from pipelines.core.disk import lock_file, make_folder, replace, sync
from pipelines.core.earlier import ASIDE, EARLIER_RECORDS, earlier_keys
from pipelines.core.identity import HEX, digest
from pipelines.core.record import Record, StoreError
from pipelines.core.references import CURRENT, OBJECTS, RECORDS, References
from pipelines.text.regular import read_regular

VIEWS = {
    "raw_text": "RawText",
    "documents": "Documents",
    "word_vectors": "WordVectors",
    "examples": "Examples",
    "contamination": "Contamination",
    "tokenizer": "TokenizerFiles",
    "token_shards": "TokenShards",
    "weights": "Weights",
    "foundation": "Checkpoint",
    "assistant": "Checkpoint",
    "classifier": "Checkpoint",
    "translator": "Checkpoint",
    "domain": "Checkpoint",
    "evaluation": "Evaluation",
    "report": "Report",
}
"""The view of each kind of asset; the kind was the first part of an earlier key."""


class Moved(NamedTuple):
    """An earlier key, the new key of its versions, and the number of its records."""

    earlier: str
    key: str
    records: int


def migrate(root: Path) -> Iterator[Moved]:
    """Move all keys of the earlier layout, one at a time.

    Raises StoreError while another process writes, for an earlier key of an unknown kind, and for a
    link in place of a folder. Raises CorruptArtefact for a corrupt record. Nothing was moved then.
    """
    with lock_file(root / ".work" / "lock") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{root}: another process is writing in the store; end it and try again"
            ) from None
        aside = root / ASIDE
        places = {key: place for place in (root, aside) for key in earlier_keys(place)}
        plan = {key: _records(places[key], key, places) for key in sorted(places)}
        for kind in sorted({key.split("/")[0] for key, place in places.items() if place == root}):
            make_folder(aside)
            (root / kind).rename(aside / kind)
            sync(aside)
        for earlier, records in plan.items():
            yield from _move(root, aside / earlier, earlier, records)
        with contextlib.suppress(OSError):  # other files stay
            aside.rmdir()
        for area in (root / ".work").glob("*/key"):
            area.unlink()


Records = dict[str, tuple[str, Record]]  # by file name: the key of today, and today's record


def _records(place: Path, earlier: str, everything: Collection[str]) -> Records:
    """The records of an earlier key as records of today, each with its key.

    Raises StoreError for a kind that Dragon never made, and CorruptArtefact naming a bad record.
    """
    folder = place / earlier
    for entry in (*folder.iterdir(), *(folder / EARLIER_RECORDS).glob("*")):
        if entry.is_symlink():
            raise StoreError(f"{entry}: a link; put what it leads to in its place")
    key = _key(earlier, None, everything)
    records = {}
    for path in sorted((folder / EARLIER_RECORDS).glob("*.json")):
        content = _content(path)
        key = _key(earlier, content, everything)
        records[path.name] = (key, _record(path, earlier, key, content))
    for today in {key, *(other for other, _ in records.values())}:
        References(place).folder(today)  # raises StoreError for what is no key today
    return records


def _move(root: Path, folder: Path, earlier: str, records: Records) -> Iterator[Moved]:
    for place in sorted(path for path in folder.iterdir() if HEX.fullmatch(path.name)):
        _move_version(root, place, root / OBJECTS / place.name)
    references, aside = References(root), _aside(root)
    make_folder(root / RECORDS)
    current = {key: references.current(key) for key, _ in records.values()}  # of a killed move
    for name, (key, record) in records.items():
        replace(root / RECORDS / name, record.to_bytes(), aside)
        newest = f"{record.derivation}.json"
        if name == newest or newest not in records:
            references.refer(key, record.derivation, record.version, aside)
    derivation, version = _current(folder)
    if f"{derivation}.json" in records:
        current[records[f"{derivation}.json"][0]] = derivation, version
    for key, pointer in current.items():
        if pointer:  # the last reference becomes the current one
            references.refer(key, *pointer, aside)
    (folder / CURRENT).unlink(missing_ok=True)
    _remove(folder / EARLIER_RECORDS, aside)
    for empty in (folder, *folder.parents):
        if empty == root:
            break
        with contextlib.suppress(OSError):  # a folder with other files stays
            empty.rmdir()
    counts = Counter(key for key, _ in records.values())
    yield from (Moved(earlier, key, count) for key, count in sorted(counts.items()))
    if not counts:  # its versions are in the store, and no key can refer to them
        yield Moved(earlier, "", 0)


def _move_version(root: Path, version: Path, final: Path) -> None:
    """Move a version's folder. If the new place has a sound copy, remove the old folder."""
    make_folder(final.parent)
    if final.exists():
        try:
            manifest = read_manifest(final, final.name)
            Artefact("", final.name, "", final, manifest).verify()
        except CorruptArtefact:
            aside = _aside(root)
            final.rename(aside)
            version.rename(final)
            shutil.rmtree(aside)
        else:
            _remove(version, _aside(root))
            return
    else:
        version.rename(final)
    sync(final.parent)


def _remove(folder: Path, aside: Path) -> None:
    """Remove a folder whole or not at all: a sweep removes what a killed process leaves aside."""
    if folder.is_dir():
        folder.rename(aside)
        shutil.rmtree(aside)


def _aside(root: Path) -> Path:
    return root / ".work" / f"{uuid.uuid4().hex}.partial"


def _content(path: Path) -> dict[str, Any]:
    """The checked content of an earlier record. Raises CorruptArtefact naming the file."""
    try:
        content: dict[str, Any] = json.loads(read_regular(path))
        if content.pop("digest") != digest(content):
            raise ValueError("its digest does not fit")
        if path.name.split(".")[0] != digest(content["decides"]):
            raise ValueError("it is the record of another derivation")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path}: is not a record ({error}); remove it and try again"
        ) from None
    return content


def _record(path: Path, earlier: str, key: str, content: dict[str, Any]) -> Record:
    """Today's record of the same derivation; ``decides`` stays the same to the byte."""
    try:
        parents = tuple(
            {"input": p["key"], "version": p["version"], "derivation": p["derivation"]}
            for p in content["parents"]
        )
        view = VIEWS[earlier.split("/")[0]]
        made = {**content["made"], "key": key}
        record = Record(content["version"], view, content["decides"], parents, made)
        if record.has_shape():
            return record
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    raise CorruptArtefact(f"{path}: has not the shape of a record; remove it and try again")


def _current(folder: Path) -> tuple[str, str]:
    """The derivation and version that were made or reused last; empty texts if unknown."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        pointer = json.loads(read_regular(folder / CURRENT))
        derivation, version = pointer["derivation"], pointer["version"]
        if HEX.fullmatch(derivation) and HEX.fullmatch(version):
            return derivation, version
    return "", ""


def _key(earlier: str, content: dict[str, Any] | None, everything: Collection[str]) -> str:
    """Today's key for an earlier key. Raises StoreError for an unknown kind of asset."""
    match earlier.split("/"):
        case ["raw_text" | "documents" | "word_vectors" as kind, corpus]:
            return f"{corpus}/{kind}"
        case ["evaluation", "word_vectors", corpus]:
            return f"{corpus}/word_vectors_evaluation"
        case ["examples", task]:
            return f"{_corpus_of(content)}/{task}_examples"
        case ["evaluation", "attention_ladder", recipe]:
            return f"{recipe}/attention_ladder"
        case ["evaluation", "foundation", recipe]:
            return f"{recipe}/foundation_evaluation"
        case ["evaluation", "assistant", recipe, task] if (
            f"translator/{recipe}/{task}" in everything
        ):
            return f"{recipe}/{task}_assistant_evaluation"
        case ["evaluation", _, recipe, task]:
            return f"{recipe}/{task}_evaluation"
        case [kind, recipe] if kind in VIEWS:
            return f"{recipe}/{kind}"
        case [kind, recipe, task] if kind in VIEWS:
            return f"{recipe}/{task}_{kind}"
    raise StoreError(f"{earlier}: is not of a kind that dragon ever made; move it out of the store")


def _corpus_of(content: dict[str, Any] | None) -> str:
    """The corpus that a task's examples were made from."""
    for parent in content["parents"] if content else ():
        if parent["key"].startswith("documents/"):
            return str(parent["key"].split("/")[1])
    return "unknown"
