"""The proof that forgotten documents are gone: a search through the bytes of all current artefacts.

Beside it stands what is near: documents that share most of their words with a forgotten one stay,
and whoever asked decides whether they are to go too.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import Artefact
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.corpora.splits import SPLITS
from pipelines.lineage.forget import below, raw_id
from pipelines.lineage.impact import corpora_of
from pipelines.lineage.views import open_current, view_of
from pipelines.text.tables import Document
from pipelines.training.artefacts import Checkpoint, KeptStates

if TYPE_CHECKING:
    from pipelines.lineage.graph import Graph
    from pipelines.lineage.near import NearIndex


CLEANED = ", cleaned"  # behind the id of a text that is not the raw one


@dataclass(frozen=True)
class Near:
    """A document of a current corpus that is nearly a forgotten one: the share of equal words, as
    a fingerprint estimates it."""

    corpus: str
    id: str
    like: str
    similarity: float


def near_to(
    graph: Graph, near: NearIndex, texts: Mapping[str, str], forgotten: Container[str]
) -> list[Near]:
    """The documents of current corpora that are nearly one of ``texts`` and are not forgotten.

    Of each it tells the text that it is most like. ``texts`` are clean ones, by document id.
    """
    found: dict[tuple[str, str], Near] = {}
    for like, text in texts.items():
        for row, share in near.alike(graph, text, ()):
            places = graph.of_version.get(row.version, [])
            name = str(row.values["id"])
            if raw_id(name) in forgotten or not any(map(graph.is_current, places)):
                continue
            corpus = min(corpora_of(graph, row))
            known = found.get((corpus, name))
            if known is None or known.similarity < share:
                found[corpus, name] = Near(corpus, name, like, round(share, 3))
    return sorted(found.values(), key=lambda one: (-one.similarity, one.corpus, one.id))


@dataclass(frozen=True)
class Scan:
    """A search for forgotten texts in the bytes of all current artefacts: where one was found."""

    artefacts: int
    files: int
    bytes: int
    found: list[str]


def scan(store: Store, texts: Mapping[str, str]) -> Scan:
    """Search every file of every current version for each text, plain and as JSON writes it."""
    wanted = [
        (name, form)
        for name, text in texts.items()
        for form in {text.encode(), json.dumps(text)[1:-1].encode()}
        if form
    ]
    seen: set[str] = set()
    files, size, found = 0, 0, []
    for key in store.keys():  # noqa: SIM118
        artefact = open_current(store, key)
        if artefact.version in seen:
            continue
        seen.add(artefact.version)
        for name in artefact.files:
            content = artefact.read(name)
            files, size = files + 1, size + len(content)
            found += [f"{key}: {name}: {text}" for text, form in wanted if form in content]
    return Scan(len(seen), files, size, found)


def texts_of(store: Store, corpus: str, digests: Iterable[str]) -> dict[str, str]:
    """The forgotten texts that earlier versions of a corpus still hold, by id: raw and clean."""
    wanted, found = set(digests), dict[str, str]()
    for key, kind in ((f"{corpus}/raw_text", RawText), (f"{corpus}/documents", Documents)):
        for version in store.versions(key):
            for one in _documents(store, key, version, kind):
                if kind is RawText and one.sha256 in wanted:
                    found[one.id] = one.text
                elif kind is Documents and raw_id(one.id) in found:
                    found[f"{one.id}{CLEANED}"] = one.text
    return found


def _documents(store: Store, key: str, version: str, kind: Any) -> Iterator[Document]:
    artefact: Artefact = store.open(key, version, kind)
    if isinstance(artefact, RawText):
        yield from artefact.documents()
    elif isinstance(artefact, Documents):
        for split in SPLITS:
            yield from artefact.split(split)


def certificate(
    store: Store,
    corpus: str,
    listed: Sequence[Mapping[str, Any]],
    graph: Graph,
    near: NearIndex | None,
) -> dict[str, Any]:
    """What was forgotten, when and why; the models before and after; the search for the texts.

    With ``near`` also the documents that stay and are nearly one of them.
    """
    texts = texts_of(store, corpus, [entry["sha256"] for entry in listed])
    searched = scan(store, texts)
    clean = {
        name.removesuffix(CLEANED): text for name, text in texts.items() if name.endswith(CLEANED)
    }
    ids = {entry["id"] for entry in listed}
    alike = None if near is None else [asdict(one) for one in near_to(graph, near, clean, ids)]
    return {
        "corpus": corpus,
        "forgotten": [
            {name: entry[name] for name in ("id", "sha256", "because", "reason", "when")}
            for entry in listed
        ],
        "models": list(_models(store, corpus)),
        "scan": {**vars(searched), "texts": len(texts)},
        "near": alike,
    }


def _models(store: Store, corpus: str) -> Iterator[dict[str, Any]]:
    """The networks below a corpus, each with its versions and how the current one was trained."""
    for key in below(store, f"{corpus}/raw_text"):
        record = store.current_record(key)
        if view_of(record.makes) in (Checkpoint, KeptStates):
            others = [one for one in store.versions(key) if one != record.version]
            replayed = record.made.get("replayed")
            yield {"key": key, "version": record.version, "before": others, "replayed": replayed}
