"""Lineage, read from manifests and records alone, without a database.

``trace`` follows an asset, a folder or a bare weights file back to the sources. It hashes every
file, manifest and record on the way again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact, read_manifest
from pipelines.core.identity import HEX, file_digest
from pipelines.core.project import Project
from pipelines.core.record import Record, StoreError
from pipelines.core.references import CURRENT, KEY
from pipelines.core.store import Store
from pipelines.lineage.elsewhere import MLFLOW, of_mlflow, of_reply, reply_in
from pipelines.lineage.views import open_current, open_derivation, open_version, view_of
from pipelines.text.nearest import did_you_mean, nearest
from pipelines.text.paths import exists, is_file

NOTHING: frozenset[tuple[str, str]] = frozenset()
LISTED = "dragon ls lists the assets"
LONGEST = 4000  # characters of a path
DEEPEST = 200  # artefacts in one chain of parents: far more than any recipe has
LINEAGE = "lineage.json"  # the file of an export with its lineage and the digests of its files


@dataclass(frozen=True)
class Node:
    """One verified artefact of a lineage, with its record and its parents."""

    artefact: Artefact
    record: Record
    parents: tuple[Node, ...]

    def walk(self) -> list[Node]:
        """This node and all its ancestors, each once, parents first."""
        nodes: dict[tuple[str, str], Node] = {}
        seen: set[int] = set()  # a node with many children is visited once

        def visit(node: Node) -> None:
            if id(node) in seen:
                return
            seen.add(id(node))
            for parent in node.parents:
                visit(parent)
            nodes.setdefault((node.artefact.version, node.artefact.derivation), node)

        visit(self)
        return list(nodes.values())


def locate(store: Store, target: str) -> Artefact:
    """The artefact for an asset key, ``key@version``, a version folder or a file's bytes.

    For an exported folder, or a file of it, this is the artefact that was exported; for a served
    reply in a file, and for a run or a model in MLflow, the version that it names. Raises
    StoreError if the store does not hold it.
    """
    path = Path(target)
    if len(target) > LONGEST:
        raise StoreError(f"{target[:40]}...: no asset has a name of {len(target)} characters")
    if target.startswith(MLFLOW):
        return of_mlflow(store, Project.here().mlflow, target)
    if is_file(path):
        reply = reply_in(path)
        return _locate_file(store, path) if reply is None else of_reply(store, path, reply)
    if is_file(path / MANIFEST):
        return _locate_folder(store, path)
    if is_file(path / LINEAGE):
        return _locate_export(store, path, None)
    key, _, prefix = target.partition("@")
    if not store.references.has(key):
        if target and exists(path):
            raise StoreError(
                f"{target}: no version folder ({MANIFEST}) and no export ({LINEAGE}); name one of"
                " these, an asset or a file"
            )
        fault = "not made yet" if KEY.fullmatch(key) else "no such file, version folder or asset"
        raise StoreError(f"{target}: {fault}; {did_you_mean(key, store.keys(), LISTED)}")
    return named(store, key, prefix)


def named(store: Store, key: str, prefix: str = "") -> Artefact:
    """A key's version that begins with ``prefix``, or its current version.

    Raises StoreError if the store has no such asset, or not exactly one such version.
    """
    if not store.references.has(key):
        raise StoreError(f"{key}: not made yet; {did_you_mean(key, store.keys(), LISTED)}")
    if not prefix:
        return open_current(store, key)
    versions = [v for v in store.versions(key) if v.startswith(prefix)]
    if len(versions) != 1:
        digits = [version[:12] for version in versions or store.versions(key)]
        listed = ", ".join(digits)
        mend = f"give more digits of {listed}"
        if not versions:
            near = nearest(prefix[:12], digits)
            mend = f"did you mean {key}@{near}?" if near else f"the store has {listed}"
        raise StoreError(f"{key}@{prefix}: {len(versions)} versions begin with {prefix!r}; {mend}")
    return open_version(store, key, versions[0])


def _locate_file(store: Store, path: Path) -> Artefact:
    """The artefact whose manifest, or whose export, lists the bytes of a file."""
    sha256 = file_digest(path)
    place = store.find(sha256)
    if place is not None:
        version, _ = place
        return _referred(store, path.parent) or open_version(store, store.key_of(version), version)
    if (path.parent / LINEAGE).is_file():
        return _locate_export(store, path.parent, None if path.name == LINEAGE else path.name)
    raise StoreError(
        f"{path}: no manifest in {store.root} lists these bytes; the file was changed, or is from"
        " another store (choose it with --store), or was exported (put it beside its"
        f" {LINEAGE}), or was saved again by a program (trace the file that it was saved from)"
    )


def _locate_export(store: Store, folder: Path, name: str | None) -> Artefact:
    """The artefact that was exported to a folder; file ``name``, or every file, must be unchanged.

    Raises StoreError if a file was changed, or if the store does not hold the artefact. Raises
    CorruptArtefact if ``lineage.json`` has no list of exported files.
    """
    listing = folder / LINEAGE
    try:
        content = json.loads(listing.read_bytes())
        key, version = str(content["key"]), str(content["version"])
        exported = {str(file): str(sha256) for file, sha256 in content["exported"].items()}
    except OSError as error:
        raise StoreError(f"{listing}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptArtefact(
            f"{listing}: has no list of exported files; it was changed, or an earlier version of"
            " dragon wrote it; export again"
        ) from None
    for file in exported if name is None else [name]:
        path = folder / file
        if file not in exported or Path(file).name != file or not path.is_file():
            wrong = "is not a file of that export" if file not in exported else "is missing"
        elif file_digest(path) != exported[file]:
            wrong = "its bytes are not the exported ones"
        else:
            continue
        raise StoreError(
            f"{path}: {wrong} ({LINEAGE} beside it is of {key} {version[:12]}); a file that was"
            " saved again has no lineage: trace the file that it was saved from, or export again"
        )
    if not HEX.fullmatch(version) or not store.folder(version).is_dir():
        raise StoreError(
            f"{folder}: was exported from {key} {version[:12]}, which {store.root} does not hold;"
            " choose its store with --store"
        )
    names = {r.key for r in store.references.all() if r.version == version}
    return open_version(store, key if key in names else store.key_of(version), version)


def _locate_folder(store: Store, path: Path) -> Artefact:
    """The artefact in a folder, which is its own folder or an exact copy of it.

    A reference, such as ``chat/foundation/current``, also gives the key.
    """
    root, folder = store.root.resolve(), path.resolve()
    version = folder.name
    if not HEX.fullmatch(version) or not store.folder(version).is_dir():
        raise StoreError(
            f"{path}: is not a version of {store.root}; name a version's folder inside it"
        )
    if not folder.is_relative_to(root):
        Artefact(str(path), version, "", folder, read_manifest(folder, version)).verify()
    return _referred(store, path) or open_version(store, store.key_of(version), version)


def _referred(store: Store, path: Path) -> Artefact | None:
    """The artefact that a reference leads to, under the reference's key.

    None if the path is not a reference of the store.
    """
    link, root = path.parent.resolve() / path.name, store.root.resolve()
    key = link.parent.relative_to(root).as_posix() if link.is_relative_to(root) else ""
    if not link.is_symlink() or not KEY.fullmatch(key):
        return None
    if link.name == CURRENT:
        return open_current(store, key)
    return open_derivation(store, key, link.name)


def trace(store: Store, artefact: Artefact, *, verify: bool = True) -> Node:
    """The verified lineage of an artefact. Raises CorruptArtefact naming the file or record.

    Without ``verify`` the files are not hashed, only the manifests and the records.
    """
    names: dict[str, list[str]] = {}
    for reference in store.references.all():
        names.setdefault(reference.derivation, []).append(reference.key)
    return _Tracing(store, names, verify).trace(artefact.key, artefact.version, artefact.derivation)


@dataclass(frozen=True)
class _Tracing:
    """``names`` has the keys that refer to each derivation; ``nodes`` has the nodes made so far."""

    store: Store
    names: Mapping[str, list[str]]
    verify: bool
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)

    def trace(
        self, key: str, version: str, derivation: str, below: frozenset[tuple[str, str]] = NOTHING
    ) -> Node:
        """The node of an artefact. ``below`` has its descendants, which cannot be its parents."""
        mark = (version, derivation)
        if mark in self.nodes:
            return self.nodes[mark]
        if mark in below or len(below) == DEEPEST:
            source = "itself" if mark in below else f"a chain of {DEEPEST} others"
            raise CorruptArtefact(
                f"{key}: the records say that version {version[:12]} was made from {source}; remove"
                " the false record and run again"
            )
        record = self._record(key, version, derivation)
        artefact = self.store.open(key, version, view_of(record.makes), derivation)
        if self.verify:
            artefact.verify()
        if {p["input"]: p["version"] for p in record.parents} != record.decides["inputs"]:
            raise CorruptArtefact(
                f"{key}: the record {derivation[:12]} has parents that are not its inputs; remove"
                " it and run again"
            )
        parents = tuple(
            self.trace(self._name(p, key), p["version"], p["derivation"], below | {mark})
            for p in record.parents
        )
        self.nodes[mark] = Node(artefact, record, parents)
        return self.nodes[mark]

    def _record(self, key: str, version: str, derivation: str) -> Record:
        record = None
        if derivation:
            record = self.store.record(derivation, version) or self.store.record(derivation)
        if record is None:
            raise CorruptArtefact(
                f"{key}: the store has no record of version {version[:12]}; materialize it again"
            )
        if record.version != version:
            raise CorruptArtefact(
                f"{key}: the record {derivation[:12]} is of version {record.version[:12]}, not"
                f" {version[:12]}; materialize it again"
            )
        return record

    def _name(self, parent: Mapping[str, str], child: str) -> str:
        """The key that refers to a parent and fits its child best.

        If no key refers to it any more, the key under which it was made.
        """
        record = self.store.record(parent["derivation"])
        first = record.first_key if record else f"{child}: {parent['input']}"

        def fit(key: str) -> tuple[bool, bool, int, bool]:
            return *_fit(key, parent["input"], child), key == first

        return max(self.names.get(parent["derivation"], []), key=fit, default=first)


def _fit(key: str, place: str, child: str) -> tuple[bool, bool, int]:
    """How well a key fits an input of a child: as the input says, in its scope, of its task."""
    parameter, _, inner = place.partition("/")
    (scope, _, name), (ours, _, about) = key.partition("/"), child.partition("/")
    said = key in (inner, f"{ours}/{inner}", f"{inner}/{parameter}")
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, about, strict=False))
    return said, scope == ours, len(list(alike))
