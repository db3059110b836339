"""The journal of publications: one line for each record, and each line holds the digest of the line
before it.

A record proves itself by its own digest, but who may write in the store can change a record and
compute that digest again. The journal shows it: it has the digest of each record as it was
published, and no line can be changed without all lines behind it. It protects against a person who
does not write all of it anew; the digest of its last line, kept elsewhere, protects against that
person too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipelines.core.disk import open_to_group, sync
from pipelines.core.identity import HEX, canonical, digest
from pipelines.core.record import Record
from pipelines.text.regular import read_regular

JOURNAL = "journal.jsonl"
FIRST = "0" * 64  # stands for the line before the first one
FIELDS = {"before", "derivation", "digest", "record", "version"}
LONGEST = 4096  # bytes; a line has about 350


class Line(NamedTuple):
    """One line: the derivation, the version and the digest of the file of a published record."""

    derivation: str
    version: str
    record: str


class Journal:
    """The journal of one store. No line of it is ever changed or removed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Record, known: Callable[[], Iterable[Record]]) -> None:
        """Add a line for a record, before the record itself is written.

        A new journal begins with the records that are ``known``: those of a store that had no
        journal. A line that a power cut left unfinished is cut off: its record was never written.
        """
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            lines, unfinished = _last_line(file, end)
            file.truncate(end - unfinished)
            before = _digest_of(lines) if lines else FIRST
            for one in (*(() if end else known()), record):
                line = _line(one, before)
                file.write(line + b"\n")
                before = _digest_of(line)
            file.flush()
            os.fsync(file.fileno())
            if not end:
                open_to_group(self.path)
                sync(self.path.parent)

    def read(self) -> Iterator[Line]:
        """The lines in order.

        Raises ValueError naming the first line that was changed, is unfinished, or does not follow
        from the line before it. Raises OSError if there is no journal.
        """
        before = FIRST
        *lines, rest = read_regular(self.path).split(b"\n")
        for number, line in enumerate(lines, 1):
            told = _read(line)
            if told is None or told["before"] != before:
                raise ValueError(f"line {number} was changed, or the line before it was removed")
            yield Line(told["derivation"], told["version"], told["record"])
            before = _digest_of(line)
        if rest:
            raise ValueError(f"line {len(lines) + 1} is unfinished")


def digest_of_file(record: Record) -> str:
    """The sha256 of a record's file."""
    return hashlib.sha256(record.to_bytes()).hexdigest()


def _line(record: Record, before: str) -> bytes:
    told = {
        "before": before,
        "derivation": record.derivation,
        "record": digest_of_file(record),
        "version": record.version,
    }
    return canonical({**told, "digest": digest(told)})


def _read(line: bytes) -> dict[str, str] | None:
    """The content of a line; None if it is not as it was written."""
    try:
        told: dict[str, Any] = json.loads(line)
        shaped = set(told) == FIELDS and all(HEX.fullmatch(value) for value in told.values())
        stated = told.pop("digest")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not shaped or stated != digest(told) or line != canonical({**told, "digest": stated}):
        return None
    return told


def _digest_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _last_line(file: BinaryIO, end: int) -> tuple[bytes, int]:
    """The last whole line without its end, and how many bytes of an unfinished line follow it."""
    file.seek(max(0, end - LONGEST))
    *lines, rest = file.read().split(b"\n")
    return lines[-1] if lines else b"", len(rest)
