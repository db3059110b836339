"""From a source to its unchanged documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.corpora.artefacts import Forgotten, RawText
from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kind import SourceOptions
from pipelines.corpora.sources.kinds import catalogue
from pipelines.text.tables import (
    Document,
    Hole,
    TableWriter,
    Unread,
    unread_schema,
    write_documents,
    write_index,
)


def read(making: Making, settings: SourceOptions, forgotten: dict[str, Forgotten]) -> None:
    """Write the unchanged documents of a source, and the rows that are no documents with why.

    Of a forgotten document its place alone is written.
    """
    notes: Counter[str] = Counter()
    lists = {digest: told for one in forgotten.values() for digest, told in one.by_digest().items()}
    reasons: Counter[str] = Counter()

    def leave(row: Unread) -> None:
        reasons[f"dropped_{row.reason}"] += 1
        unread.add(row, len(row.detail))

    root, cache = making.project.root, making.project.downloads
    with TableWriter(making.folder, RawText.UNREAD, unread_schema()) as unread:
        documents = read_source(settings, folder_root=root, cache=cache, notes=notes, leave=leave)
        tracked = making.telling(documents, lambda document: len(document.text))
        kept = _without(lists, tracked, notes) if lists else tracked
        index = write_documents(making.folder, RawText.TABLE, kept)
    write_index(making.folder, [index, unread.index])
    count = index.rows - notes["forgotten"]
    making.write(FIGURES, {"documents": count, **+notes, **reasons})


def _without(
    lists: Mapping[str, Mapping[str, str]], documents: Iterable[Document], notes: Counter[str]
) -> Iterator[Document | Hole]:
    """The documents, with a hole for each whose text is on the list of what is forgotten.

    Under an id that is not listed with the text, no document had been made of it: its hole has no
    parts.
    """
    for document in documents:
        told = lists.get(document.sha256)
        if told is None:
            yield document
        else:
            notes["forgotten"] += 1
            alone = json.dumps({"bytes": len(document.text.encode()), "parts": []}, sort_keys=True)
            hole = told.get(document.id, alone)
            yield Hole(document.id, document.source, document.licence, hole)


def observed(settings: SourceOptions, project: Project) -> dict[str, Any]:
    """The inputs outside the recipe that decide the text of a source, such as a folder's files."""
    return catalogue()[settings.kind].observed(settings, project.root)
