"""Near copies: documents that share most of their words with a text, told as near and no more.

The signatures are those of the cleaning step ``near_duplicates`` (MinHash, Broder 1997) with its
defaults. They lie in a file beside the index, and they are made when somebody first asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.identity import canonical
from pipelines.core.progress import Progress
from pipelines.core.store import Store
from pipelines.corpora.deduplication import bands_and_rows, signature
from pipelines.corpora.splits import SPLITS
from pipelines.lineage.blocks import Blocks, DamagedError, Mended
from pipelines.lineage.graph import Graph
from pipelines.lineage.tables import Row, open_table, open_version_bare, rows_of, texts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILARITY, NGRAM, PERMUTATIONS = 0.5, 2, 128  # the defaults of the cleaning step
TABLES = "tables"
SPLIT_TABLES = tuple(f"{split}.arrow" for split in SPLITS)


def signed(text: str) -> NDArray[np.uint16]:
    """The signature of a text, as the cleaning step makes it with its defaults."""
    bands, rows = bands_and_rows(SIMILARITY, PERMUTATIONS)
    return signature(text, NGRAM, bands * rows)


class NearIndex(Mended):
    """The signatures of all documents of a store. Without ``path`` they are in memory."""

    def __init__(self, store: Store, path: Path | None) -> None:
        super().__init__(path)
        self.store = store

    def alike(self, graph: Graph, text: str, but: Iterable[str]) -> list[tuple[Row, float]]:
        """The rows of documents like a text with their similarity, the most alike first.

        Texts with a sha256 in ``but`` are left out. The similarity of each was computed again from
        its text, which was read from the store.
        """
        asked, apart = signed(text), set(but)
        found: list[tuple[Row, float]] = []
        for sha256, numbers in self.do(lambda blocks: self._numbers(blocks, graph, asked)).items():
            version, name = graph.holders[sha256][0]
            artefact = open_version_bare(self.store, version)
            texts = dict(texts_of(artefact, name, numbers))
            for row in rows_of(artefact, name, numbers):
                share = float((signed(texts[row.number]) == asked).mean())
                if share >= SIMILARITY and row.values["sha256"] not in apart:
                    found.append((row, share))
        return sorted(found, key=lambda one: (-one[1], one[0].version, one[0].number))

    def _numbers(
        self, blocks: Blocks, graph: Graph, asked: NDArray[np.uint16]
    ) -> dict[str, list[int]]:
        """The numbers of the rows whose signatures are like ``asked``, by the sha256 of a table."""
        import numpy as np

        found: dict[str, list[int]] = {}
        for sha256, rows in self._tables(blocks, graph).items():
            first = 0
            for part, count in enumerate(rows):
                held = np.frombuffer(blocks.get(sha256, part), "<u2").reshape(count, -1)
                equal = (held == asked).sum(axis=1)
                alike = np.flatnonzero(equal >= SIMILARITY * asked.size) + first
                found.setdefault(sha256, []).extend(alike.tolist())
                first += count
        return {sha256: numbers for sha256, numbers in found.items() if numbers}

    def _tables(self, blocks: Blocks, graph: Graph) -> dict[str, list[int]]:
        """The rows of each record batch of each table of documents, by the sha256 of its file."""
        wanted = {
            sha256: holders[0]
            for sha256, holders in graph.holders.items()
            if holders[0][1] in SPLIT_TABLES and _is_of_documents(graph, holders[0][0])
        }
        try:
            known: dict[str, list[int]] = json.loads(blocks.get(TABLES))
        except DamagedError:
            known = {}
        missing, gone = sorted(wanted.keys() - known.keys()), known.keys() - wanted.keys()
        known = {sha256: rows for sha256, rows in known.items() if sha256 not in gone}
        sizes = {s: graph.files(wanted[s][0])[wanted[s][1]].size for s in missing}
        progress, done = Progress("signing the store's documents", sum(sizes.values()), "MB"), 0
        for sha256 in missing:
            parts: dict[int, bytes] = {}
            known[sha256] = []
            table = open_table(open_version_bare(self.store, wanted[sha256][0]), wanted[sha256][1])
            for part, batch in enumerate(table.batches()):
                texts = batch.column("text").to_pylist()
                parts[part] = b"".join(signed(one).tobytes() for one in texts)
                known[sha256].append(len(texts))
                done += table.index.batches[part].length
                progress.update(done, done / 1e6)
            blocks.put({sha256: parts, TABLES: {0: canonical(known)}})
        if gone:
            blocks.put({TABLES: {0: canonical(known)}}, gone)
        return known


def _is_of_documents(graph: Graph, version: str) -> bool:
    return any(graph.made[place].makes == "Documents" for place in graph.of_version[version])
