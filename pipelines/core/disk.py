"""File system calls that make, lock, sync and replace; their results survive a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipelines.text.regular import open_regular


def replace(path: Path, content: bytes, partial: Path) -> None:
    """Replace a file in one step, through the temporary file ``partial``.

    After the return the new content survives a power cut.
    """
    with replacing(path, partial) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, partial: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` in one step at the end.

    After that the new content survives a power cut. Raises OSError naming the file.
    """
    try:
        with naming(partial), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError that does not say which file it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def relink(link: Path, target: str, partial: Path) -> None:
    """Let a link lead to ``target`` in one step, through the temporary link ``partial``."""
    try:
        partial.symlink_to(target)
        partial.replace(link)
    finally:
        partial.unlink(missing_ok=True)
    sync(link.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; after the return their names survive a power cut.

    A new folder is group-writable if its parent is, so that users can share a store. Raises
    NotADirectoryError if the path is something else.
    """
    if not folder.is_dir():
        if folder.exists() and not folder.is_dir():  # another process may have made it meanwhile
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        open_to_group(folder)
        sync(folder.parent)


def open_to_group(path: Path) -> None:
    """Make a path readable and writable for its group if its folder is group-writable."""
    if path.parent.stat().st_mode & stat.S_IWGRP:
        path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IWGRP)


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Yield a descriptor to lock. The file is created if it does not exist, and never written."""
    make_folder(path.parent)
    handle = open_lock(path)
    try:
        yield handle
    finally:
        os.close(handle)


def open_lock(path: Path) -> int:
    """Open a lock file and return its descriptor.

    Another user may have made the file. Then it is opened for reading, which is enough to lock it.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        return open_regular(path)
    with contextlib.suppress(OSError):
        open_to_group(path)
    return handle


def persist(folder: Path) -> None:
    """Make the files of a folder read-only and sync everything in it to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o444)
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
