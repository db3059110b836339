"""What holds a document, or hangs on a file, a corpus, a library or a version: the way down.

The index says where a document stands; each row that is told was read from its checked table, and
each place that is told was proven from its record and manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.index import Index
from pipelines.lineage.tables import Row
from pipelines.tokens.artefacts import EXAMPLES

MODELS = ("Checkpoint", "Weights", "KeptStates", "Trial")
LISTS = "draws"  # how the names of the lists of what a training read begin
Marks = Mapping[str, None]  # an ordered set of names
HOLDS, READ, FROM, HANGS = "holds", "read", "from", "hangs"
"""How a place is reached: it has it itself; it was trained on it; a model that it was made from was
trained on it; it was made from something that has it."""


@dataclass(frozen=True)
class Reached:
    """A place that has what was asked for, or hangs on it.

    ``facts`` has what the rows say: ``splits``, ``reasons`` of what was dropped, and of a model
    ``tokens`` and ``first_step``. ``through`` are the models above it that read it. ``remark`` says
    what is not known of a model, or empty. ``documents`` says of which of the documents this is, as
    ``corpus/id``.
    """

    place: Place
    key: str
    keys: tuple[str, ...]
    makes: str
    current: bool
    how: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    through: tuple[str, ...] = ()
    remark: str = ""
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A document that was found: its corpus, id and the sha256 of its text; "" if not known.

    ``similarity`` is 0 for the document itself; a near copy has its estimated similarity.
    """

    corpus: str
    id: str
    sha256: str
    similarity: float = 0.0

    @property
    def name(self) -> str:
        """The document's name in the whole store: ``corpus/id``."""
        return f"{self.corpus}/{self.id}"


@dataclass(frozen=True)
class Impact:
    """The answer: the documents that were meant, if any, and all that is reached, parents first."""

    kind: str
    subject: str
    documents: tuple[Document, ...]
    reached: tuple[Reached, ...]


def of_places(index: Index, graph: Graph, kind: str, subject: str, places: list[Place]) -> Impact:
    """What hangs on some places, these included."""
    rows = {place: list[Row]() for place in places}
    return Impact(kind, subject, (), tuple(_reached(index, graph, rows)))


def of_rows(index: Index, graph: Graph, subject: str, rows: Sequence[Row]) -> Impact:
    """What holds the documents of some rows, and what hangs on these places."""
    by_place: dict[Place, list[Row]] = {}
    for row in rows:
        for place in graph.of_version.get(row.version, []):
            by_place.setdefault(place, []).append(row)
    found = {_document(graph, row) for row in rows if _is_of_document(row)}
    ordered = sorted(found, key=lambda one: (one.similarity, one.corpus, one.id, one.sha256))
    known = {one.name for one in found}
    names = {
        place: {name: None for row in held for name in _names(graph, row) if name in known}
        for place, held in by_place.items()
    }
    reached = tuple(_reached(index, graph, by_place, names))
    return Impact("document", subject, tuple(ordered), reached)


def rows_of(index: Index, graph: Graph, names: Sequence[str], corpus: str = "") -> list[Row]:
    """All rows of the documents that bear a name: an id, or the sha256 of a text.

    With ``corpus`` the documents are those of this corpus, and what was made from them.

    A document that was found by its text is followed by its id through its own corpus, for its raw
    text and the shards bear the id; one found by its id is followed by its text to exact copies.
    """
    first = index.rows(graph, names)
    if corpus:
        first = [row for row in first if corpus in corpora_of(graph, row)]
    texts = [row for row in first if _is_of_text(row)]
    shas = {row.values["sha256"] for row in texts if "sha256" in row.values}
    ids = {_id(row): None for row in texts if _id(row)}
    corpora = {corpus} if corpus else {c for row in texts for c in corpora_of(graph, row)}
    known = {(row.version, row.table, row.number) for row in first}
    below = set(graph.below(p for row in first for p in graph.of_version.get(row.version, [])))
    names_of_corpora = {key.partition("/")[0] for key in graph.current if "/documents" in key}
    more = index.rows(graph, [name for name in (*ids, *shas) if corpus or name not in names])
    for row in more:
        if (row.version, row.table, row.number) in known:
            continue
        said = corpora_of(graph, row)
        is_ours = bool(said & corpora) or (
            not said & names_of_corpora
            and not below.isdisjoint(graph.of_version.get(row.version, []))
        )
        if row.values.get("sha256") in shas or (_id(row) in ids and is_ours):
            first.append(row)
    return first


