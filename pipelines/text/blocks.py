"""Files of plain bytes in which every block is checked separately, when it is read.

A search jumps through hundreds of megabytes and reads few of them. So the sha256 of each block is
stored beside the file, and a jump costs one small block. The file is not mapped into memory: the
bytes that were hashed are the bytes that are used, also if the file changes afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import os
import weakref
from pathlib import Path

from pipelines.text.errors import TextError
from pipelines.text.regular import open_regular

BLOCK = 4096  # bytes: one page of memory; hashing it takes a few microseconds
DIGEST = 32  # bytes of a sha256
KEPT = 2048  # blocks of a file that stay in memory
MEND = "remove the artefact and run again"


def checksums(data: bytes | bytearray | memoryview) -> bytes:
    """The sha256 of each block of ``data``, one after another; the last block may be shorter."""
    view = memoryview(data).cast("B")
    starts = range(0, len(view), BLOCK)
    return b"".join(hashlib.sha256(view[start : start + BLOCK]).digest() for start in starts)


class BlockFile:
    """A file of ``size`` bytes, whose blocks are checked against ``checksums`` before use.

    Checked blocks stay in memory, the ``KEPT`` newest of them. Raises TextError that names the
    missing, truncated or changed part.
    """

    def __init__(self, path: Path, size: int, checksums: bytes) -> None:
        if len(checksums) != -(-size // BLOCK) * DIGEST:
            raise TextError(f"{path}: {size} bytes and {len(checksums)} of checksums; {MEND}")
        self.path, self.size = path, size
        self._checksums = checksums
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise TextError(f"{path}: cannot be read ({error.strerror}); {MEND}") from None
        weakref.finalize(self, os.close, self._file)
        # The cache holds a function without `self`, so that the file is closed with its last user.
        self.block = functools.lru_cache(KEPT)(
            functools.partial(_block, self._file, path, checksums)
        )

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``, or to the end of the file."""
        end = min(end, self.size)
        first, last = start // BLOCK, (end - 1) // BLOCK
        if first == last:
            return self.block(first)[start % BLOCK : end - first * BLOCK]
        whole = b"".join(map(self.block, range(first, last + 1)))
        return whole[start - first * BLOCK : end - first * BLOCK]


def _block(file: int, path: Path, checksums: bytes, number: int) -> bytes:
    """A block, checked. A cut file gives a shorter block, which the checksum detects."""
    data = os.pread(file, BLOCK, number * BLOCK)
    if hashlib.sha256(data).digest() != checksums[number * DIGEST : (number + 1) * DIGEST]:
        raise TextError(
            f"{path}: block {number} (bytes {number * BLOCK} to {number * BLOCK + len(data)}) does"
            f" not match its checksum; {MEND}"
        )
    return data
