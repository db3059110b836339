"""Takes documents back: what they had become, the list of what is forgotten, and what it costs.

The list lies in the project (``forgotten/<corpus>.json``) and holds digests and lengths, never a
text. The next run reads it: where a forgotten document was, a hole stays, so that no other document
moves, and a training that kept states goes on from the last state before the first step that read
one (``training/replay.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.core.disk import make_folder, replace
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.corpora.options import FORGOTTEN
from pipelines.corpora.splits import SPLITS
from pipelines.lineage.views import open_current
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates

LIKE = " like "  # before the id in what the cleaning says of a near copy


@dataclass
class Entry:
    """One forgotten text. ``because`` names the document that it is a copy of; empty for none.

    ``parts`` are the documents that cleaning had made of it, as ``corpora/forgotten.py`` reads
    them.
    """

    id: str
    sha256: str
    bytes: int
    because: str = ""
    parts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Stale:
    """An asset that the next run makes anew: what it took last time, and for a network the first
    step that read a forgotten document and the last kept state before that step."""

    key: str
    seconds: float
    steps: int = 0
    first_step: int = 0
    state: int = 0


def entries_of(store: Store, corpus: str, documents: Sequence[str]) -> list[Entry]:
    """What is to be forgotten: the documents of these ids or digests, and their copies.

    A copy that cleaning had dropped because of a forgotten document would come back without it, so
    it is forgotten too. Raises StoreError for a document that the corpus does not have.
    """
    clean = store.current(f"{corpus}/documents", Documents)
    parts, texts = _parts(clean, documents)
    wanted = dict.fromkeys(part["raw"] for part in parts)
    copies = _copies(clean, wanted, texts.values())
    raw = store.current(f"{corpus}/raw_text", RawText)
    entries = {
        one.id: Entry(one.id, one.sha256, len(one.text.encode()), copies.get(one.id, ""))
        for one in raw.documents()
        if one.id in wanted or one.id in copies
    }
    counts = dict(_token_counts(store, corpus, clean, {part["id"] for part in parts}))
    for part in parts:
        tokens = counts.get((part["split"], part["id"]), {})
        kept = {name: part[name] for name in ("id", "split", "bytes")}
        entries[part["raw"]].parts.append({**kept, "tokens": tokens})
    return list(entries.values())


def _parts(
    clean: Documents, documents: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """All documents that the raw texts behind some ids or digests had become; their texts by id."""
    asked = dict.fromkeys(documents, False)
    raw = set()
    for split in SPLITS:
        for one in clean.split(split):
            for name in (one.id, raw_id(one.id), one.sha256):
                if name in asked:
                    asked[name] = True
                    raw.add(raw_id(one.id))
    if missing := [name for name, found in asked.items() if not found]:
        raise StoreError(
            f"{clean.key}: has no document {missing[0]!r}; dragon documents lists them"
        )
    parts, texts = [], dict[str, str]()
    for split in SPLITS:
        for one in clean.split(split):
            if raw_id(one.id) in raw:
                size = len(one.text.encode())
                parts.append({"raw": raw_id(one.id), "id": one.id, "split": split, "bytes": size})
                texts[one.id] = one.text
    return parts, texts


def clean_texts(store: Store, corpus: str, entries: Iterable[Entry]) -> dict[str, str]:
    """The clean texts of what is to be forgotten, by document id."""
    clean = store.current(f"{corpus}/documents", Documents)
    ids = {part["id"] for entry in entries for part in entry.parts}
    return {one.id: one.text for split in SPLITS for one in clean.split(split) if one.id in ids}


def raw_id(name: str) -> str:
    """The id of the raw document that a document is a part of."""
    return name.rpartition("#")[0] if "#" in name and "/" in name.rpartition("#")[2] else name


def _copies(clean: Documents, wanted: Mapping[str, Any], texts: Iterable[str]) -> dict[str, str]:
    """The dropped copies of forgotten documents: their ids, and what they are copies of."""
    starts = {(len(text), text[:200]) for text in texts}
    found = {}
    for row in clean.dropped():
        original = raw_id(row.detail.partition(LIKE)[2].strip())
        if row.reason.startswith("near_duplicate") and original in wanted:
            found[raw_id(row.id)] = original
        elif row.reason == "duplicate" and (row.characters, row.text[:200]) in starts:
            found[raw_id(row.id)] = "an equal text"
    return {name: original for name, original in found.items() if name not in wanted}


def _token_counts(
    store: Store, corpus: str, clean: Documents, ids: set[str]
) -> Iterator[tuple[tuple[str, str], dict[str, int]]]:
    """By (split, document id): how many tokens it has under each tokenizer that encoded it."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for shards, inputs in _shards_of(store, corpus, clean.version):
        for split in SPLITS:
            for shard in shards.corpora(split).get(corpus, []):
                for name, _, tokens in shard.documents():
                    if name in ids:
                        by_tokenizer = counts.setdefault((split, name), {})
                        by_tokenizer[inputs["tokenizer"]] = len(tokens)
    yield from counts.items()


