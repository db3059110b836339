"""From a source to documents as it gave them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.corpora.artefacts import RawText
from pipelines.corpora.sources import folder_state, read_source
from pipelines.corpora.sources.options import FolderSource, HubSource, Source
from pipelines.text.addresses import HUB_ADDRESS, hub_endpoint
from pipelines.text.tables import (
    TableWriter,
    Unread,
    unread_schema,
    write_documents,
    write_index,
)


def read(making: Making, settings: Source) -> None:
    """Documents as their source gave them, and beside them the rows that are none, with why."""
    notes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()

    def leave(row: Unread) -> None:
        reasons[f"dropped_{row.reason}"] += 1
        unread.add(row, len(row.detail))

    root, cache = making.project.root, making.project.downloads
    with TableWriter(making.folder, RawText.UNREAD, unread_schema()) as unread:
        documents = read_source(settings, folder_root=root, cache=cache, notes=notes, leave=leave)
        told = making.telling(documents, lambda document: len(document.text))
        index = write_documents(making.folder, RawText.TABLE, told)
    write_index(making.folder, [index, unread.index])
    making.write(FIGURES, {"documents": index.rows, **notes, **reasons})


def observed(settings: Source, project: Project) -> dict[str, Any]:
    """What outside the recipe decides what a source gives.

    A folder's name says nothing of what is in it: its content does. Rows of a hub are proved by
    nothing but their revision, so it counts who answers where that is not the usual hub.
    """
    if isinstance(settings, FolderSource):
        return {"files": folder_state(settings, project.root)}
    if isinstance(settings, HubSource) and hub_endpoint() != HUB_ADDRESS:
        return {"hub": hub_endpoint()}
    return {}
