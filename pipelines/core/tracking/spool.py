"""Spools: tracking data as JSON lines, kept until MLflow has them.

A spool is one file per attempt to make an asset: ``<home>/tracking/<attempt>.jsonl``. It is also
the log of events of a making that goes on, which ``dragon watch`` and the live pages read
(``live``). It lies beside MLflow's own folder, so that a person can move a broken MLflow away and
keep the spools. It is not in the store, because it holds times and rates, is not part of the
lineage, and is removed once MLflow has all of it. Its writer keeps it locked. If nobody holds the
lock, the writer is dead and any process may send the spool; meanwhile it holds a shared lock, which
tells it from a writer. Pure Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.core.disk import replace

LONGEST_LINE = 1 << 24  # bytes; we write no longer line
STATUSES = ("FINISHED", "FAILED", "KILLED")
TOGETHER_SECONDS = 0.25  # points are written together; a killed writer loses those of so long
_ATTEMPT = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(r"[\w.\- :/]{1,250}")  # safe inside MLflow's queries
# The kinds of lines, and the type of each field.
_SHAPES: dict[str, dict[str, type]] = {
    "start": {"attempt": str, "key": str, "derivation": str, "dagster_run": str,
              "parameters": dict, "inputs": dict},
    "points": {"step": int, "values": dict},
    "event": {"step": int, "event": str, "text": str},  # for who watches; MLflow has no place
    "made": {"version": str, "figures": dict, "model": bool},
    "end": {"status": str},
    # Spools of one line: the end of a Dagster run; an older version became current again.
    "ended": {"dagster_run": str, "status": str},
    "current": {"key": str, "version": str},
}  # fmt: skip
# Fields that lines of an earlier Dragon lack, and the type of each; what they hold is text.
_OPTIONAL: dict[str, type] = {
    "about": dict, "models": list, "result": dict, "facts": dict, "finals": list,
}  # fmt: skip
NOTES = ("ended", "current")  # the kinds of spools of one line
FIRST = ("start", *NOTES)  # the kinds of a first line
FILES = ".files"  # the folder of an attempt's files, beside its spool

Line = dict[str, Any]


class NoSpoolError(Exception):
    """A file in the folder of spools that is not a spool."""


class Spool:
    """One attempt's spool, held locked by this process."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle
        self._torn = False
        self._waiting = b""
        self._written = time.monotonic()

    def __del__(self) -> None:
        self.close()

    @classmethod
    def begin(cls, folder: Path, kind: str = "start", **fields: Any) -> Spool:
        """Create a spool with its first line. Raises OSError if it cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        attempt = uuid.uuid4().hex
        path = folder / f"{attempt}.jsonl"
        with _door(folder):  # no other process can claim the file before it is locked
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
        spool = cls(path, handle)
        spool.add(kind, **({"attempt": attempt} if kind == "start" else {}), **fields)
        return spool

    def add(self, kind: str, **fields: Any) -> None:
        """Append a line, with those that wait before it.

        Raises OSError if it fails; the next line is then whole again.
        """
        self._waiting += _encoded(kind, fields)
        self.write()

    def add_soon(self, kind: str, **fields: Any) -> None:
        """Append a line, together with others a moment later. Raises OSError like ``add``."""
        self._waiting += _encoded(kind, fields)
        if not 0 <= time.monotonic() - self._written < TOGETHER_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the lines that wait. Raises OSError like ``add``; they are lost then."""
        lines, self._waiting, self._written = self._waiting, b"", time.monotonic()
        if not lines:
            return
        if self._torn:
            lines = b"\n" + lines
        self._torn = True
        if self._handle is None or os.write(self._handle, lines) != len(lines):
            raise OSError(f"{self.path}: a line was not written completely")
        self._torn = False

    @property
    def files(self) -> Path:
        """The folder of the attempt's files."""
        return self.path.with_suffix(FILES)

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep files beside the spool until they are sent, each whole or not at all.

        Raises OSError for the first that cannot be written.
        """
        self.files.mkdir(exist_ok=True)
        for name, content in files.items():
            replace(self.files / name.replace("/", "_"), content, self._partial)

    def kept(self) -> list[Path]:
        """The files beside the spool, by name. A link is none of ours and may lead anywhere."""
        if self.files.is_symlink() or not self.files.is_dir():
            return []
        files = (path for path in self.files.iterdir() if not path.is_symlink())
        return sorted(path for path in files if path.is_file())

    def close(self) -> None:
        """Release the lock; another process may then send the spool."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_free(self) -> bool:
        """Lock the file as its sender. Whether it is a regular file that still exists.

        Raises OSError if another process holds the lock. To be called behind the door.
        """
        assert self._handle is not None
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        state = os.fstat(self._handle)
        return stat.S_ISREG(state.st_mode) and state.st_nlink > 0

    @property
    def _partial(self) -> Path:
        """A file that is being written."""
        return self.path.with_suffix(".partial")

    @property
    def aside(self) -> Path:
        """The new name of a file that is not a spool."""
        return self.path.with_suffix(".unreadable")

    def put_aside(self) -> None:
        """Rename a file that is not a spool, so that no process tries to send it again."""
        self.path.replace(self.aside)
        self._remove_files()
        self.close()

    def remove(self) -> None:
        """Remove the spool and its files after all of it was sent."""
        self.path.unlink(missing_ok=True)
        self._remove_files()
        self.close()

    def _remove_files(self) -> None:
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)
        if self.files.is_dir() and not self.files.is_symlink():
            shutil.rmtree(self.files, ignore_errors=True)


