"""Labelled texts, each in the split of its document, or divided anew label by label."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.splits import SPLITS, Split
from pipelines.corpora.splitting import Splitting
from pipelines.examples.artefacts import Labelled, require_held_out, schema_of
from pipelines.examples.options import LabelsTaken
from pipelines.text.arrow import FileIndex
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, TableWriter, write_index

Rows = Mapping[Split, Iterable[Labelled]]


def make_labelled(
    documents: Mapping[Split, Iterable[Document]], folder: Path, settings: LabelsTaken
) -> tuple[dict[Split, dict[str, int]], int]:
    """Write ``<split>.arrow`` of labelled texts.

    Returns the count of each label in each split, and how many documents were left out because they
    have no text. Texts that are divided anew or sampled are in memory meanwhile. Raises TextError
    for a document whose label is not one of the recipe's, and for a label without a training
    example.
    """
    empty: Counter[str] = Counter()
    rows: Rows = {split: _labelled(documents[split], settings, empty) for split in SPLITS}
    if settings.stratified is not None:
        whole = [row for split in SPLITS for row in rows[split]]
        rows = stratified(_sampled(whole, settings), settings.stratified)
    elif settings.balance == "sample":
        rows = {split: _sampled(rows[split], settings) for split in SPLITS}
    counts, indexes = {}, []
    for split in SPLITS:
        label_counts = dict.fromkeys(settings.names(), 0)
        written = _counted(rows[split], label_counts)
        indexes.append(write_labelled(folder, f"{split}.arrow", written))
        counts[split] = label_counts
    if absent := [label for label, n in counts["train"].items() if not n]:
        raise TextError(
            f"label={absent[0]} has no training example; correct the task's `labels`, or add"
            " documents with this label"
        )
    require_held_out({split: sum(label_counts.values()) for split, label_counts in counts.items()})
    write_index(folder, indexes)
    return counts, empty["texts"]


def _labelled(
    documents: Iterable[Document], settings: LabelsTaken, empty: Counter[str]
) -> Iterator[Labelled]:
    names = settings.by_value()
    for document in documents:
        if document.label is None:
            raise TextError(
                f"document {document.id} has no label; map its field in the source's `fields`, or"
                " leave its file out by `glob`"
            )
        if document.label not in names:
            raise TextError(
                f"document {document.id}: label={document.label} is not one of "
                f"{', '.join(names)}; correct the task's `labels`"
            )
        if document.text.strip():
            yield Labelled(document.id, document.id, document.text, names[document.label])
        else:
            empty["texts"] += 1


def _by_label(rows: Iterable[Labelled]) -> dict[str, list[tuple[str, Labelled]]]:
    """The texts of each label with their digests, in the order of these."""
    labels: dict[str, list[tuple[str, Labelled]]] = {}
    for row in rows:
        digest = hashlib.sha256(row.text.encode()).hexdigest()
        labels.setdefault(row.label, []).append((digest, row))
    return {label: sorted(found) for label, found in labels.items()}


def _sampled(rows: Iterable[Labelled], settings: LabelsTaken) -> list[Labelled]:
    """As many texts of each label as the rarest has, if the classes are balanced by a sample."""
    found = list(rows)
    if settings.balance != "sample":
        return found
    labels = _by_label(found)
    fewest = min((len(labels.get(name, ())) for name in settings.names()), default=0)
    kept = {row.id for of_label in labels.values() for _, row in of_label[:fewest]}
    return [row for row in found if row.id in kept]


def stratified(rows: Iterable[Labelled], shares: Splitting) -> dict[Split, list[Labelled]]:
    """The texts divided so that each label has the same shares in every split, to one text.

    The order of the digests decides, and equal texts of a label stay in one split.
    """
    splits: dict[Split, list[Labelled]] = {split: [] for split in SPLITS}
    for _, found in sorted(_by_label(rows).items()):
        tests = round(shares.test * len(found))
        held_out = tests + round(shares.validation * len(found))
        place = 0
        for _, same in groupby(found, key=lambda pair: pair[0]):
            split: Split = (
                "test" if place < tests else "validation" if place < held_out else "train"
            )
            alike = [row for _, row in same]
            splits[split] += alike
            place += len(alike)
    return splits


def _counted(rows: Iterable[Labelled], seen: dict[str, int]) -> Iterator[Labelled]:
    for row in rows:
        seen[row.label] += 1
        yield row


def write_labelled(folder: Path, path: str, examples: Iterable[Labelled]) -> FileIndex:
    """Write labelled texts to an Arrow file as a stream."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.large_string(), pa.string()]
    with TableWriter(folder, path, schema_of(Labelled._fields, types)) as writer:
        for example in examples:
            writer.add(example, len(example.text))
    return writer.index


def take(making: Making, settings: LabelsTaken, documents: Documents) -> None:
    """Write the labelled texts of a task; each stays in the split of its document, unless the task
    divides them anew."""
    splits = {split: documents.split(split) for split in SPLITS}
    counts, empty = make_labelled(splits, making.folder, settings)
    flat = {f"{split}_{label}": n for split, row in counts.items() for label, n in row.items()}
    making.write(FIGURES, flat | ({"left_out_empty": empty} if empty else {}))
