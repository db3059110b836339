"""A table of the training documents that share words with what a model is evaluated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.text.arrow import ArrowFile
from pipelines.text.contamination import EvaluationSets, overlaps
from pipelines.text.tables import Document, TableWriter, documents_of, write_index

if TYPE_CHECKING:
    import pyarrow as pa

OVERLAPS = "overlaps.arrow"


class Overlapping(NamedTuple):
    """A training document and an evaluation text that share ``shared`` n-grams, the first told."""

    corpus: str
    document_id: str
    evaluation: str
    evaluation_id: str
    shared: int
    ngram: str


def write_overlaps(
    folder: Path,
    training: Mapping[str, ArrowFile],
    evaluation: Mapping[str, Iterable[Document]],
    ngram: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Write ``overlaps.arrow``; counts of contaminated documents, in all and by corpus.

    ``training`` are tables of documents by corpus, ``evaluation`` held-out documents by the name of
    their set. Only the evaluation sets are held in memory.
    """
    sets = EvaluationSets(ngram)
    for name, documents in evaluation.items():
        for document in documents:
            sets.add(name, document.id, document.text)
    counts: Counter[str] = Counter(documents=0)
    with TableWriter(folder, OVERLAPS, _schema()) as writer:
        for corpus, table in training.items():
            for told, batch in zip(table.index.batches, table.batches(), strict=True):
                for document in documents_of(batch):
                    found = overlaps(sets, document.id, document.text)
                    counts["documents"] += bool(found)
                    counts[f"documents_{corpus}"] += bool(found)
                    for one in found:
                        where = (one.evaluation, one.evaluation_id, one.count, one.ngram)
                        writer.add((corpus, document.id, *where), len(one.ngram))
                advance(told.length)
    write_index(folder, [writer.index])
    counts["evaluation_texts_too_short"] = sets.skipped.total()
    return counts


def read_overlaps(table: ArrowFile) -> Iterator[Overlapping]:
    """The rows of ``overlaps.arrow``."""
    yield from map(Overlapping._make, table.rows(Overlapping._fields))


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(Overlapping._fields, pa.string()) | {"shared": pa.int64()}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
