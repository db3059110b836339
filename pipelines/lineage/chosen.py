"""Which texts a person means when documents are taken back: those, their equals, their copies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import DROPPED, Documents, RawText
from pipelines.corpora.splits import SPLITS
from pipelines.text.nearest import did_you_mean
from pipelines.tokens.artefacts import TokenShards

PART = re.compile(r"(.*)#\d+/\d+", re.DOTALL)
"""The id of a part of a divided document."""


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
class Chosen:
    """The texts to forget. ``partly`` are the ids of texts that stay and have a part that was
    dropped as a copy of one of them, each with that one's id: the part would come back."""

    entries: list[Entry]
    partly: dict[str, str]


def chosen(store: Store, corpus: str, documents: Sequence[str]) -> Chosen:
    """What is to be forgotten: the documents of these ids or digests, their equals and copies.

    A copy that cleaning had dropped because of a forgotten document would come back without it, so
    it is forgotten too, if all that cleaning made of it are such copies. A document may be named by
    its id, by that of a part, or by the sha256 of its raw or clean text, also if it was dropped.
    Raises StoreError for a document that the corpus does not have.
    """
    read = _Corpus(store, corpus)
    because, partly = read.with_copies(read.meant(documents))
    parts = read.parts(because)
    every = [part for of in parts.values() for part in of]
    counts = _token_counts(store, corpus, read.clean, {part["id"] for part in every})
    for part in every:
        part["tokens"] = counts.get((part["split"], part["id"]), {})
    entries = [
        Entry(one.id, one.sha256, len(one.text.encode()), because[one.id], parts.get(one.id, []))
        for one in read.raw.documents()
        if one.id in because
    ]
    return Chosen(entries, partly)


def raw_id(name: str, whole: Container[str] = ()) -> str:
    """The id of the raw document that a document is a part of.

    ``whole`` has the ids of raw documents that look like those of parts, and are none.
    """
    while name not in whole and (match := PART.fullmatch(name)):
        name = match[1]
    return name


def whole_ids(raw: RawText) -> frozenset[str]:
    """The ids of raw documents that look like those of parts."""
    ids = (name for (name,) in raw.table(RawText.TABLE).rows(("id",)))
    return frozenset(name for name in ids if PART.fullmatch(name))


class _Corpus:
    """The current documents of a corpus, and the raw text that they were made from."""

    def __init__(self, store: Store, corpus: str) -> None:
        key = f"{corpus}/documents"
        if not store.references.has(key):
            keys = store.keys()
            known = [one.partition("/")[0] for one in keys if one.endswith("/documents")]
            mend = did_you_mean(corpus, known, "dragon ls lists what there is")
            raise StoreError(f"{corpus}: this store has no documents of such a corpus; {mend}")
        self.clean = store.current(key, Documents)
        if "original" not in self.clean.table(DROPPED).schema.names:
            raise StoreError(
                f"{key}: an earlier program made it, which did not note whose copy a dropped"
                " document is; run the recipe again, then forget"
            )
        made_from = store.current_record(key).decides["inputs"]["raw_text"]
        self.raw = store.open(f"{corpus}/raw_text", made_from, RawText)
        self._whole = whole_ids(self.raw)

    def meant(self, documents: Sequence[str]) -> set[str]:
        """The ids of the raw texts behind some ids or digests."""
        asked, found = dict.fromkeys(documents, False), set()
        for raw, names in self._names():
            for name in names:
                if name in asked:
                    asked[name] = True
                    found.add(raw)
        if missing := [name for name, is_known in asked.items() if not is_known]:
            raise StoreError(
                f"{self.clean.key}: has no document {missing[0]!r}; dragon documents lists them"
            )
        return found

    def with_copies(self, named: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Raw ids to forget, each with the id that it is equal to or a copy of (empty for those
        that were named); and the texts that stay and have a part that is a copy of one of them."""
        originals: dict[str, set[str]] = {}
        for row in self.clean.dropped():
            if row.original:
                originals.setdefault(self._raw_id(row.id), set()).add(self._raw_id(row.original))
        originals = {one: of - {one} for one, of in originals.items() if of - {one}}
        kept = {raw for _, (name, _) in self._kept() if (raw := self._raw_id(name)) in originals}
        because = dict.fromkeys(named, "")
        while True:
            more = self._equal_to(because)
            for one, of in originals.items():
                if one not in because and one not in kept and of <= because.keys():
                    more[one] = min(of)
            if not more:
                break
            because |= more
        partly = {
            one: min(of & because.keys())
            for one, of in originals.items()
            if one not in because and of & because.keys()
        }
        return because, partly

    def parts(self, raw_ids: Container[str]) -> dict[str, list[dict[str, Any]]]:
        """The documents that cleaning made of some raw texts, by raw id, in order."""
        parts: dict[str, list[dict[str, Any]]] = {}
        for split in SPLITS:
            for one in self.clean.split(split):
                if (raw := self._raw_id(one.id)) in raw_ids:
                    size = len(one.text.encode())
                    part = {"id": one.id, "split": split, "bytes": size}
                    parts.setdefault(raw, []).append(part)
        return parts

    def _raw_id(self, name: str) -> str:
        return raw_id(name, self._whole)

    def _names(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The raw id of each document, raw or clean or dropped, and the names that it bears."""
        yield from ((name, (name, sha256)) for name, sha256 in self._texts())
        yield from self._kept()
        unread = {row.id for row in self.raw.unread()}
        for row in self.clean.dropped():
            is_whole = row.characters == len(row.text)
            names = (row.id, *([hashlib.sha256(row.text.encode()).hexdigest()] * is_whole))
            if row.id not in unread:
                yield self._raw_id(row.id), names

    def _texts(self) -> Iterator[tuple[str, str]]:
        rows = self.raw.table(RawText.TABLE).rows(("id", "sha256"))
        return ((name, sha256) for name, sha256 in rows if sha256)  # without the holes

    def _kept(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for split in SPLITS:
            for name, sha256 in self.clean.table(f"{split}.arrow").rows(("id", "sha256")):
                if sha256:
                    yield self._raw_id(name), (name, sha256)

    def _equal_to(self, known: Mapping[str, str]) -> dict[str, str]:
        """The other raw texts with the very text of a known one, and the id of that one."""
        digests = {sha256: name for name, sha256 in self._texts() if name in known}
        return {
            name: digests[sha256]
            for name, sha256 in self._texts()
            if sha256 in digests and name not in known
        }


def _token_counts(
    store: Store, corpus: str, clean: Documents, ids: set[str]
) -> dict[tuple[str, str], dict[str, int]]:
    """By (split, document id): how many tokens it has under each tokenizer that encoded it."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for shards, inputs in _shards_of(store, corpus, clean.version):
        for split in SPLITS:
            for shard in shards.corpora(split).get(corpus, []):
                for name, _, tokens in shard.documents():
                    if name in ids:
                        by_tokenizer = counts.setdefault((split, name), {})
                        by_tokenizer[inputs["tokenizer"]] = len(tokens)
    return counts


def _shards_of(
    store: Store, corpus: str, version: str
) -> Iterator[tuple[TokenShards, Mapping[str, str]]]:
    """The current shards that hold a version of a corpus' documents, and their inputs."""
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        record = store.current_record(key)
        inputs = record.decides["inputs"]
        if record.makes == TokenShards.__name__ and inputs.get(f"documents/{corpus}") == version:
            yield store.open(key, record.version, TokenShards, record.derivation), inputs
