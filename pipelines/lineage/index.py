"""The index of a store: what its small files say, and in which tables a document stands.

It is a file in the project's home, made from the store alone, and brought up to date before each
answer: only what has changed since is read. It only says where to look. What is found is read
from the store again, so a false entry cannot pass; and its blocks have digests, so a lost entry
cannot pass either. A damaged index is removed and made again. One that cannot be used, because
another process writes it or the home cannot be written, is made in memory for one answer.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

from pipelines.core.identity import canonical
from pipelines.core.progress import Progress
from pipelines.core.store import Store
from pipelines.lineage.blocks import Blocks, DamagedError, Mended
from pipelines.lineage.graph import Graph
from pipelines.lineage.survey import Survey, survey
from pipelines.lineage.tables import (
    SUFFIX,
    Row,
    names_in,
    names_of,
    open_table,
    open_version_bare,
    rows_of,
)

FORM = 2  # a number that changes with the form of the blocks
SURVEY, TABLES = "survey", "tables"
KEY_BYTES, ENTRY_BYTES = 8, 12  # the start of a name's sha256, and the number of its row
BLOCK_BYTES = 4_096
CHUNK_ROWS = 1 << 20  # rows whose entries are in memory at once
SAVE_SECONDS = 2.0  # work that a killed process may lose


def place_of(store: Store, home: Path, kind: str = "index") -> Path:
    """The file of a store's index, or of its signatures (``near``), in a project's home."""
    name = hashlib.sha256(str(store.root.resolve()).encode()).hexdigest()[:16]
    return home / "lineage" / f"{name}-{kind}-{FORM}.db"


class Index(Mended):
    """The index of one store. Without ``path`` it is in memory. Use it in a ``with`` statement."""

    def __init__(self, store: Store, path: Path | None) -> None:
        super().__init__(path)
        self.store = store
        self._ready: tuple[Graph, Blocks, dict[str, int]] | None = None
        self._collects = gc.isenabled()

    def __enter__(self) -> Self:
        # A graph is many small objects without a cycle: to search them for cycles takes as long as
        # an answer.
        gc.disable()
        return super().__enter__()

    def __exit__(self, *fault: object) -> None:
        super().__exit__(*fault)
        if self._collects:
            gc.enable()

    def graph(self) -> Graph:
        """The graph of the store as it is now."""
        return self.do(self._graph)

    def update(self, graph: Graph) -> None:
        """Bring the entries of all tables up to date, which is done before each answer too."""
        self.do(lambda blocks: self._tables(blocks, graph))

    def rows(self, graph: Graph, names: Sequence[str]) -> list[Row]:
        """The rows of all tables that bear one of the names, which are ids or digests of texts.

        Each is read from its table and checked. A table that several versions share gives a row for
        each. Raises CorruptArtefact or TextError naming a table that is damaged.
        """
        wanted, rows = set(names), []
        for sha256, numbers in self.do(lambda blocks: self._numbers(blocks, graph, names)).items():
            holders = graph.holders[sha256]
            artefact = open_version_bare(self.store, holders[0][0])
            for row in rows_of(artefact, holders[0][1], numbers):
                if not wanted.isdisjoint(row.names()):
                    rows += [Row(version, name, *row[2:]) for version, name in holders]
        return rows

    def apart(self, graph: Graph, one: str, other: str) -> tuple[list[int], list[int]]:
        """The numbers of the rows of two tables, each named by its sha256, that differ by a name.

        A row that both tables have, with the same id and the same text, is in neither list. Only
        blocks whose names differ are looked at closely, so two large tables that differ in little
        are compared at once.
        """
        return self.do(lambda blocks: self._apart(blocks, graph, one, other))

    # The blocks

    def _graph(self, blocks: Blocks) -> Graph:
        try:
            before = Survey(**json.loads(blocks.get(SURVEY)))
        except DamagedError:  # it has none yet, or a damaged one
            before = Survey()
        now = survey(self.store.root, before)
        if now != before:
            blocks.put({SURVEY: {0: canonical(now.as_json())}})
        return Graph(now)

    def _numbers(self, blocks: Blocks, graph: Graph, names: Sequence[str]) -> dict[str, list[int]]:
        """The numbers of the rows that may bear one of the names, by the sha256 of the table."""
        keys = {_key(name) for name in names}
        found: dict[str, list[int]] = {}
        for sha256, bits in self._tables(blocks, graph).items():
            numbers = {
                number
                for key in (keys if bits >= 0 else ())
                for number in _rows_in(blocks.get(sha256, _part(bits, key)), key)
            }
            if numbers:
                found[sha256] = sorted(numbers)
        return found

    def _apart(
        self, blocks: Blocks, graph: Graph, one: str, other: str
    ) -> tuple[list[int], list[int]]:
        tables = self._tables(blocks, graph)
        bits = min(tables[one], tables[other])
        apart: tuple[set[int], set[int]] = (set(), set())
        for part in range(1 << bits if bits >= 0 else 0):
            held = [_below(blocks, sha, tables[sha] - bits, part) for sha in (one, other)]
            if b"".join(map(_keys, held[0])) != b"".join(map(_keys, held[1])):
                sides = [dict(chain.from_iterable(map(_entries_in, half))) for half in held]
                for side, ours, theirs in zip(apart, sides, sides[::-1], strict=True):
                    side.update(ours[key] for key in ours.keys() - theirs.keys())
        return sorted(apart[0]), sorted(apart[1])

    def _tables(self, blocks: Blocks, graph: Graph) -> dict[str, int]:
        """For each table, by the sha256 of its file, the bits of a key that choose its block.

        They are -1 for a table without names.
        """
        if self._ready is None or self._ready[:2] != (graph, blocks):
            self._ready = (graph, blocks, self._brought_up(blocks, graph))
        return self._ready[2]

    def _brought_up(self, blocks: Blocks, graph: Graph) -> dict[str, int]:
        wanted = {
            sha256: holders[0]
            for sha256, holders in graph.holders.items()
            if holders[0][1].endswith(SUFFIX)
        }
        try:
            known: dict[str, int] = json.loads(blocks.get(TABLES))
        except DamagedError:
            known = {}
        missing, gone = sorted(wanted.keys() - known.keys()), known.keys() - wanted.keys()
        if missing or gone:
            known = {sha256: bits for sha256, bits in known.items() if sha256 not in gone}
            sizes = [graph.files(wanted[s][0])[wanted[s][1]].size for s in missing]
            self._add(blocks, known, [(s, *wanted[s]) for s in missing], sizes)
            blocks.put({TABLES: {0: canonical(known)}}, gone)
        return known

    def _add(
        self,
        blocks: Blocks,
        known: dict[str, int],
        tables: list[tuple[str, str, str]],
        sizes: list[int],
    ) -> None:
        """Make the blocks of some tables, each (sha256, version, name), and add them to ``known``.

        What is done is kept every few seconds: the next try goes on from there.
        """
        progress = Progress("reading the store's documents", sum(sizes), "MB")
        ready: dict[str, dict[int, bytes]] = {}
        done, saved = 0, time.monotonic()
        for (sha256, version, name), size in zip(tables, sizes, strict=True):
            known[sha256], ready[sha256] = _entries(self.store, version, name)
            done += size
            progress.update(done, done / 1e6)
            if time.monotonic() - saved > SAVE_SECONDS:
                blocks.put({**ready, TABLES: {0: canonical(known)}})
                ready, saved = {}, time.monotonic()
        blocks.put(ready)


def _entries(store: Store, version: str, name: str) -> tuple[int, dict[int, bytes]]:
    """The bits that choose a block, and the blocks with the names of a table and their rows."""
    table = open_table(open_version_bare(store, version), name)
    columns = len(names_in(table))
    if not columns:
        return -1, {}
    size = table.index.rows * (columns + (columns > 1)) * ENTRY_BYTES
    bits = (size // BLOCK_BYTES).bit_length()
    parts = [bytearray() for _ in range(1 << bits)]
    number = 0
    for batch in names_of(table):
        for names in batch:
            # The pair of an id and a text: a document that changed into another one's text.
            together = ["\0".join(names)] if len(names) > 1 else []
            row = number.to_bytes(ENTRY_BYTES - KEY_BYTES, "big")
            for one in (*filter(None, names), *together):
                key = _key(one)
                parts[_part(bits, key)] += key + row
            number += 1
    # A block without an entry is there too: it proves that there is none.
    return bits, {place: _sorted(part) for place, part in enumerate(parts)}


def _sorted(part: bytearray) -> bytes:
    """The entries of a block in order: first all keys, then the number of the row of each."""
    entries = sorted(part[at : at + ENTRY_BYTES] for at in range(0, len(part), ENTRY_BYTES))
    return b"".join([*(e[:KEY_BYTES] for e in entries), *(e[KEY_BYTES:] for e in entries)])


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def _part(bits: int, key: bytes) -> int:
    return int.from_bytes(key[:4], "big") >> (32 - bits)


def _rows_in(block: bytes, key: bytes) -> Iterator[int]:
    """The numbers of the rows whose names have a key."""
    keys = _keys(block)
    place = keys.find(key)
    while place >= 0:
        if place % KEY_BYTES == 0:
            yield _row_at(block, place // KEY_BYTES)
        place = keys.find(key, place + 1)


def _below(blocks: Blocks, sha256: str, finer: int, part: int) -> list[bytes]:
    """The blocks of a table whose numbers begin with ``part``, in order."""
    return [blocks.get(sha256, place) for place in range(part << finer, (part + 1) << finer)]


def _keys(block: bytes) -> bytes:
    return block[: len(block) // ENTRY_BYTES * KEY_BYTES]


def _entries_in(block: bytes) -> Iterator[tuple[bytes, int]]:
    keys = _keys(block)
    for number, start in enumerate(range(0, len(keys), KEY_BYTES)):
        yield keys[start : start + KEY_BYTES], _row_at(block, number)


def _row_at(block: bytes, entry: int) -> int:
    size = ENTRY_BYTES - KEY_BYTES
    start = len(_keys(block)) + entry * size
    return int.from_bytes(block[start : start + size], "big")
