"""The making of an evaluation set: from the rows of its source to items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kinds import catalogue as sources
from pipelines.corpora.sources.records import BadRow
from pipelines.evaluation.items import Item, Items, require_items
from pipelines.evaluation.suite import ItemsTaken
from pipelines.evaluation.suites import catalogue
from pipelines.text.errors import TextError
from pipelines.text.tables import TableWriter, write_index


def take(making: Making, settings: ItemsTaken) -> None:
    """Write the items of a set, in the order of its source.

    Raises TextError for a row that is no item, with its file, row and field, and without an item.
    """
    import pyarrow as pa

    texts = pa.list_(pa.field("item", pa.string(), nullable=False))
    kinds = dict(zip(Item._fields, (pa.string(), texts, texts, pa.int64()), strict=True))
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
    taken: list[Item] = list(_items(making.project, settings))
    require_items(taken, making.key)
    with TableWriter(making.folder, Items.TABLE, schema) as writer:
        for item in taken:
            writer.add(item, sum(map(len, (*item.contexts, *item.continuations))))
    write_index(making.folder, [writer.index])
    choices = sum(len(item.continuations) for item in taken)
    making.write(FIGURES, {"items": len(taken), "choices": choices})


def _items(project: Project, settings: ItemsTaken) -> Iterator[Item]:
    kind = catalogue()[settings.kind]
    documents = read_source(settings.source, folder_root=project.root, cache=project.downloads)
    for document in documents:
        rows = settings.fields is not None
        row = json.loads(document.text) if rows else {"text": document.text}
        try:
            yield kind.item(document.id, row, settings.fields)
        except BadRow as bad:
            raise TextError(f"{document.id}: {bad}; mend the row, or correct `fields`") from None


def observed(settings: ItemsTaken, project: Project) -> dict[str, Any]:
    """What decides the rows outside the recipe, such as the content of a folder."""
    return sources()[settings.source.kind].observed(settings.source, project.root)
