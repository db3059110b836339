"""Attribution: the passages of a text that stand verbatim in the training documents."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.core.artefact import Artefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.index.artefacts import OpenIndex, Standing, TextIndex
from pipelines.index.parts import Part
from pipelines.index.spans import spans
from pipelines.lineage.sources import own_name, sources_of
from pipelines.lineage.trace import Node, locate, trace
from pipelines.training.artefacts import Checkpoint

WORDS, CHARACTERS, PLACES = 4, 1, 3  # the least of a passage, and the places that are told of it
LOOKED = 100  # of a frequent passage so many places are looked at for a document that was read


@dataclass(frozen=True)
class Reading:
    """When the training of a ``model`` read a document: from ``first_step`` on, ``tokens`` in all.

    Steps count from 1.
    """

    model: str
    first_step: int
    tokens: int


@dataclass(frozen=True)
class Place:
    """Where a passage stands: a document, and the character and the line of it, from 0 and 1.

    ``sha256`` is the digest of the document's text. ``readings`` has each model of the lineage that
    read the document; None if no training of the lineage says what it read.
    """

    corpus: str
    document_id: str
    source: str
    licence: str
    sha256: str
    character: int
    line: int
    readings: tuple[Reading, ...] | None


@dataclass(frozen=True)
class Passage:
    """A piece of the asked text that stands in ``count`` places, of which some are in ``places``.

    ``start`` and ``end`` are characters of the asked text.
    """

    start: int
    end: int
    words: int
    text: str
    count: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Searched:
    """What is searched: the indexes of the training documents of ``key``, by corpus.

    ``node`` is the lineage of ``key``; without one nothing is known of what was read.
    """

    key: str
    version: str
    indexes: Mapping[str, OpenIndex]
    node: Node | None = None

    def parts(self) -> Iterator[Part]:
        """The parts of all indexes, opened one after another."""
        for index in self.indexes.values():
            yield from (part for _, part in index.parts())

    @functools.cached_property
    def readings(self) -> dict[tuple[str, str], tuple[Reading, ...]]:
        """By corpus and document: when trainings of the lineage read it; empty if none says so."""
        found: dict[tuple[str, str], dict[str, Reading]] = {}
        for node in self.node.walk() if self.node else ():
            if isinstance(node.artefact, Checkpoint):
                for corpus, document_id, reading in _readings(node):
                    of_document = found.setdefault((corpus, document_id), {})
                    before = of_document.get(reading.model, reading)
                    first = min(before.first_step, reading.first_step)
                    tokens = reading.tokens + (before.tokens if before is not reading else 0)
                    of_document[reading.model] = Reading(reading.model, first, tokens)
        return {document: tuple(by_model.values()) for document, by_model in found.items()}


def attribute(
    searched: Searched,
    text: str,
    *,
    words: int = WORDS,
    characters: int = CHARACTERS,
    places: int | None = PLACES,
) -> list[Passage]:
    """The longest passages of a text that stand verbatim in one document, from left to right.

    No passage lies inside another or divides a word. Each has at least so many ``words`` and
    ``characters``. The first ``places`` places are told, or all for None.
    """
    found = []
    for span in spans(text, searched.parts(), words=words, characters=characters):
        piece = text[span.start : span.end]
        wanted = piece.encode()
        count = sum(part.count(wanted) for part in searched.parts())
        told = tuple(_places(searched, wanted, places))
        found.append(Passage(*span, piece, count, told))
    return found


def _places(searched: Searched, wanted: bytes, most: int | None) -> list[Place]:
    """The first places of a text, those in documents that were read before all others."""
    looked = None if most is None else max(most, LOOKED) if searched.readings else most
    found = list(itertools.islice(_standing(searched.indexes, wanted, looked), looked))
    if searched.readings:
        found.sort(key=lambda one: (one[0], one[2].id) not in searched.readings)
    return [_place(searched, *one) for one in found[:most]]


def _standing(
    indexes: Mapping[str, OpenIndex], wanted: bytes, most: int | None
) -> Iterator[tuple[str, OpenIndex, Standing, int]]:
    """Each place of a text and its document, in the order of the corpora and their documents."""
    for corpus, index in indexes.items():
        for begin, part in index.parts():
            for place in part.places(wanted)[:most].tolist():
                yield corpus, index, index.document(begin + place), begin + place


def _place(
    searched: Searched, corpus: str, index: OpenIndex, document: Standing, place: int
) -> Place:
    before = index.text(document.start, place)
    about = (document.id, document.source, document.licence, document.sha256)
    readings = searched.readings.get((corpus, document.id), ()) if searched.readings else None
    return Place(corpus, *about, len(before), before.count("\n") + 1, readings)


def _readings(node: Node) -> Iterator[tuple[str, str, Reading]]:
    """(corpus, document id, reading) of each row that a model's own training read."""
    assert isinstance(node.artefact, Checkpoint)
    names = {drawn: own_name(versions[0]) for drawn, versions in sources_of(node).items()}
    for draw in node.artefact.draws():
        reading = Reading(node.artefact.key, draw.first_step, draw.tokens)
        yield names.get(draw.corpus, draw.corpus), draw.document_id, reading


def opened(store: Store, target: str) -> Searched:
    """The indexes of the training documents of a ``target``, as ``named`` takes it.

    Raises StoreError if it has no documents, or if documents have no index; the message says how to
    make one.
    """
    artefact = named(store, target)
    node = trace(store, artefact, verify=False)
    corpora = dict(documents_of(node))
    if not corpora:
        raise StoreError(f"{artefact.key}: no documents are in its lineage, so nothing is searched")
    recipe = artefact.key.partition("/")[0]
    recipe = "RECIPE" if recipe in corpora else recipe
    indexes = {name: _index_of(store, found, recipe).open() for name, found in corpora.items()}
    return Searched(artefact.key, artefact.version, indexes, node)


def named(store: Store, target: str) -> Artefact:
    """The documents of a corpus, the foundation of a recipe, or else what ``locate`` finds."""
    names = [f"{target}/{name}" for name in ("documents", "foundation")]
    known = store.keys()
    return locate(store, next((name for name in names if name in known), target))


def documents_of(node: Node) -> Iterator[tuple[str, Documents]]:
    """The documents that an artefact was made from, by corpus.

    A search for contamination also reads documents that only evaluate; it is passed over.
    """
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        artefact = waiting[0].artefact
        parents = waiting.pop(0).parents
        if isinstance(artefact, Contamination):
            continue
        waiting += parents
        if isinstance(artefact, Documents) and artefact.version not in seen:
            corpus = artefact.key.partition("/")[0]
            yield (f"{corpus}@{artefact.version[:12]}" if corpus in seen else corpus), artefact
            seen |= {artefact.version, corpus}


def _index_of(store: Store, documents: Documents, recipe: str) -> TextIndex:
    """The index of a version of documents. Raises StoreError if there is none."""
    for reference in store.references.all():
        if not reference.key.endswith("/index") or not store.holds(reference.version):
            continue
        record = store.record(reference.derivation)
        if record is not None and record.decides["inputs"] == {"documents": documents.version}:
            return store.open(reference.key, reference.version, TextIndex, reference.derivation)
    corpus = documents.key.partition("/")[0]
    raise StoreError(
        f"{documents.key}: version {documents.version[:12]} has no index; make it with dragon run"
        f" {recipe} --select {corpus}/index"
    )
