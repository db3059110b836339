"""Blocks of bytes in one SQLite file, each with a digest that is checked at every read.

SQLite finds a damaged page only by chance: a flipped bit in a key makes an entry vanish. So no
block is trusted without its digest, and a block that should be there and is not is damage too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self, TypeVar

PATIENCE = 5.0  # seconds to wait for another process that writes
UNUSABLE = ("locked", "readonly", "unable to open", "full", "I/O")  # words of SQLite
TABLE = (
    "CREATE TABLE IF NOT EXISTS block (source TEXT NOT NULL, part INTEGER NOT NULL,"
    " digest BLOB NOT NULL, content BLOB NOT NULL, PRIMARY KEY (source, part))"
)


T = TypeVar("T")
log = logging.getLogger("dragon.lineage")


class DamagedError(ValueError):
    """A block is missing or has other bytes than its digest says, or the file is no database."""


class Blocks:
    """The blocks of one file, or of this process' memory if ``path`` is None.

    Raises DamagedError for a file that is no database, and sqlite3.OperationalError for a file that
    cannot be used: locked by another process, not writable.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path or ":memory:", PATIENCE, isolation_level=None)
        try:
            # All of it can be made again, and a torn write is found by its digest.
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(TABLE)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise self._fault(error) from None

    def get(self, source: str, part: int = 0) -> bytes:
        """The content of a block. Raises DamagedError if it is missing or damaged."""
        try:
            found = self._database.execute(
                "SELECT digest, content FROM block WHERE source = ? AND part = ?", (source, part)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            raise self._fault(error) from None
        if found is None:
            raise DamagedError(f"{self.path}: has no block {part} of {source[:12]}")
        if not isinstance(found[1], bytes) or found[0] != _digest(source, part, found[1]):
            raise DamagedError(f"{self.path}: block {part} of {source[:12]} was changed")
        return found[1]

    def put(self, sources: Mapping[str, Mapping[int, bytes]], gone: Iterable[str] = ()) -> None:
        """Write all blocks of some sources, and remove sources, in one transaction."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            removed = [(source,) for source in (*sources, *gone)]
            self._database.executemany("DELETE FROM block WHERE source = ?", removed)
            self._database.executemany(
                "INSERT INTO block VALUES (?, ?, ?, ?)",
                (
                    (source, part, _digest(source, part, content), content)
                    for source, parts in sources.items()
                    for part, content in parts.items()
                ),
            )
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise self._fault(error) from None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _fault(self, error: sqlite3.DatabaseError) -> Exception:
        """The error itself if the file cannot be used now, else damage."""
        if isinstance(error, sqlite3.OperationalError) and any(w in str(error) for w in UNUSABLE):
            return error
        return DamagedError(f"{self.path}: {error}")


def _digest(source: str, part: int, content: bytes) -> bytes:
    return hashlib.sha256(f"{source} {part} ".encode() + content).digest()


class Mended:
    """Blocks that are made again if their file cannot be used. Use it in a ``with`` statement.

    A damaged file is removed and begun anew. One that another process holds, or that cannot be
    written, stays as it is, and the blocks are made in memory. All blocks can be made again.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._blocks: Blocks | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def do(self, work: Callable[[Blocks], T]) -> T:
        """The result of work with the blocks, which is done again if it met a bad file."""
        try:
            if self._blocks is None:
                self._blocks = Blocks(self.path)
            return work(self._blocks)
        except DamagedError as error:
            if self.path is None:
                raise  # a bug: memory is not damaged
            log.warning("%s; it is made again from the store", error)
            self._close()
            self.path.unlink(missing_ok=True)
            self._blocks = Blocks(self.path)
        except (sqlite3.OperationalError, OSError) as error:
            log.warning(
                "%s: cannot be used (%s), so it is made in memory for this answer", self.path, error
            )
            self._close()
            self._blocks = Blocks(None)
        return work(self._blocks)

    def _close(self) -> None:
        if self._blocks is not None:
            self._blocks.close()
            self._blocks = None
