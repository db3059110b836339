"""Which documents differ between two versions of a corpus: by id and by the sha256 of the text."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.corpora.artefacts import RawText
from pipelines.lineage.graph import Graph
from pipelines.lineage.index import Index
from pipelines.lineage.near import SPLIT_TABLES
from pipelines.lineage.tables import open_version_bare, rows_of

TABLES = (RawText.TABLE, *SPLIT_TABLES)


@dataclass(frozen=True)
class Changes:
    """The ids of documents that only the later version has, that only the earlier one has, whose
    text differs, and that are in another split with the same text; each sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    moved: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)


def document_changes(index: Index, graph: Graph, before: str, after: str) -> Changes:
    """The documents that differ between two versions of one kind.

    The index says which rows differ; these rows are read from the checked tables. Raises
    CorruptArtefact or TextError naming a table that is damaged.
    """
    old: dict[str, set[str]] = {}  # the digests of the texts by id, of the rows that differ
    new: dict[str, set[str]] = {}
    files = graph.files(before), graph.files(after)
    for name in TABLES:
        shas = [side[name].sha256 if name in side else None for side in files]
        if shas[0] == shas[1] or None in shas:
            continue
        numbers = index.apart(graph, str(shas[0]), str(shas[1]))
        for side, version, chosen in zip((old, new), (before, after), numbers, strict=True):
            for row in rows_of(open_version_bare(index.store, version), name, chosen):
                side.setdefault(row.values["id"], set()).add(row.values["sha256"])
    both = old.keys() & new.keys()
    return Changes(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(name for name in both if old[name] != new[name])),
        tuple(sorted(name for name in both if old[name] == new[name])),
    )
