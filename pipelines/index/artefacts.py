"""The artefact of an index: text, its suffixes in sorted order, and where each document begins.

The text of all documents stands in parts of bounded size. Behind each document stands a byte that
UTF-8 never has, so no text is found across two documents. The order of a part is its suffix array
(Manber & Myers 1993): the place of each suffix of the part, sorted by the suffix.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.index.parts import PLACE_BYTES, Part
from pipelines.text.blocks import BLOCK, DIGEST, BlockFile

if TYPE_CHECKING:
    import pyarrow as pa

PARTS, DOCUMENTS = "parts.json", "documents.arrow"
OPEN_PARTS = 16  # of an index at once: each has two open files and some megabytes in memory


class Standing(NamedTuple):
    """A document of an index: where its text begins in all parts together, and its size in bytes.

    ``sha256`` is the hex digest of the text.
    """

    id: str
    source: str
    licence: str
    sha256: str
    start: int
    size: int


class TextIndex(Artefact):
    """The index of the training documents of a corpus."""

    kind = "index"

    def open(self) -> OpenIndex:
        """The index, ready to search. Raises CorruptArtefact or TextError for changed files."""
        sizes: list[int] = self.json(PARTS)["sizes"]
        firsts: list[int] = self.json(PARTS)["firsts"]
        return OpenIndex(self, tuple(sizes), tuple(firsts))


def names_of(number: int) -> dict[str, str]:
    """The files of a part, by what they hold."""
    kinds = ("text", "order", "heads", "checksums")
    return {kind: f"part-{number:05d}.{kind}" for kind in kinds}


@dataclass(frozen=True)
class OpenIndex:
    """An index that can be searched; its parts are opened when they are searched.

    ``sizes`` are the bytes of the parts. ``firsts`` are the starts of the first documents of the
    record batches of the table of documents.
    """

    artefact: TextIndex
    sizes: tuple[int, ...]
    firsts: tuple[int, ...]

    def parts(self) -> Iterator[tuple[int, Part]]:
        """Each part, with the place of its first byte in all parts together."""
        for number, begin in enumerate(self._begins):
            yield begin, self._part(number)

    def document(self, place: int) -> Standing:
        """The document that a place in all parts together belongs to."""
        import numpy as np

        batch = self._batch(bisect_right(self.firsts, place) - 1)
        starts = batch.column("start").to_numpy()
        row = int(np.searchsorted(starts, place, side="right")) - 1
        return Standing(*(batch.column(name)[row].as_py() for name in Standing._fields))

    def text(self, start: int, end: int) -> str:
        """The text between two places of one document."""
        number = bisect_right(self._begins, start) - 1
        begin = self._begins[number]
        return self._part(number).text.read(start - begin, end - begin).decode()

    @functools.cached_property
    def _begins(self) -> list[int]:
        return list(itertools.accumulate(self.sizes[:-1], initial=0))

    @functools.cached_property
    def _part(self) -> functools._lru_cache_wrapper[Part]:
        return functools.lru_cache(OPEN_PARTS)(self._open_part)

    @functools.cached_property
    def _batch(self) -> functools._lru_cache_wrapper[pa.RecordBatch]:
        return functools.lru_cache(OPEN_PARTS)(self.artefact.table(DOCUMENTS).batch)

    def _open_part(self, number: int) -> Part:
        folder, size, names = self.artefact.folder, self.sizes[number], names_of(number)
        checksums = self.artefact.read(names["checksums"])
        of_text = -(-size // BLOCK) * DIGEST
        return Part(
            BlockFile(folder / names["text"], size, checksums[:of_text]),
            BlockFile(folder / names["order"], PLACE_BYTES * size, checksums[of_text:]),
            self.artefact.read(names["heads"]),
        )