def corpora_of(graph: Graph, row: Row) -> set[str]:
    """The corpora that a row may be of: as its table says, or else the scopes of its keys.

    An example that a training read is of the corpora that the training's examples were made from.
    """
    said, places = row.values.get("corpus"), graph.of_version.get(row.version, [])
    if said == EXAMPLES:
        return {corpus for place in places for corpus in _taught(graph, place)} or {EXAMPLES}
    if said is not None:
        return {str(said)}
    _, _, file = row.table.partition("/")
    if file:  # of shards: train/tales-00000.arrow
        return {file.rpartition("-")[0]}
    return {scope for place in places for scope in _scopes(graph, place)}


def _taught(graph: Graph, place: Place) -> Iterator[str]:
    """The corpora that the examples of a training were made from."""
    for parent in graph.parents(place):
        makes = graph.made[parent].makes if parent in graph.made else ""
        if makes == "Documents":
            yield from _scopes(graph, parent)
        elif makes in ("Examples", "KeptStates"):
            yield from _taught(graph, parent)


def _scopes(graph: Graph, place: Place) -> Iterator[str]:
    """The first parts of the keys of a place."""
    for key in graph.keys(place) or [graph.name(place)]:
        yield key.partition("/")[0]


def _is_of_text(row: Row) -> bool:
    """Whether the row is of a document's text: an example's digest is of its JSON."""
    return row.values.get("example_id", "") == ""


def _id(row: Row) -> str:
    """The id of the row's document; an example says which document it was made from."""
    return str(row.values.get("document_id") or row.values.get("id") or "")


def _is_of_document(row: Row) -> bool:
    """Whether a row is of a table of texts, and not of one that names their documents."""
    return "id" in row.values and "sha256" in row.values and "document_id" not in row.values


def _names(graph: Graph, row: Row) -> list[str]:
    """The names that the document of a row may have: with each corpus that the row may be of."""
    return [f"{corpus}/{_id(row)}" for corpus in sorted(corpora_of(graph, row))]


def _document(graph: Graph, row: Row) -> Document:
    corpus = min(corpora_of(graph, row), default="")
    return Document(corpus, row.values["id"], row.values["sha256"], row.similarity)


def _reached(
    index: Index,
    graph: Graph,
    rows: Mapping[Place, list[Row]],
    names: Mapping[Place, Marks] = MappingProxyType({}),
) -> Iterator[Reached]:
    """All that hangs on the places of some rows; ``names`` has the documents of these rows."""
    readers: dict[str, Marks] = {}  # by version: the models that read it, and those above that did
    documents: dict[str, Marks] = {}
    for place in graph.below(rows):
        graph.proven(index.store, place)
        held = rows.get(place, [])
        made, facts, name = graph.made.get(place), _facts(held), graph.name(place)
        # What has no row of its own may have the bytes of a place that was reached before.
        above = [*graph.parents(place), *([] if held else [place])]
        through = _joined(readers, above)
        makes = made.makes if made else ""
        how = HOLDS if place in rows else FROM if through else HANGS
        if "first_step" in facts:
            how = READ
        ours = {name: None} if how == READ else {}
        readers[place.version] = {**_joined(readers, [place]), **through, **ours}
        of = names.get(place) or _joined(documents, above)
        documents[place.version] = {**_joined(documents, [place]), **of}
        yield Reached(
            place,
            name,
            tuple(graph.keys(place)),
            makes,
            graph.is_current(place),
            how,
            facts,
            tuple(through),
            _remark(graph, place, makes, how) if any(rows.values()) else "",
            tuple(of),
        )


def _joined(told: Mapping[str, Marks], places: Iterable[Place]) -> Marks:
    """What is told of the versions of some places, together."""
    return {mark: None for place in places for mark in told.get(place.version, {})}


def _facts(rows: Sequence[Row]) -> dict[str, Any]:
    """What the rows of one place say together."""
    facts: dict[str, Any] = {}
    splits = {_split(row): None for row in rows if "first_step" not in row.values}
    if splits:
        facts["splits"] = list(splits)
    if reasons := {row.values["reason"]: None for row in rows if "reason" in row.values}:
        facts["reasons"] = list(reasons)
    if drawn := [row for row in rows if "first_step" in row.values]:
        tokens: dict[str, int] = {}  # each state that a training kept has a table of its own
        for row in drawn:
            tokens[row.table] = tokens.get(row.table, 0) + int(row.values["tokens"])
        facts["tokens"] = max(tokens.values())
        facts["first_step"] = min(int(row.values["first_step"]) for row in drawn)
    if rows and all(row.similarity for row in rows):
        facts["near"] = max(row.similarity for row in rows)
    return facts


def _split(row: Row) -> str:
    """The part of its version that a row is in: ``train``, ``dropped``, ``documents``."""
    return row.table.partition("/")[0].removesuffix(".arrow")


def _remark(graph: Graph, place: Place, makes: str, how: str) -> str:
    if makes not in MODELS or how == READ:
        return ""
    if not any(name.startswith(LISTS) for name in graph.files(place.version)):
        return "it keeps no list of what it read"
    return "it did not read it itself"