def _encoded(kind: str, fields: Mapping[str, Any]) -> bytes:
    return json.dumps({"kind": kind, "time": now(), **fields}).encode() + b"\n"


def now() -> int:
    """Milliseconds since 1970, as MLflow counts time; 0 if the clock shows an earlier time."""
    return max(0, int(time.time() * 1000))


def left(folder: Path) -> list[Path]:
    """The spools in a folder, the oldest first."""
    dated = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):  # another process may have sent it meanwhile
                    dated.append((entry.stat().st_mtime_ns, folder / entry.name))
    return [path for _, path in sorted(dated)]


def claim(path: Path) -> Spool | None:
    """Lock a spool and return it; None if another process holds it or it no longer exists."""
    try:
        with _door(path.parent):
            # A link may lead anywhere, and opening a pipe waits for a writer.
            spool = Spool(path, os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
            return spool if spool._is_free() else None
    except OSError:
        return None


def is_written(path: Path) -> bool:
    """Whether a spool's writer lives; a process that sends it for a dead writer does not count."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False


def steps_of(folder: Path, dagster_run: str) -> list[Path]:
    """The spools of attempts that a Dagster run made and that are not sent yet."""
    found = []
    for path in left(folder):
        with contextlib.suppress(OSError):
            first = next(read(path, 0), (0, None))[1] or {"kind": ""}
            if first["kind"] == "start" and first["dagster_run"] == dagster_run:
                found.append(path)
    return found


def is_free(path: Path) -> bool:
    """Whether a spool's writer is dead, and no other process sends it."""
    spool = claim(path)
    if spool is not None:
        spool.close()
    return spool is not None


def read(path: Path, offset: int) -> Iterator[tuple[int, Line | None]]:
    """The complete lines from ``offset`` on, each with the offset after it.

    A line that is not ours is None. A half-written line at the end, which a killed process left, is
    not read. Reading stops at a line of ``LONGEST_LINE`` bytes.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while (raw := file.readline(LONGEST_LINE)).endswith(b"\n"):
            yield file.tell(), _line(raw)


def _line(raw: bytes) -> Line | None:
    """A parsed line, or None if its fields are wrong: another program may have written it."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    kind = line.get("kind") if isinstance(line, dict) else None
    if not isinstance(kind, str) or kind not in _SHAPES:
        return None
    shape = {"time": int, **_SHAPES[kind]}
    shape |= {name: expected for name, expected in _OPTIONAL.items() if name in line}
    fits = all(type(line.get(name)) is expected for name, expected in shape.items())
    return line if fits and _sound(line) else None


def _sound(line: Line) -> bool:
    texts = [line.get(name) for name in ("parameters", "inputs", "about", "result", "facts")]
    listed = [*line.get("models", []), *line.get("finals", [])]
    numbers = [line.get("values"), line.get("figures")]
    return (
        0 <= line["time"] < 1 << 62
        and abs(line.get("step", 0)) < 1 << 62
        and line.get("status", STATUSES[0]) in STATUSES
        and bool(_ATTEMPT.fullmatch(line.get("attempt", "0" * 32)))
        and bool(_RUN.fullmatch(line.get("dagster_run", "-")))
        and all(isinstance(v, str) for of in texts for v in (of or {}).values())
        and all(isinstance(v, str) for v in listed)
        and all(type(v) is float for of in numbers for v in (of or {}).values())
    )


@contextlib.contextmanager
def _door(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
