"""Labelled texts, each in the split of its document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.splits import SPLITS, Split
from pipelines.examples.artefacts import Labelled, require_held_out, schema_of
from pipelines.examples.options import LabelsTaken
from pipelines.text.arrow import FileIndex
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, TableWriter, write_index


def make_labelled(
    documents: Mapping[Split, Iterable[Document]], folder: Path, labels: Sequence[str]
) -> dict[Split, dict[str, int]]:
    """Write ``<split>.arrow`` of labelled texts; return the count of each label in each split.

    Raises TextError for a document whose label is not one of ``labels``, or for a label without a
    training example.
    """
    counts, indexes = {}, []
    for split in SPLITS:
        label_counts = dict.fromkeys(labels, 0)
        examples = _labelled(documents[split], label_counts)
        indexes.append(write_labelled(folder, f"{split}.arrow", examples))
        counts[split] = label_counts
    if absent := [label for label, n in counts["train"].items() if not n]:
        raise TextError(
            f"label={absent[0]} has no training example; correct the task's `labels`, or add"
            " documents with this label"
        )
    require_held_out({split: sum(label_counts.values()) for split, label_counts in counts.items()})
    write_index(folder, indexes)
    return counts


def _labelled(documents: Iterable[Document], seen: dict[str, int]) -> Iterator[Labelled]:
    for document in documents:
        if document.label not in seen:
            raise TextError(
                f"document {document.id}: label={document.label} is not one of "
                f"{', '.join(seen)}; correct the task's `labels`"
            )
        seen[document.label] += 1
        yield Labelled(document.id, document.id, document.text, document.label)


def write_labelled(folder: Path, path: str, examples: Iterable[Labelled]) -> FileIndex:
    """Write labelled texts to an Arrow file as a stream."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.large_string(), pa.string()]
    with TableWriter(folder, path, schema_of(Labelled._fields, types)) as writer:
        for example in examples:
            writer.add(example, len(example.text))
    return writer.index


def take(making: Making, settings: LabelsTaken, documents: Documents) -> None:
    """Write the labelled texts of a task; each stays in the split of its document."""
    splits = {split: documents.split(split) for split in SPLITS}
    counts = make_labelled(splits, making.folder, settings.labels)
    flat = {f"{split}_{label}": n for split, row in counts.items() for label, n in row.items()}
    making.write(FIGURES, flat)
