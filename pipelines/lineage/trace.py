"""Lineage, read from manifests and records alone: no database is asked.

``trace`` goes from an asset, a folder or a bare weights file back to the sources and hashes every
file, manifest and record on the way again.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact, read_manifest
from pipelines.core.identity import file_digest
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.sources import kinds as sources
from pipelines.interop import kinds as weights
from pipelines.lineage.views import VIEWS, view_of

DEEPEST = 200  # artefacts one above the other: far more than any recipe has
LINEAGE = "lineage.json"  # of an export: what it was made of, and its files' digests


@dataclass(frozen=True)
class Node:
    """One artefact of a lineage, verified, with the record that tells how it came about."""

    artefact: Artefact
    record: Record
    parents: tuple[Node, ...]

    def walk(self) -> list[Node]:
        """This node and all it hangs on, each once, parents first."""
        found: dict[tuple[str, str], Node] = {}
        seen: set[int] = set()  # a node that many hang on is entered once, whatever its paths

        def visit(node: Node) -> None:
            if id(node) in seen:
                return
            seen.add(id(node))
            for parent in node.parents:
                visit(parent)
            found.setdefault((node.artefact.key, node.artefact.version), node)

        visit(self)
        return list(found.values())


def locate(store: Store, target: str) -> Artefact:
    """The artefact that an asset key, a version folder or a file's bytes stand for.

    An exported folder, or a file of it, stands for what was exported. Raises StoreError when the
    store does not know it.
    """
    path = Path(target)
    if path.is_file():
        return _locate_file(store, path)
    if (path / MANIFEST).is_file():
        return _locate_folder(store, path.resolve())
    if (path / LINEAGE).is_file():
        return _locate_export(store, path, None)
    if target and path.exists():
        raise StoreError(
            f"{target}: no version folder ({MANIFEST}) and no export ({LINEAGE}); name one, an"
            " asset or a file"
        )
    key, _, prefix = target.partition("@")
    if key.split("/")[0] not in VIEWS:
        raise StoreError(
            f"{target}: no such file, version folder or asset; {_nearest(store, target)}"
        )
    if not prefix:
        return _current(store, key)
    versions = [v for v in store.versions(key) if v.startswith(prefix)]
    if len(versions) != 1:
        mend = "give more digits" if versions else "dragon show names them"
        raise StoreError(f"{target}: {len(versions)} versions begin so; {mend}")
    return store.open(key, versions[0], view_of(key))


def _current(store: Store, key: str) -> Artefact:
    """The current version of a key; StoreError names the nearest key where it was never made."""
    try:
        return store.current(key, view_of(key))
    except StoreError:
        if key in store.keys():  # noqa: SIM118 -- of a store, not of a mapping
            raise
        raise StoreError(f"{key}: not made yet; {_nearest(store, key)}") from None


def _nearest(store: Store, target: str) -> str:
    near = difflib.get_close_matches(target[:300], store.keys(), n=1)
    return f"did you mean {near[0]!r}?" if near else "dragon ls lists them"


def _locate_file(store: Store, path: Path) -> Artefact:
    """The artefact, or the export, that a file belongs to by its bytes."""
    sha256 = file_digest(path)
    found = store.find(sha256)
    if found is not None:
        key, version, _ = found
        return store.open(key, version, view_of(key))
    if (path.parent / LINEAGE).is_file():
        return _locate_export(store, path.parent, None if path.name == LINEAGE else path.name)
    raise StoreError(
        f"{path}: no manifest in {store.root} lists these bytes; the file was changed, or made"
        f" elsewhere (choose another store with --store), or exported (put it beside its {LINEAGE})"
        " or saved again (trace the file that it was saved from)"
    )


def _locate_export(store: Store, folder: Path, name: str | None) -> Artefact:
    """What a folder was exported from, if ``name`` (or every file) is as it was exported.

    Raises StoreError where it is not, or where the store does not hold what was exported, and
    CorruptArtefact for a list of its files that cannot be one.
    """
    listing = folder / LINEAGE
    try:
        told = json.loads(listing.read_bytes())
        key, version = str(told["key"]), str(told["version"])
        exported = {str(file): str(sha256) for file, sha256 in told["exported"].items()}
    except OSError as error:
        raise StoreError(f"{listing}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptArtefact(
            f"{listing}: lists no exported files; it was changed, or an earlier program wrote it;"
            " export again"
        ) from None
    for file in exported if name is None else [name]:
        path = folder / file
        if file not in exported or Path(file).name != file or not path.is_file():
            wrong = "not of that export" if file not in exported else "missing"
        elif file_digest(path) != exported[file]:
            wrong = "its bytes are not the exported ones"
        else:
            continue
        raise StoreError(
            f"{path}: {wrong} ({LINEAGE} beside it is of {key} {version[:12]}); what was saved"
            " again has no lineage: trace the file that it was saved from, or export again"
        )
    if key.split("/")[0] not in VIEWS or version not in store.versions(key):
        raise StoreError(
            f"{folder}: exported from {key} {version[:12]}, which {store.root} does not hold;"
            " choose its store with --store"
        )
    return store.open(key, version, view_of(key))


def _locate_folder(store: Store, folder: Path) -> Artefact:
    """The artefact whose folder this is, or of which it is a faithful copy."""
    root, version = store.root.resolve(), folder.name
    inside = folder.is_relative_to(root)
    key = folder.parent.relative_to(root).as_posix() if inside else store.owner(version)
    if key is None:
        raise StoreError(f"{folder}: no version of {store.root}; name a folder inside it")
    if not inside:
        Artefact(key, version, "", folder, read_manifest(folder, version)).verify()
    return store.open(key, version, view_of(key))


def trace(store: Store, artefact: Artefact) -> Node:
    """The verified lineage of an artefact. Raises CorruptArtefact naming what does not fit."""
    return _trace(store, artefact, {})


def _trace(
    store: Store,
    artefact: Artefact,
    seen: dict[tuple[str, str, str], Node],
    below: frozenset[tuple[str, str, str]] = frozenset(),
) -> Node:
    """``below``: the artefacts on the way here, which none of its own parents can be."""
    mark = (artefact.key, artefact.version, artefact.derivation)
    if mark in seen:
        return seen[mark]
    if mark in below or len(below) == DEEPEST:
        what = "itself" if mark in below else f"{DEEPEST} others, one after the other"
        raise CorruptArtefact(
            f"{artefact.key}: the records say that version {artefact.version[:12]} was made from"
            f" {what}; remove the record that is false and run again"
        )
    key, version, derivation = mark
    record = None
    if derivation:
        record = store.record(key, derivation, version) or store.record(key, derivation)
    if record is None:
        raise CorruptArtefact(
            f"{artefact.key}: no record tells how version {artefact.version[:12]} came about;"
            " materialize it again"
        )
    if record.version != version:
        raise CorruptArtefact(
            f"{key}: the record {derivation[:12]} tells of version {record.version[:12]}, not"
            f" {version[:12]}"
        )
    artefact.verify()
    stated = {parent["key"]: parent["version"] for parent in record.parents}
    if stated != record.decides["inputs"]:
        raise CorruptArtefact(f"{artefact.key}: the record's parents are not its inputs")
    parents = tuple(
        _trace(
            store,
            store.open(p["key"], p["version"], view_of(p["key"]), p["derivation"]),
            seen,
            below | {mark},
        )
        for p in record.parents
    )
    seen[mark] = Node(artefact, record, parents)
    return seen[mark]


def tree(node: Node) -> list[str]:
    """The lineage as lines of a tree; what was shown before is only named again."""
    return _tree(node, "", "", set())


def _tree(node: Node, lead: str, below: str, seen: set[tuple[str, str]]) -> list[str]:
    artefact = node.artefact
    mark = (artefact.key, artefact.version)
    again = mark in seen and bool(node.parents)
    seen.add(mark)
    note = "see above" if again else _note(node)
    line = f"{lead}{artefact.key}  {artefact.version[:12]}" + (f"  {note}" if note else "")
    lines = [line]
    children = () if again else node.parents
    for number, parent in enumerate(children):
        last = number == len(children) - 1
        branch, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
        lines += _tree(parent, below + branch, below + deeper, seen)
    return lines


def _note(node: Node) -> str:
    """What is worth knowing of one artefact: documents, source, commit.

    Raises CorruptArtefact where its files or its record have not the shape of their kind.
    """
    try:
        return ", ".join(_facts(node))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        artefact = node.artefact
        raise CorruptArtefact(
            f"{artefact.key}: version {artefact.version[:12]} or its record"
            f" {node.record.derivation[:12]} is no {artefact.key.split('/')[0]} ({error!r});"
            " remove both and run again"
        ) from None


def _facts(node: Node) -> list[str]:
    artefact = node.artefact
    facts: list[str] = []
    if isinstance(artefact, Documents):
        ledger = artefact.ledger()
        divided = sum(step.added for step in ledger.steps)
        what = f"parts of {ledger.documents_in:,} documents" if divided else "documents"
        facts.append(f"{ledger.kept.total():,} of {ledger.documents_in + divided:,} {what}")
    figures: dict[str, Any] = artefact.figures()
    if artefact.key.startswith("raw_text/"):
        facts += [f"{figures['documents']:,} documents", *_origin(node, sources.catalogue())]
    if artefact.key.startswith("weights/"):
        count = int(figures["source_files"])
        facts += [f"{count:,} file{'s' * (count > 1)}", *_origin(node, weights.catalogue())]
    if "parameters" in figures:
        commit = node.record.made.get("git_commit")
        dirty = " with changes" if node.record.made.get("git_dirty") else ""
        facts += [
            f"{figures['parameters']:,} parameters",
            f"commit {commit[:10]}{dirty}" if commit else "no commit",
        ]
    return facts


def _origin(node: Node, kinds: Mapping[str, Any]) -> tuple[str, str]:
    """Where a source's bytes come from, and their licence; ``kinds`` is a catalogue of sources."""
    section = node.record.decides["recipe"]
    return kinds[section["kind"]].origin.format(**section), section["licence"]
