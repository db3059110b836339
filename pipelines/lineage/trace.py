"""Lineage, read from manifests and records alone: no database is asked.

``trace`` goes from an asset, a folder or a bare weights file back to the sources and hashes every
file, manifest and record on the way again.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact, read_manifest
from pipelines.core.identity import HEX, file_digest
from pipelines.core.record import Record, StoreError
from pipelines.core.references import CURRENT, KEY
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.interop.artefacts import Weights
from pipelines.lineage.views import open_current, open_version, view_of

NOTHING: frozenset[tuple[str, str]] = frozenset()
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
            found.setdefault((node.artefact.version, node.artefact.derivation), node)

        visit(self)
        return list(found.values())


def locate(store: Store, target: str) -> Artefact:
    """The artefact that an asset key, a version folder or a file's bytes stand for.

    An exported folder, or a file of it, stands for what was exported. Raises StoreError when the
    store does not know it.
    """
    path, keys = Path(target), store.keys()
    if path.is_file():
        return _locate_file(store, path)
    if (path / MANIFEST).is_file():
        return _locate_folder(store, path)
    if (path / LINEAGE).is_file():
        return _locate_export(store, path, None)
    key, _, prefix = target.partition("@")
    if key not in keys:
        if target and path.exists():
            raise StoreError(
                f"{target}: no version folder ({MANIFEST}) and no export ({LINEAGE}); name one, an"
                " asset or a file"
            )
        what = "not made yet" if KEY.fullmatch(key) else "no such file, version folder or asset"
        raise StoreError(f"{target}: {what}; {_nearest(store, key)}")
    if not prefix:
        return open_current(store, key)
    versions = [v for v in store.versions(key) if v.startswith(prefix)]
    if len(versions) != 1:
        mend = "give more digits" if versions else "dragon show names them"
        raise StoreError(f"{target}: {len(versions)} versions begin so; {mend}")
    return open_version(store, key, versions[0])


def _nearest(store: Store, target: str) -> str:
    near = difflib.get_close_matches(target[:300], store.keys(), n=1)
    return f"did you mean {near[0]!r}?" if near else "dragon ls lists them"


def _locate_file(store: Store, path: Path) -> Artefact:
    """The artefact, or the export, that a file belongs to by its bytes."""
    sha256 = file_digest(path)
    found = store.find(sha256)
    if found is not None:
        version, _ = found
        return _referred(store, path.parent) or open_version(store, store.key_of(version), version)
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
    if not HEX.fullmatch(version) or not store.folder(version).is_dir():
        raise StoreError(
            f"{folder}: exported from {key} {version[:12]}, which {store.root} does not hold;"
            " choose its store with --store"
        )
    # It may have been exported under a name that nothing bears today.
    return open_version(store, store.key_of(version), version)


def _locate_folder(store: Store, path: Path) -> Artefact:
    """The artefact whose folder this is, or of which it is a faithful copy.

    A reference, such as ``chat/foundation/current``, says its key as well.
    """
    root, folder = store.root.resolve(), path.resolve()
    version = folder.name
    if not HEX.fullmatch(version) or not store.folder(version).is_dir():
        raise StoreError(f"{path}: no version of {store.root}; name a folder inside it")
    if not folder.is_relative_to(root):
        Artefact(str(path), version, "", folder, read_manifest(folder, version)).verify()
    return _referred(store, path) or open_version(store, store.key_of(version), version)


def _referred(store: Store, path: Path) -> Artefact | None:
    """The artefact that a reference leads to, under the key whose reference it is.

    None for what is no reference of the store.
    """
    link, root = path.parent.resolve() / path.name, store.root.resolve()
    key = link.parent.relative_to(root).as_posix() if link.is_relative_to(root) else ""
    if not link.is_symlink() or not KEY.fullmatch(key):
        return None
    if link.name == CURRENT:
        return open_current(store, key)
    return open_version(store, key, link.resolve().name)


def trace(store: Store, artefact: Artefact) -> Node:
    """The verified lineage of an artefact. Raises CorruptArtefact naming what does not fit."""
    names: dict[str, list[str]] = {}
    for reference in store.references.all():
        names.setdefault(reference.derivation, []).append(reference.key)
    return _Tracing(store, names).trace(artefact.key, artefact.version, artefact.derivation)


@dataclass(frozen=True)
class _Tracing:
    """``names``: the keys that refer to each derivation. ``nodes``: those that were met before."""

    store: Store
    names: Mapping[str, list[str]]
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)

    def trace(
        self, key: str, version: str, derivation: str, below: frozenset[tuple[str, str]] = NOTHING
    ) -> Node:
        """``below``: the artefacts on the way here, which none of its own parents can be."""
        mark = (version, derivation)
        if mark in self.nodes:
            return self.nodes[mark]
        if mark in below or len(below) == DEEPEST:
            what = "itself" if mark in below else f"{DEEPEST} others, one after the other"
            raise CorruptArtefact(
                f"{key}: the records say that version {version[:12]} was made from {what}; remove"
                " the record that is false and run again"
            )
        record = self._record(key, version, derivation)
        artefact = self.store.open(key, version, view_of(record.makes), derivation)
        artefact.verify()
        if {p["input"]: p["version"] for p in record.parents} != record.decides["inputs"]:
            raise CorruptArtefact(f"{key}: the record's parents are not its inputs")
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
                f"{key}: no record tells how version {version[:12]} came about; materialize it"
                " again"
            )
        if record.version != version:
            raise CorruptArtefact(
                f"{key}: the record {derivation[:12]} tells of version {record.version[:12]}, not"
                f" {version[:12]}"
            )
        return record

    def _name(self, parent: Mapping[str, str], child: str) -> str:
        """A key that refers to a parent, of the child's own scope if one does.

        Where no key does any more, the one that it was made under.
        """
        scope = child.split("/")[0]
        keys = self.names.get(parent["derivation"], [])
        ours = [key for key in keys if key.startswith(f"{scope}/")]
        if keys:
            return (ours or keys)[0]
        record = self.store.record(parent["derivation"])
        return record.first_key if record else f"{child}: {parent['input']}"


def tree(node: Node) -> list[str]:
    """The lineage as lines of a tree; what was shown before is only named again."""
    return _tree(node, "", "", set())


def _tree(node: Node, lead: str, below: str, seen: set[tuple[str, str]]) -> list[str]:
    artefact = node.artefact
    mark = (artefact.version, artefact.derivation)
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
            f" {node.record.derivation[:12]} is no {node.record.makes} ({error!r});"
            " remove both and run again"
        ) from None


def _facts(node: Node) -> list[str]:
    # Here, because the catalogues load pydantic, which other verbs than trace do without.
    from pipelines.corpora.sources import kinds as sources
    from pipelines.interop import kinds as weights

    artefact = node.artefact
    facts: list[str] = []
    if isinstance(artefact, Documents):
        ledger = artefact.ledger()
        divided = sum(step.added for step in ledger.steps)
        what = f"parts of {ledger.documents_in:,} documents" if divided else "documents"
        facts.append(f"{ledger.kept.total():,} of {ledger.documents_in + divided:,} {what}")
    figures: dict[str, Any] = artefact.figures()
    if isinstance(artefact, RawText):
        facts += [f"{figures['documents']:,} documents", *_origin(node, sources.catalogue())]
    if isinstance(artefact, Weights):
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
