"""The writing of a task's examples: one table for each split, the figures and the card."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.roles import ASSISTANT
from pipelines.corpora.splits import SPLITS, Split
from pipelines.examples.artefacts import CARD, Chat, Preference, require_held_out, schema_of
from pipelines.examples.card import Card
from pipelines.text.arrow import FileIndex
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, TableWriter, write_index

if TYPE_CHECKING:
    import pyarrow as pa

Example = TypeVar("Example", Chat, Preference)
Taking = Callable[[Document, Counter[str]], Iterable[Example]]
"""The examples of a document; what it leaves out it counts."""


@dataclass
class Written:
    """What was written: the number of examples by split, what was left out, and the card."""

    counts: dict[Split, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    card: Card = field(default_factory=Card)


def write_examples(
    documents: Mapping[Split, Iterable[Document]],
    folder: Path,
    take: Taking[Example],
    write: Callable[[Path, str, Iterable[Example]], FileIndex],
    most: int | None,
    missing: Callable[[], str],
) -> Written:
    """Write ``<split>.arrow`` of the examples in each split's documents.

    ``most`` keeps that many training examples, the first in the order of the sha256 of their ids.
    So the sample does not depend on the documents' order. Raises TextError with the words of
    ``missing`` if there is no training example, or for another split without one.
    """
    written, indexes = Written(), []
    for split in SPLITS:
        examples: Iterable[Example] = _taken(documents[split], take, written)
        if split == "train" and most is not None:
            examples = heapq.nsmallest(most, examples, key=_hash_order)
        counted = _counted(split, examples, written.card)
        indexes.append(write(folder, f"{split}.arrow", counted))
        written.counts[split] = indexes[-1].rows
    if not written.counts["train"]:
        raise TextError(missing())
    require_held_out(written.counts)
    write_index(folder, indexes)
    return written


def _taken(
    documents: Iterable[Document], take: Taking[Example], written: Written
) -> Iterator[Example]:
    for document in documents:
        examples = list(take(document, written.left_out))
        if examples:
            written.card.of_document(document.licence)
        yield from examples


def _counted(split: str, examples: Iterable[Example], card: Card) -> Iterator[Example]:
    for example in examples:
        _count(card, split, example)
        yield example


def _count(card: Card, split: str, example: Chat | Preference) -> None:
    if isinstance(example, Chat):
        card.add(split, example.roles, example.said, example.learned)
        return
    roles = [*example.roles, ASSISTANT, ASSISTANT]
    said = [*example.said, example.chosen, example.rejected]
    card.add(split, roles, said, [False] * len(example.said) + [True, False])


def _hash_order(example: Chat | Preference) -> str:
    return hashlib.sha256(example.id.encode()).hexdigest()


def splits_of(documents: Documents) -> dict[Split, Iterator[Document]]:
    """The documents of each split."""
    return {split: documents.split(split) for split in SPLITS}


def describe(making: Making, written: Written, name: str) -> None:
    """Write the figures and the card; ``name`` is the plural of an example."""
    counts = {f"{split}_{name}": count for split, count in written.counts.items()}
    making.write(FIGURES, {**counts, **+written.left_out})
    making.write(CARD, written.card.tables())


# --- Arrow --------------------------------------------------------------------------------------


def write_chats(folder: Path, path: str, chats: Iterable[Chat]) -> FileIndex:
    """Write conversations to an Arrow file as a stream."""
    import pyarrow as pa

    texts = pa.list_(pa.large_string())
    types = [pa.string(), pa.string(), pa.list_(pa.string()), texts, pa.list_(pa.bool_())]
    return _write(folder, path, Chat._fields, types, chats)


def write_preferences(folder: Path, path: str, rows: Iterable[Preference]) -> FileIndex:
    """Write preferences to an Arrow file as a stream."""
    import pyarrow as pa

    text, texts = pa.large_string(), pa.list_(pa.large_string())
    types = [pa.string(), pa.string(), pa.list_(pa.string()), texts, text, text]
    return _write(folder, path, Preference._fields, types, rows)


def _write(
    folder: Path,
    path: str,
    names: Sequence[str],
    types: Sequence[pa.DataType],
    rows: Iterable[Chat | Preference],
) -> FileIndex:
    with TableWriter(folder, path, schema_of(names, types)) as writer:
        for row in rows:
            more = () if isinstance(row, Chat) else (row.chosen, row.rejected)
            writer.add(row, sum(map(len, chain(row.said, more))))
    return writer.index
