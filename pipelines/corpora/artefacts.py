"""What a corpus' artefacts hold, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.corpora.ledger import LEDGER, Ledger
from pipelines.text.arrow import ArrowFile
from pipelines.text.tables import Document, Unread, read_documents, read_unread

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED = "dropped.arrow"
OVERLAPS = "overlaps.arrow"


class RawText(Artefact):
    """Documents as their source gave them: ``documents.arrow``; rows that are none, and why."""

    kind = "arrow"
    TABLE: ClassVar[str] = "documents.arrow"
    UNREAD: ClassVar[str] = "unread.arrow"

    def documents(self) -> Iterator[Document]:
        """All documents in the source's order."""

        return read_documents(self.table(self.TABLE))

    def unread(self) -> Iterator[Unread]:
        """The rows that were left out since they are no documents, in the source's order."""

        if self.UNREAD not in self.files:  # of a version made before they were kept
            return iter(())
        return read_unread(self.table(self.UNREAD))

    def remark(self) -> str:
        """How many rows were left out, and for what reasons."""
        figures = self.figures()
        reasons = {
            name.removeprefix("dropped_"): int(count)
            for name, count in figures.items()
            if name.startswith("dropped_")
        }
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        count = sum(reasons.values())
        return f"{count:,} bad row{'s' * (count > 1)} left out: {told}" if count else ""


class Documents(Artefact):
    """Clean documents, each once, one Arrow file a split, and the ledger of what was dropped."""

    kind = "arrow"

    def split(self, name: str) -> Iterator[Document]:
        """The documents of ``train``, ``validation`` or ``test``."""

        return read_documents(self.table(f"{name}.arrow"))

    def training_texts(self, left_out: frozenset[str] = frozenset()) -> Iterator[str]:
        """The texts of the training split, but those of some documents."""
        return (d.text for d in self.split("train") if d.id not in left_out)

    def dropped(self) -> Iterator[DroppedRow]:
        """The documents that were left out: why, and the start of each."""
        return read_dropped(self.table(DROPPED))

    def ledger(self) -> Ledger:
        """What went in, what was kept in each split, what was dropped and why."""
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


class Contamination(Artefact):
    """Training documents that share words in a row with what the model is evaluated on."""

    kind = "arrow"

    def overlaps(self) -> Iterator[Overlapping]:
        """Pairs of a training document and an evaluation text."""
        return read_overlaps(self.table(OVERLAPS))

    def left_out(self) -> dict[str, frozenset[str]]:
        """The ids of the training documents that share words, by corpus."""
        found: dict[str, set[str]] = {}
        for row in self.overlaps():
            found.setdefault(row.corpus, set()).add(row.document_id)
        return {corpus: frozenset(ids) for corpus, ids in found.items()}


def left_out(contamination: Mapping[str, Contamination]) -> dict[str, frozenset[str]]:
    """The ids of the training documents to leave out, by corpus; none without that input."""
    return contamination["all"].left_out() if contamination else {}


def left_out_of(corpus: str, contamination: Mapping[str, Contamination]) -> frozenset[str]:
    """The documents of a corpus that nothing is trained on."""
    return left_out(contamination).get(corpus, frozenset())


def dropped_schema() -> pa.Schema:
    """Columns of the table of documents that were left out; ``text`` is the start of each."""
    import pyarrow as pa

    words = [pa.field(name, pa.string(), nullable=False) for name in DroppedRow._fields[:5]]
    return pa.schema(
        [
            *words,
            pa.field("characters", pa.int64(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("label", pa.string()),
        ]
    )


class DroppedRow(NamedTuple):
    """A document that was left out: why, and the start of its text as the step saw it."""

    id: str
    source: str
    licence: str
    reason: str
    detail: str
    characters: int
    text: str
    label: str | None


def read_dropped(table: ArrowFile) -> Iterator[DroppedRow]:
    """The documents that were left out, in order."""
    yield from map(DroppedRow._make, table.rows(DroppedRow._fields))


class Overlapping(NamedTuple):
    """A training document and an evaluation text that share ``shared`` n-grams, the first told."""

    corpus: str
    document_id: str
    evaluation: str
    evaluation_id: str
    shared: int
    ngram: str


def read_overlaps(table: ArrowFile) -> Iterator[Overlapping]:
    """The rows of ``overlaps.arrow``."""
    yield from map(Overlapping._make, table.rows(Overlapping._fields))
