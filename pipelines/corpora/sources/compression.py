"""Packed files as streams: every byte is checked, and the unpacked size is limited."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

from pipelines.text.errors import TextError

BLOCK = 128 << 10
# The ratio is 3 to 10 for text, perhaps 100 for a log of repeated lines, 1,032 for zeros in gzip.
MAX_RATIO = 200
# A small file of one repeated line has a high ratio, but it is not a bomb.
ALWAYS_ALLOWED = 64 << 20
MAX_UNPACKED_BYTES = 1 << 40
# The largest window (unpacked bytes in memory) of zstandard by default; Arrow does not raise it.
MAX_WINDOW = 128 << 20


def packing_of(head: bytes) -> str | None:
    """The packing of a file by its first bytes: ``gzip``, ``zstd`` or None."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    # RFC 8878, 3.1: a frame, or a skippable frame.
    skippable = head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F
    return "zstd" if skippable or head.startswith(b"\x28\xb5\x2f\xfd") else None


class Expansion:
    """Counts the unpacked bytes of a packed file. Raises TextError above the limit for text."""

    def __init__(self, packed_bytes: int, where: str) -> None:
        self.made = 0
        self._most = min(ALWAYS_ALLOWED + MAX_RATIO * packed_bytes, MAX_UNPACKED_BYTES)
        self._packed, self._where = packed_bytes, where

    def add(self, size: int) -> None:
        self.made += size
        if self.made > self._most:
            raise TextError(
                f"{self._where}: {self._packed} bytes unpack to more than {self._most} "
                f"({MAX_RATIO}:1 and {ALWAYS_ALLOWED >> 20} MiB, at most "
                f"{MAX_UNPACKED_BYTES >> 40} TiB); if it is not a zip bomb, unpack it yourself"
            )


class Lent:
    """A file that Arrow may read but not close, because its owner uses it again at the end."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Do nothing; the owner closes the file."""


def unpacked(file: IO[bytes], packing: str, where: str) -> Iterator[bytes]:
    """The content of a gzip or zstandard file of any number of members or frames, in blocks.

    Raises TextError if the file ends too early, fails its own checksums, has data after its end,
    unpacks to more than ``Expansion`` allows, or needs a window of more than 128 MiB.
    """
    import pyarrow as pa

    expansion = Expansion(file.seek(0, os.SEEK_END), where)
    file.seek(0)
    stream = pa.CompressedInputStream(pa.PythonFile(Lent(file), mode="r"), packing)
    while block := _read(stream, expansion, packing, where):
        expansion.add(len(block))
        yield block


def _read(stream: Any, expansion: Expansion, packing: str, where: str) -> bytes:
    import pyarrow as pa

    try:
        block: bytes = stream.read(BLOCK)
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:
            raise  # an error of the disk, not of the archive
        if "requires too much memory" in str(error):  # the message of zstandard
            raise TextError(
                f"{where}: after {expansion.made} bytes unpacked, its zstandard window is more than"
                f" {MAX_WINDOW >> 20} MiB, such as by `zstd --long=31`; unpack it with"
                " `zstd -d --long=31`, and pack it again without --long"
            ) from None
        raise TextError(
            f"{where}: {packing} data cut short or damaged after {expansion.made} bytes unpacked "
            f"({str(error).splitlines()[0]}); fetch or pack the file again"
        ) from None
    return block
