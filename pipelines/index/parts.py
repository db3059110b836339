"""One part of an index: finds a text among the sorted suffixes of the part.

The order is read in blocks. The heads, the first letters of the first suffix of each block, are in
memory, so a search reads one block of the order and a few blocks of the text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.text.blocks import BLOCK, BlockFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PLACE_BYTES = 4  # of a place in the order: a part is smaller than 2 GiB
PLACES_PER_BLOCK = BLOCK // PLACE_BYTES
HEAD = 16  # bytes of a head
FIRST_LENGTH = 32  # bytes that are compared first; most texts differ from all others before that


@dataclass(frozen=True)
class Part:
    """The text of a part and the order of its suffixes; a rank is an index into the order.

    ``heads`` are ``HEAD`` bytes of the first suffix of each block of the order.
    """

    text: BlockFile
    order: BlockFile
    heads: bytes

    def longest(self, wanted: bytes) -> int:
        """The bytes of the longest beginning of ``wanted`` that stands in the text.

        ``wanted`` is UTF-8, and so is the beginning: it does not end inside a character.
        """
        low, high = self._around(wanted)
        length = FIRST_LENGTH
        while True:
            piece = wanted[:length]
            low = bisect_left(range(self.text.size), piece, low, high, key=self._cut(len(piece)))
            neighbours = (rank for rank in (low - 1, low) if 0 <= rank < self.text.size)
            found = max(_common(piece, self._suffix(r, len(piece))) for r in neighbours)
            if found < len(piece) or length >= len(wanted):
                return _whole_characters(wanted, found)
            high = bisect_right(range(self.text.size), piece, low, high, key=self._cut(len(piece)))
            length *= 2

    def count(self, wanted: bytes) -> int:
        """How often ``wanted`` stands in the text."""
        low, high = self._ranks(wanted)
        return high - low

    def places(self, wanted: bytes) -> npt.NDArray[np.int64]:
        """The places in the text where ``wanted`` begins, in order."""
        import numpy as np

        low, high = self._ranks(wanted)
        found = self.order.read(PLACE_BYTES * low, PLACE_BYTES * high) if low < high else b""
        return np.sort(np.frombuffer(found, "<i4").astype(np.int64))

    def _ranks(self, wanted: bytes) -> tuple[int, int]:
        """The first rank whose suffix begins with ``wanted``, and the rank behind the last."""
        ranks, key = range(self.text.size), self._cut(len(wanted))
        low, high = self._around(wanted)
        low = bisect_left(ranks, wanted, low, high, key=key)
        return low, bisect_right(ranks, wanted, low, high, key=key)

    def _around(self, wanted: bytes) -> tuple[int, int]:
        """Ranks between which all suffixes lie that begin as ``wanted`` does, from the heads."""
        start = wanted[:HEAD]
        blocks = range(len(self.heads) // HEAD)

        def head(block: int) -> bytes:
            return self.heads[block * HEAD : block * HEAD + len(start)]

        first = bisect_left(blocks, start, key=head)
        behind = bisect_right(blocks, start, first, key=head)
        low = max(first - 1, 0) * PLACES_PER_BLOCK
        return low, min(behind * PLACES_PER_BLOCK, self.text.size)

    def _cut(self, length: int) -> Callable[[int], bytes]:
        """The first ``length`` bytes of a suffix, as a function of its rank."""
        return lambda rank: self._suffix(rank, length)

    def _suffix(self, rank: int, length: int) -> bytes:
        """The first ``length`` bytes of the suffix of a rank; fewer at the end of the text."""
        start = PLACE_BYTES * (rank % PLACES_PER_BLOCK)
        block = self.order.block(rank // PLACES_PER_BLOCK)
        place = int.from_bytes(block[start : start + PLACE_BYTES], "little")
        return self.text.read(place, place + length)


def _common(one: bytes, other: bytes) -> int:
    """The length of the common beginning of two texts: the first bit that differs tells it."""
    length = min(len(one), len(other))
    differing = int.from_bytes(one[:length]) ^ int.from_bytes(other[:length])
    return length - (differing.bit_length() + 7) // 8


def _whole_characters(text: bytes, length: int) -> int:
    """The length of the whole characters among the first ``length`` bytes of UTF-8."""
    while 0 < length < len(text) and text[length] & 0xC0 == 0x80:
        length -= 1
    return length
