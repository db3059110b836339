"""Lineage, read from manifests and records alone: no database is asked.

``trace`` goes from an asset, a folder or a bare weights file back to the sources and hashes every
file, manifest and record on the way again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts import (
    MANIFEST,
    VIEWS,
    Artefact,
    CorruptArtefact,
    Documents,
    read_manifest,
    view_of,
)
from pipelines.identity import file_digest
from pipelines.store import Record, Store, StoreError

DEEPEST = 500  # artefacts one above the other: far more than any recipe has
SOURCES = {
    "package": "{package}=={version} {file}",
    "folder": "folder, {glob}",
    "url": "{url}",
    "hub": "{dataset} at {revision:.12}",
    "generated": "generated: {generator}",
}
WEIGHTS = {
    "package": "{package}=={version}",
    "folder": "folder",
    "hub": "{repository} at {revision:.12}",
}


@dataclass(frozen=True)
class Node:
    """One artefact of a lineage, verified, with the record that tells how it came about."""

    artefact: Artefact
    record: Record
    parents: tuple[Node, ...]

    def walk(self) -> list[Node]:
        """This node and all it hangs on, each once, parents first."""
        found: dict[tuple[str, str], Node] = {}
        for parent in self.parents:
            for node in parent.walk():
                found.setdefault((node.artefact.key, node.artefact.version), node)
        found.setdefault((self.artefact.key, self.artefact.version), self)
        return list(found.values())


def locate(store: Store, target: str) -> Artefact:
    """The artefact that an asset key, a version folder or a file's bytes stand for.

    Raises StoreError when the store does not know it.
    """
    path = Path(target)
    if path.is_file():
        found = store.find(file_digest(path))
        if found is None:
            raise StoreError(
                f"{target}: no manifest in {store.root} lists these bytes; the file was changed,"
                " or made elsewhere (choose another store with --store)"
            )
        key, version, _ = found
        return store.open(key, version, view_of(key))
    if (path / MANIFEST).is_file():
        return _locate_folder(store, path.resolve())
    key, _, prefix = target.partition("@")
    if key.split("/")[0] not in VIEWS:
        raise StoreError(f"{target}: no such file, version folder or asset; dragon ls lists them")
    if not prefix:
        return store.current(key, view_of(key))
    versions = [v for v in store.versions(key) if v.startswith(prefix)]
    if len(versions) != 1:
        mend = "give more digits" if versions else "dragon show names them"
        raise StoreError(f"{target}: {len(versions)} versions begin so; {mend}")
    return store.open(key, versions[0], view_of(key))


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
    except (KeyError, TypeError, AttributeError) as error:
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
        facts += [f"{figures['documents']:,} documents", *_origin(node, SOURCES)]
    if artefact.key.startswith("weights/"):
        count = int(figures["source_files"])
        facts += [f"{count:,} file{'s' * (count > 1)}", *_origin(node, WEIGHTS)]
    if "parameters" in figures:
        commit = node.record.made.get("git_commit")
        dirty = " with changes" if node.record.made.get("git_dirty") else ""
        facts += [
            f"{figures['parameters']:,} parameters",
            f"commit {commit[:10]}{dirty}" if commit else "no commit",
        ]
    return facts


def _origin(node: Node, forms: Mapping[str, str]) -> tuple[str, str]:
    """Where a source's bytes come from, and their licence."""
    decides = node.record.decides["recipe"]
    return forms[decides["kind"]].format(**decides), decides["licence"]
