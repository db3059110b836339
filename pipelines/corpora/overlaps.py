"""The table of the training documents that share n-grams of words with evaluation text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import OVERLAPS, Documents, Overlapping
from pipelines.corpora.contamination import MOST_OVERLAPS, EvaluationSets, overlaps
from pipelines.corpora.decontamination import Against
from pipelines.corpora.splits import SPLITS
from pipelines.text.arrow import ArrowFile
from pipelines.text.tables import Document, TableWriter, documents_of, write_index

if TYPE_CHECKING:
    import pyarrow as pa


def write_overlaps(
    folder: Path,
    training: Mapping[str, ArrowFile],
    evaluation: Mapping[str, Iterable[Document]],
    ngram: int,
    advance: Callable[[int], None] = lambda _: None,
    most: int = MOST_OVERLAPS,
) -> Counter[str]:
    """Write ``overlaps.arrow``, and return the counts of contaminated documents.

    The counts are for all corpora together and for each corpus. ``training`` has a table of
    documents for each corpus, ``evaluation`` the held-out documents by the name of their set;
    ``most`` of them are reported for a training document. Only the evaluation sets are held in
    memory.
    """
    sets = EvaluationSets(ngram, most)
    for name, documents in evaluation.items():
        for document in documents:
            sets.add(name, document.id, document.text)
    counts: Counter[str] = Counter(documents=0)
    with TableWriter(folder, OVERLAPS, _schema()) as writer:
        for corpus, table in training.items():
            for listed, batch in zip(table.index.batches, table.batches(), strict=True):
                for document in documents_of(batch):
                    shared = overlaps(sets, document.id, document.text)
                    counts["documents"] += bool(shared)
                    counts[f"documents_{corpus}"] += bool(shared)
                    for overlap in shared:
                        row = (
                            overlap.evaluation,
                            overlap.evaluation_id,
                            overlap.count,
                            overlap.ngram,
                        )
                        writer.add((corpus, document.id, *row), len(overlap.ngram))
                advance(listed.length)
    write_index(folder, [writer.index])
    counts["evaluation_texts_too_short"] = sets.skipped.total()
    return counts


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(Overlapping._fields, pa.string()) | {"shared": pa.int64()}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def find(making: Making, settings: Against, documents: dict[str, Documents]) -> None:
    """Find the training documents that share n-grams of words with held-out documents."""
    training = {
        corpus: texts.table("train.arrow")
        for corpus, texts in documents.items()
        if corpus not in settings.against
    }
    evaluation = {
        f"{corpus}/{split}": texts.split(split)
        for corpus, texts in documents.items()
        for split in (SPLITS if corpus in settings.against else SPLITS[1:])
    }
    size = sum(table.index.size for table in training.values())
    advance = making.advance(size)
    counts = write_overlaps(making.folder, training, evaluation, settings.ngram, advance)
    making.write(FIGURES, dict(counts))
