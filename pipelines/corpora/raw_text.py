"""From a source to documents as it gave them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.corpora.artefacts import RawText
from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kind import SourceOptions
from pipelines.corpora.sources.kinds import catalogue
from pipelines.text.tables import (
    TableWriter,
    Unread,
    unread_schema,
    write_documents,
    write_index,
)


def read(making: Making, settings: SourceOptions) -> None:
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


def observed(settings: SourceOptions, project: Project) -> dict[str, Any]:
    """What outside the recipe decides what a source gives, such as the content of a folder."""
    return catalogue()[settings.kind].observed(settings, project.root)
