"""What holds a document, or hangs on a file, a corpus, a library or a version: the way down.

The index says where a document stands; each row that is told was read from its checked table, and
each place that is told was proven from its record and manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.index import Index
from pipelines.lineage.tables import Row

MODELS = ("Checkpoint", "Weights", "KeptStates", "Trial")
DRAWS = "draws"  # how the tables of what a training read begin
HOLDS, READ, FROM, HANGS = "holds", "read", "from", "hangs"
"""How a place is reached: it has it itself; it was trained on it; a model that it was made from was
trained on it; it was made from something that has it."""


@dataclass(frozen=True)
class Reached:
    """A place that has what was asked for, or hangs on it.

    ``facts`` has what the rows say: ``splits``, ``reasons`` of what was dropped, and of a model
    ``tokens`` and ``first_step``. ``through`` are the models above it that read it. ``remark`` says
    what is not known of a model, or empty.
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


@dataclass(frozen=True)
class Document:
    """A document that was found: its corpus, id and the sha256 of its text; "" if not known.

    ``similarity`` is 0 for the document itself; a near copy has its estimated similarity.
    """

    corpus: str
    id: str
    sha256: str
    similarity: float = 0.0


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
    return Impact("document", subject, tuple(ordered), tuple(_reached(index, graph, by_place)))


def rows_of(index: Index, graph: Graph, names: Sequence[str]) -> list[Row]:
    """All rows of the documents that bear a name: an id, or the sha256 of a text.

    A document that was found by its text is followed by its id through its own corpus, for its raw
    text and the shards bear the id; one found by its id is followed by its text to exact copies.
    """
    first = index.rows(graph, names)
    texts = [row for row in first if _is_of_text(row)]
    shas = {row.values["sha256"] for row in texts if "sha256" in row.values}
    ids = {_id(row): None for row in texts if _id(row)}
    corpora = {corpus for row in texts for corpus in corpora_of(graph, row)}
    known = {(row.version, row.table, row.number) for row in first}
    below = set(graph.below(p for row in first for p in graph.of_version.get(row.version, [])))
    names_of_corpora = {key.partition("/")[0] for key in graph.current if "/documents" in key}
    more = index.rows(graph, [name for name in (*ids, *shas) if name not in names])
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
    """The corpora that a row may be of: as its table says, or else the scopes of its keys."""
    if "corpus" in row.values:
        return {str(row.values["corpus"])}
    _, _, file = row.table.partition("/")
    if file:  # of shards: train/tales-00000.arrow
        return {file.rpartition("-")[0]}
    places = graph.of_version.get(row.version, [])
    return {
        key.partition("/")[0]
        for place in places
        for key in graph.keys(place) or [graph.name(place)]
    }


def _is_of_text(row: Row) -> bool:
    """Whether the row is of a document's text: an example's digest is of its JSON."""
    return row.values.get("example_id", "") == ""


def _id(row: Row) -> str:
    """The id of the row's document; an example says which document it was made from."""
    return str(row.values.get("document_id") or row.values.get("id") or "")


def _is_of_document(row: Row) -> bool:
    """Whether a row is of a table of texts, and not of one that names their documents."""
    return "id" in row.values and "sha256" in row.values and "document_id" not in row.values


def _document(graph: Graph, row: Row) -> Document:
    corpus = min(corpora_of(graph, row), default="")
    return Document(corpus, row.values["id"], row.values["sha256"], row.similarity)


def _reached(index: Index, graph: Graph, rows: Mapping[Place, list[Row]]) -> Iterable[Reached]:
    readers: dict[Place, dict[str, None]] = {}  # the models above each place that read it
    for place in graph.below(rows):
        graph.proven(index.store, place)
        made, facts = graph.made.get(place), _facts(rows.get(place, []))
        above: dict[str, None] = {}
        for parent in graph.parents(place):
            above |= readers.get(parent, {})
        makes = made.makes if made else ""
        how = HOLDS if place in rows else FROM if above else HANGS
        if "first_step" in facts:
            how = READ
            readers[place] = {**above, graph.name(place): None}
        elif above:
            readers[place] = above
        yield Reached(
            place,
            graph.name(place),
            tuple(graph.keys(place)),
            makes,
            graph.is_current(place),
            how,
            facts,
            tuple(above),
            _remark(graph, place, makes, how) if any(rows.values()) else "",
        )


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
    if not any(name.startswith(DRAWS) for name in graph.files(place.version)):
        return "it keeps no list of what it read"
    return "it did not read it itself"
