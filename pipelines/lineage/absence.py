"""The proof that forgotten documents are gone: a search through all current artefacts.

Their bytes are searched for the texts, their tables for the digests of the texts, and their lineage
for a version that has one: tokens and single turns do not show the text that they were made from.
Beside it stands what is near: documents that share most of their words with a forgotten one stay,
and whoever asked decides whether they are to go too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.corpora.splits import SPLITS
from pipelines.lineage.chosen import raw_id, whole_ids
from pipelines.lineage.impact import MODELS, corpora_of
from pipelines.lineage.tables import Row, texts_of
from pipelines.lineage.views import open_current

if TYPE_CHECKING:
    from pipelines.lineage.graph import Graph
    from pipelines.lineage.index import Index
    from pipelines.lineage.near import NearIndex


@dataclass(frozen=True)
class Near:
    """A document of a current corpus that is nearly a forgotten one: the share of equal words, as
    a fingerprint estimates it."""

    corpus: str
    id: str
    like: str
    similarity: float


def near_to(
    graph: Graph, near: NearIndex, texts: Mapping[str, str], forgotten: Container[tuple[str, str]]
) -> list[Near]:
    """The documents of current corpora that are nearly one of ``texts`` and are not forgotten.

    Of each it tells the text that it is most like. ``texts`` are clean ones, by document id, and
    ``forgotten`` has (corpus, document id).
    """
    found: dict[tuple[str, str], Near] = {}
    for like, text in texts.items():
        for row, share in near.alike(graph, text, ()):
            places = graph.of_version.get(row.version, [])
            corpus, name = min(corpora_of(graph, row)), str(row.values["id"])
            if (corpus, name) in forgotten or not any(map(graph.is_current, places)):
                continue
            known = found.get((corpus, name))
            if known is None or known.similarity < share:
                found[corpus, name] = Near(corpus, name, like, round(share, 3))
    return sorted(found.values(), key=lambda one: (-one.similarity, one.corpus, one.id))


class Text(NamedTuple):
    """A forgotten text that a version still holds: raw, or as a cleaning left it."""

    version: str
    id: str
    text: str
    is_clean: bool

    @property
    def sha256(self) -> str:
        """The digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def held_texts(store: Store, graph: Graph, index: Index, digests: Iterable[str]) -> list[Text]:
    """The texts of some digests that raw texts of the store still hold, and the clean texts that
    documents have which were made from these raw texts."""
    wanted, numbers = set(digests), dict[str, dict[int, str]]()
    for row in index.rows(graph, sorted(wanted)):
        is_raw = RawText.__name__ in _makes(graph, row.version) and row.table == RawText.TABLE
        if is_raw and row.values["sha256"] in wanted:
            numbers.setdefault(row.version, {})[row.number] = str(row.values["id"])
    found: list[Text] = []
    for version, ids in numbers.items():
        raw = store.open(graph.name(graph.of_version[version][0]), version, RawText)
        for number, text in texts_of(raw, RawText.TABLE, list(ids)):
            found.append(Text(version, ids[number], text, is_clean=False))
        found += _clean_texts(store, graph, raw, set(ids.values()))
    return found


def _clean_texts(store: Store, graph: Graph, raw: RawText, ids: set[str]) -> Iterator[Text]:
    whole = whole_ids(raw)
    cleaned = {
        child.version: graph.name(child)
        for place in graph.of_version[raw.version]
        for child in graph.children(place)
        if graph.made[child].makes == Documents.__name__ and graph.holds(child.version)
    }
    for version, key in cleaned.items():
        documents = store.open(key, version, Documents)
        for split in SPLITS:
            for one in documents.split(split):
                if raw_id(one.id, whole) in ids:
                    yield Text(version, one.id, one.text, is_clean=True)


def _makes(graph: Graph, version: str) -> set[str]:
    return {graph.made[place].makes for place in graph.of_version.get(version, [])}


@dataclass(frozen=True)
class Scan:
    """A search for forgotten texts in all current artefacts: where one was found."""

    artefacts: int
    files: int
    bytes: int
    found: list[str]