def _shards_of(
    store: Store, corpus: str, version: str
) -> Iterator[tuple[TokenShards, Mapping[str, str]]]:
    """The current shards that hold a version of a corpus' documents, and their inputs."""
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        record = store.current_record(key)
        inputs = record.decides["inputs"]
        if record.makes == TokenShards.__name__ and inputs.get(f"documents/{corpus}") == version:
            yield store.open(key, record.version, TokenShards, record.derivation), inputs


# The list


def list_path(root: Path, corpus: str) -> Path:
    """The file with what is forgotten of a corpus."""
    return root / FORGOTTEN / f"{corpus}.json"


def write_list(root: Path, corpus: str, entries: Iterable[Entry], reason: str, when: str) -> Path:
    """Add entries to the list of a corpus; a text that is on it already stays as it is."""
    path = list_path(root, corpus)
    known = json.loads(path.read_bytes())["documents"] if path.exists() else []
    listed = {entry["sha256"] for entry in known}
    for entry in entries:
        if entry.sha256 not in listed:
            known.append({**vars(entry), "reason": reason, "when": when})
            listed.add(entry.sha256)
    make_folder(path.parent)
    content = json.dumps({"documents": known}, indent=1, sort_keys=True, ensure_ascii=False)
    replace(path, (content + "\n").encode(), path.with_suffix(".partial"))
    return path


# What it costs


def stale(store: Store, corpus: str, entries: Sequence[Entry]) -> list[Stale]:
    """The current assets that hang on a corpus' raw text, in the order of the journey."""
    ids = {part["id"] for entry in entries for part in entry.parts}
    return [_stale(store, key, corpus, ids) for key in below(store, f"{corpus}/raw_text")]


def below(store: Store, key: str) -> list[str]:
    """The key and all current keys that hang on its current version, parents first."""
    records = {one: store.current_record(one) for one in store.keys()}  # noqa: SIM118
    places = {(r.version, r.derivation): one for one, r in records.items()}
    parents = {
        one: {places.get((p["version"], p["derivation"]), "") for p in record.parents}
        for one, record in records.items()
    }
    found = {key}
    while more := {one for one, above in parents.items() if above & found} - found:
        found |= more
    order: list[str] = []
    while len(order) < len(found):
        order += sorted(
            one for one in found.difference(order) if not (parents[one] & found).difference(order)
        )
    return order


def _stale(store: Store, key: str, corpus: str, ids: set[str]) -> Stale:
    artefact, record = open_current(store, key), store.current_record(key)
    seconds = float(record.made.get("seconds", 0.0))
    if not isinstance(artefact, Checkpoint) or not artefact.receipt():
        return Stale(key, seconds)
    draws = artefact.draws()
    first = [
        d.first_step for d in draws if d.document_id in ids and d.corpus in (corpus, "examples")
    ]
    steps = int(artefact.receipt()["steps"])
    states = [p for p in record.parents if p["input"] == "states"]
    kept = [
        step
        for parent in states
        for step in _states(store, parent).steps()
        if first and step < min(first)
    ]
    return Stale(key, seconds, steps, min(first, default=0), max(kept, default=0))


def _states(store: Store, parent: Mapping[str, str]) -> KeptStates:
    return store.open("states", parent["version"], KeptStates, parent["derivation"])
