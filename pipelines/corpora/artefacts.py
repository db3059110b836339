"""The artefacts of a corpus: the content of each, and the functions that read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.core.artefact import Artefact, Rows
from pipelines.corpora.ledger import LEDGER, Ledger
from pipelines.text.arrow import ArrowFile
from pipelines.text.tables import Document, Unread, read_documents, read_unread

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED = "dropped.arrow"
OVERLAPS = "overlaps.arrow"
LICENCES = "licences.json"


class RawText(Artefact):
    """The unchanged documents of a source, and the rows that are no documents with the reasons.

    The documents are in ``documents.arrow``, the other rows in ``unread.arrow``.
    """

    kind = "arrow"
    TABLE: ClassVar[str] = "documents.arrow"
    UNREAD: ClassVar[str] = "unread.arrow"

    def documents(self) -> Iterator[Document]:
        """All documents in the source's order."""
        return read_documents(self.table(self.TABLE))

    def unread(self) -> Iterator[Unread]:
        """The rows that were left out because they are no documents, in the source's order."""
        if self.UNREAD not in self.files:  # an old version, which did not keep these rows
            return iter(())
        return read_unread(self.table(self.UNREAD))

    def remark(self) -> str:
        """The number of rows that were left out, by reason."""
        figures = self.figures()
        reasons = {
            name.removeprefix("dropped_"): int(count)
            for name, count in figures.items()
            if name.startswith("dropped_")
        }
        counts_by_reason = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        count = sum(reasons.values())
        return f"{count:,} bad row{'s' * (count > 1)} left out: {counts_by_reason}" if count else ""


class Forgotten(Artefact):
    """The documents of a corpus that were taken back: their digests, and never their texts."""

    kind = "json"
    LIST: ClassVar[str] = "forgotten.json"

    def entries(self) -> Rows:
        """Each forgotten text: its raw ``id`` and ``sha256``, ``reason``, ``bytes``, and the
        ``parts`` that cleaning had made of it: ``id``, ``split``, ``bytes``, ``tokens`` by
        tokenizer."""
        entries: Rows = self.json(self.LIST)["documents"]
        return entries

    def by_digest(self) -> dict[str, dict[str, str]]:
        """What a hole keeps of each forgotten text, as JSON: by the digest of the raw text, then by
        the raw id. Equal texts had become different documents."""
        kept = ("bytes", "parts")
        found: dict[str, dict[str, str]] = {}
        for entry in self.entries():
            told = json.dumps({name: entry[name] for name in kept}, sort_keys=True)
            found.setdefault(entry["sha256"], {})[entry["id"]] = told
        return found

    def figures(self) -> dict[str, float]:
        """How many texts are forgotten."""
        return {"forgotten": len(self.entries())}


class Documents(Artefact):
    """Clean documents, one Arrow file for each split, and the ledger.

    Each document occurs once. The ledger counts what was kept and what was dropped.
    """

    kind = "arrow"

    def split(self, name: str) -> Iterator[Document]:
        """The documents of ``train``, ``validation`` or ``test``."""
        return read_documents(self.table(f"{name}.arrow"))

    def training_texts(self, left_out: frozenset[str] = frozenset()) -> Iterator[str]:
        """The texts of the training split, without the documents with the ids ``left_out``."""
        return (d.text for d in self.split("train") if d.id not in left_out)

    def dropped(self) -> Iterator[DroppedRow]:
        """The documents that were left out, each with its reason and the start of its text."""
        return read_dropped(self.table(DROPPED))

    def ledger(self) -> Ledger:
        """The ledger: documents that came in, were kept in each split, or were dropped and why."""
        return Ledger.from_json(self.read(LEDGER))

    def figures(self) -> dict[str, float]:
        """The ledger's counts."""
        ledger = self.ledger()
        return {
            "documents_in": ledger.documents_in,
            "documents_kept": ledger.kept.total(),
            "bytes_kept": ledger.bytes_kept.total(),
            **{f"dropped_{reason}": n for reason, n in sorted(ledger.dropped.items())},
        }


class Licences(Artefact):
    """The licences of the training documents of a recipe, by corpus."""

    kind = "json"

    def corpora(self) -> dict[str, list[dict[str, Any]]]:
        """``licence`` (an SPDX expression), ``known``, ``documents``, ``stated`` of each corpus."""
        corpora: dict[str, list[dict[str, Any]]] = self.json(LICENCES)
        return corpora


class Contamination(Artefact):
    """Training documents that share n-grams of words with text the model is evaluated on."""

    kind = "arrow"

    def overlaps(self) -> Iterator[Overlapping]:
        """Pairs of a training document and an evaluation text."""
        return read_overlaps(self.table(OVERLAPS))

    def left_out(self) -> dict[str, frozenset[str]]:
        """The ids of the training documents that share n-grams, by corpus."""
        ids_by_corpus: dict[str, set[str]] = {}
        for row in self.overlaps():
            ids_by_corpus.setdefault(row.corpus, set()).add(row.document_id)
        return {corpus: frozenset(ids) for corpus, ids in ids_by_corpus.items()}


def licences_in(licences: Mapping[str, Licences]) -> dict[str, Any]:
    """The licences of a recipe's texts, for the record of what is made of them; none without that
    input."""
    if not licences:
        return {}
    corpora = licences["all"].corpora()
    return {"licences": {name: [row["licence"] for row in rows] for name, rows in corpora.items()}}


def left_out(contamination: Mapping[str, Contamination]) -> dict[str, frozenset[str]]:
    """The ids of the training documents to leave out, by corpus; empty without that input."""
    return contamination["all"].left_out() if contamination else {}


def left_out_of(corpus: str, contamination: Mapping[str, Contamination]) -> frozenset[str]:
    """The ids of the documents of a corpus that no training may use."""
    return left_out(contamination).get(corpus, frozenset())


def dropped_schema() -> pa.Schema:
    """The columns of the table of dropped documents; ``text`` is the start of the text."""
    import pyarrow as pa

    words = [pa.field(name, pa.string(), nullable=False) for name in DroppedRow._fields[:5]]
    return pa.schema(
        [
            *words,
            pa.field("characters", pa.int64(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("original", pa.string(), nullable=False),
        ]
    )


class DroppedRow(NamedTuple):
    """A dropped document: the reason, and the start of its text when the step dropped it.

    ``original`` is the id of the document that it is a copy of; empty for none.
    """

    id: str
    source: str
    licence: str
    reason: str
    detail: str
    characters: int
    text: str
    label: str | None
    original: str = ""


def read_dropped(table: ArrowFile) -> Iterator[DroppedRow]:
    """The dropped documents, in order. A table of an earlier program tells no ``original``."""
    names: Sequence[str] = DroppedRow._fields
    if "original" not in table.schema.names:
        names = names[:-1]
    yield from (DroppedRow(*row) for row in table.rows(names))


class Overlapping(NamedTuple):
    """A training document and an evaluation text that share ``shared`` n-grams.

    ``ngram`` is the first of these n-grams.
    """

    corpus: str
    document_id: str
    evaluation: str
    evaluation_id: str
    shared: int
    ngram: str


def read_overlaps(table: ArrowFile) -> Iterator[Overlapping]:
    """The rows of ``overlaps.arrow``."""
    yield from map(Overlapping._make, table.rows(Overlapping._fields))