def scan(store: Store, texts: Iterable[Text]) -> Scan:
    """Search every file of every current version for each text, plain and as JSON writes it."""
    forms = {form: text.id for text in texts for form in _forms(text.text)}
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
            inside = sorted({of for form, of in forms.items() if form in content})
            found += [f"{key}: {name}: {one}" for one in inside]
    return Scan(len(seen), files, size, found)


def _forms(text: str) -> set[bytes]:
    """The bytes of a text: as it is, and in JSON with and without other characters escaped."""
    written = (json.dumps(text, ensure_ascii=escaped)[1:-1] for escaped in (True, False))
    return {form.encode() for form in (text, *written) if form}


def named_in(graph: Graph, rows: Iterable[Row]) -> list[str]:
    """The tables of current artefacts that name a forgotten text by its digest."""
    return sorted(
        {
            f"{key}: {row.table}: {row.values.get('document_id') or row.values['id']}"
            for row in rows
            for place in graph.of_version.get(row.version, [])
            for key in graph.keys(place)
            if graph.current.get(key) == place
        }
    )


def made_from(graph: Graph, holding: Container[str]) -> list[str]:
    """The current artefacts that were made from versions with a forgotten text, and which.

    Equal bytes that another derivation made without any such version count as made without it.
    """
    without = _made_without(graph, holding)
    found = []
    for key, place in sorted(graph.current.items()):
        if place.version in without or place.version in holding:
            continue
        above = (one for one in graph.above([place]) if one.version not in without)
        first = next(above, place)
        found.append(f"{key}: made from {graph.name(first)}@{first.version[:12]}")
    return found


def _made_without(graph: Graph, holding: Container[str]) -> set[str]:
    """The versions that a derivation made whose inputs all were made without forgotten texts."""
    without: set[str] = set()
    waiting = {place for place in graph.made if place.version not in holding}
    while ready := {
        place
        for place in waiting
        if all(parent.version in without for parent in graph.parents(place))
    }:
        without |= {place.version for place in ready}
        waiting -= ready
    return without


def certificate(
    store: Store,
    index: Index,
    corpus: str,
    listed: Sequence[Mapping[str, Any]],
    near: NearIndex | None,
) -> dict[str, Any]:
    """What was forgotten, when and why; the models before and after; the search for the texts.

    ``not_searched`` has the ids of texts that no version of the store holds any more: nothing can
    be searched for them, so nothing is proved. With ``near`` also the documents that stay and are
    nearly one of them. Raises CorruptArtefact for a store whose records are damaged.
    """
    graph = index.graph()
    graph.require_whole()
    texts = held_texts(store, graph, index, [entry["sha256"] for entry in listed])
    digests = {text.sha256 for text in texts}
    rows = index.rows(graph, sorted(digests))
    rows = [row for row in rows if row.values.get("sha256") in digests]
    holding = {row.version for row in rows} | {text.version for text in texts}
    searched = scan(store, texts)
    searched.found.extend(named_in(graph, rows) + made_from(graph, holding))
    clean = {text.id: text.text for text in texts if text.is_clean}
    alike = None if near is None else [asdict(one) for one in near_to(graph, near, clean, ())]
    return {
        "corpus": corpus,
        "forgotten": [
            {name: entry[name] for name in ("id", "sha256", "because", "reason", "when")}
            for entry in listed
        ],
        "models": list(_models(store, graph, holding)),
        "scan": {**vars(searched), "texts": len(texts)},
        "not_searched": [entry["id"] for entry in listed if entry["sha256"] not in digests],
        "near": alike,
    }


def _models(store: Store, graph: Graph, holding: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The networks that were made from versions with a forgotten text: their keys, the versions
    before, the current one and how it was trained."""
    places = [place for version in sorted(holding) for place in graph.of_version.get(version, [])]
    before: dict[str, dict[str, None]] = {}
    for place in graph.below(places):
        for key in graph.keys(place) if graph.made[place].makes in MODELS else ():
            before.setdefault(key, {})[place.version] = None
    for key, versions in sorted(before.items()):
        if key in graph.current:
            record = store.current_record(key)
            others = [version for version in versions if version != record.version]
            replayed = record.made.get("replayed")
            yield {"key": key, "version": record.version, "before": others, "replayed": replayed}
