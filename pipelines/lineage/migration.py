"""An earlier store moved to today's layout: keys of two parts, artefacts under their digests.

Versions move by a rename, and no byte in them changes. A record keeps what it says of how its
version was decided, so its derivation stays as well; it gains the view that it is read through,
and its key becomes a reference. What is done twice gives the same, so a move that was killed is
made whole by the next one. Nothing is removed before what takes its place is on the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.artefact import Artefact, CorruptArtefact, read_manifest
from pipelines.core.disk import lock_file, make_folder, replace, sync
from pipelines.core.earlier import EARLIER_RECORDS, earlier_keys
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
"""The view of each kind of asset, which was the first part of an earlier key."""


class Moved(NamedTuple):
    """An earlier key, the key that refers to its versions now, and how many records it has."""

    earlier: str
    key: str
    records: int


def migrate(root: Path) -> Iterator[Moved]:
    """Move what a store has of the earlier layout, a key at a time.

    Raises StoreError while another process writes, or for an earlier key of an unknown kind, and
    CorruptArtefact for a record that cannot be trusted; what was moved by then stays moved.
    """
    with lock_file(root / ".work" / "lock") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{root}: another process is writing; end it and try again") from None
        everything = list(earlier_keys(root))
        for earlier in everything:
            yield _move(root, earlier, everything)
        for area in (root / ".work").glob("*/key"):
            area.unlink()


def _move(root: Path, earlier: str, everything: list[str]) -> Moved:
    folder = root / earlier
    for place in sorted(path for path in folder.iterdir() if HEX.fullmatch(path.name)):
        _move_version(place, root / OBJECTS / place.name)
    contents = {path: _content(path) for path in sorted((folder / EARLIER_RECORDS).glob("*.json"))}
    key = _key(earlier, contents, everything)
    references, aside = References(root), root / ".work" / f"{uuid.uuid4().hex}.partial"
    make_folder(root / RECORDS)
    for path, content in contents.items():
        record = _record(earlier, key, content)
        replace(root / RECORDS / path.name, record.to_bytes(), aside)
        if path.name == f"{record.derivation}.json":
            references.refer(key, record.derivation, record.version, aside)
    derivation, version = _current(folder)
    if derivation:  # what is referred to last is the current one
        references.refer(key, derivation, version, aside)
    shutil.rmtree(folder / EARLIER_RECORDS)
    (folder / CURRENT).unlink(missing_ok=True)
    for empty in (folder, *folder.parents):
        if empty == root:
            break
        with contextlib.suppress(OSError):  # somebody's own files stay
            empty.rmdir()
    return Moved(earlier, key, len(contents))


def _move_version(version: Path, final: Path) -> None:
    """Move a version's folder; of two with the same bytes the sound one stays."""
    make_folder(final.parent)
    if final.exists():
        try:
            manifest = read_manifest(final, final.name)
            Artefact("", final.name, "", final, manifest).verify()
        except CorruptArtefact:
            shutil.rmtree(final)
        else:
            shutil.rmtree(version)
            return
    version.rename(final)
    sync(final.parent)


def _content(path: Path) -> dict[str, Any]:
    """An earlier record, its digest checked. Raises CorruptArtefact naming it."""
    try:
        content: dict[str, Any] = json.loads(read_regular(path))
        if content.pop("digest") != digest(content):
            raise ValueError("its digest does not fit")
        if path.name.split(".")[0] != digest(content["decides"]):
            raise ValueError("it tells of another derivation")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(f"{path}: no record ({error}); remove it and try again") from None
    return content


def _record(earlier: str, key: str, content: dict[str, Any]) -> Record:
    """Today's record of the same derivation. What it decides by stays to the byte."""
    parents = tuple(
        {"input": p["key"], "version": p["version"], "derivation": p["derivation"]}
        for p in content["parents"]
    )
    view = VIEWS[earlier.split("/")[0]]
    made = {**content["made"], "key": key}
    return Record(content["version"], view, content["decides"], parents, made)


def _current(folder: Path) -> tuple[str, str]:
    """The derivation and version made or reused last; empty texts where nothing says."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        pointer = json.loads(read_regular(folder / CURRENT))
        derivation, version = pointer["derivation"], pointer["version"]
        if HEX.fullmatch(derivation) and HEX.fullmatch(version):
            return derivation, version
    return "", ""


def _key(earlier: str, contents: dict[Path, dict[str, Any]], everything: list[str]) -> str:
    """Today's key of an earlier one. Raises StoreError for a kind that there never was."""
    match earlier.split("/"):
        case ["raw_text" | "documents" | "word_vectors" as kind, corpus]:
            return f"{corpus}/{kind}"
        case ["evaluation", "word_vectors", corpus]:
            return f"{corpus}/word_vectors_evaluation"
        case ["examples", task]:
            return f"{_corpus_of(contents)}/{task}_examples"
        case ["evaluation", "attention_ladder", recipe]:
            return f"{recipe}/attention_ladder"
        case ["evaluation", "foundation", recipe]:
            return f"{recipe}/foundation_evaluation"
        case ["evaluation", "assistant", recipe, task] if (
            f"evaluation/translator/{recipe}/{task}" in everything
        ):
            return f"{recipe}/{task}_assistant_evaluation"
        case ["evaluation", _, recipe, task]:
            return f"{recipe}/{task}_evaluation"
        case [kind, recipe] if kind in VIEWS:
            return f"{recipe}/{kind}"
        case [kind, recipe, task] if kind in VIEWS:
            return f"{recipe}/{task}_{kind}"
    raise StoreError(f"{earlier}: no kind of asset that dragon ever made; move it out of the store")


def _corpus_of(contents: dict[Path, dict[str, Any]]) -> str:
    """The corpus that a task's examples were made from."""
    for content in contents.values():
        for parent in content["parents"]:
            if parent["key"].startswith("documents/"):
                return str(parent["key"].split("/")[1])
    return "unknown"
