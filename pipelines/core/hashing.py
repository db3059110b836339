"""Hashes many files at once, in threads: hashlib computes outside of Python's lock."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipelines.core.processor import cores
from pipelines.text.regular import open_regular

PIECE = 1 << 20  # bytes that a thread reads and hashes at once
TELL_SECONDS = 0.2  # between two calls of ``tell``
MOST_THREADS = 32


class Hashed(NamedTuple):
    """The size in bytes and the sha256 of a file, or why it cannot be read."""

    size: int
    sha256: str
    fault: str = ""


def hash_files(paths: Sequence[Path], tell: Callable[[int], None]) -> Iterator[Hashed]:
    """What each file holds, in the order of ``paths``.

    ``tell`` is called in this thread with the number of bytes that were hashed so far. Two threads
    for each core: while one waits for the disk, the other computes.
    """
    done = _Count()
    with ThreadPoolExecutor(min(MOST_THREADS, 2 * cores()), "hashing") as pool:
        try:
            for future in [pool.submit(hash_file, path, done.add) for path in paths]:
                yield _waited(future, lambda: tell(done.bytes))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _waited(future: Future[Hashed], tell: Callable[[], None]) -> Hashed:
    while True:
        tell()
        try:
            return future.result(timeout=TELL_SECONDS)
        except TimeoutError:
            continue


class _Count:
    """A number of bytes that several threads add to."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, more: int) -> None:
        """Add a number of bytes."""
        with self._lock:
            self.bytes += more


def hash_file(path: Path, add: Callable[[int], None] = lambda _: None) -> Hashed:
    """What one file holds; a link, a pipe or a device is a fault.

    ``add`` is called with each number of bytes that were hashed.
    """
    hashed, size, piece = hashlib.sha256(), 0, memoryview(bytearray(PIECE))
    try:
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            while read := file.readinto(piece):
                hashed.update(piece[:read])
                size += read
                add(read)
    except OSError as error:
        return Hashed(size, "", error.strerror or str(error))
    return Hashed(size, hashed.hexdigest())
