"""File system calls that make, lock, sync and replace; after each a power cut loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipelines.text.regular import open_regular


def replace(path: Path, content: bytes, partial: Path) -> None:
    """Replace a file in one step, by way of ``partial``; after return it survives a power cut."""
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def relink(link: Path, target: str, partial: Path) -> None:
    """Let a link lead to ``target`` in one step, by way of ``partial``."""
    try:
        partial.symlink_to(target)
        partial.replace(link)
    finally:
        partial.unlink(missing_ok=True)
    sync(link.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; after return their names survive a power cut.

    Each is as open to its group as the folder that it lies in, so that users can share a store.
    """
    if not folder.is_dir():
        if folder.exists() and not folder.is_dir():  # another may have made it meanwhile
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        open_to_group(folder)
        sync(folder.parent)


def open_to_group(path: Path) -> None:
    if path.parent.stat().st_mode & stat.S_IWGRP:
        path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IWGRP)


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """A descriptor to lock; the file is made if need be, and never written."""
    make_folder(path.parent)
    handle = open_lock(path)
    try:
        yield handle
    finally:
        os.close(handle)


def open_lock(path: Path) -> int:
    """A lock file, which another user may have made: to lock it, reading is enough."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        return open_regular(path)
    with contextlib.suppress(OSError):
        open_to_group(path)
    return handle


def persist(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o444)
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
