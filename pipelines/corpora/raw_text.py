"""From a source to its unchanged documents."""

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
    """Write the unchanged documents of a source, and the rows that are no documents with why."""
    notes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()

    def leave(row: Unread) -> None:
        reasons[f"dropped_{row.reason}"] += 1
        unread.add(row, len(row.detail))

    root, cache = making.project.root, making.project.downloads
    with TableWriter(making.folder, RawText.UNREAD, unread_schema()) as unread:
        documents = read_source(settings, folder_root=root, cache=cache, notes=notes, leave=leave)
        tracked = making.telling(documents, lambda document: len(document.text))
        index = write_documents(making.folder, RawText.TABLE, tracked)
    write_index(making.folder, [index, unread.index])
    making.write(FIGURES, {"documents": index.rows, **notes, **reasons})


def observed(settings: SourceOptions, project: Project) -> dict[str, Any]:
    """The inputs outside the recipe that decide the text of a source, such as a folder's files."""
    return catalogue()[settings.kind].observed(settings, project.root)
