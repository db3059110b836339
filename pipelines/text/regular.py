"""The opening of regular files only: links are not followed, and a pipe or a device does not hang.

A path in a store, or in files from elsewhere, may be of any type. The usual ``open`` follows a link
out of the store, and waits for ever at a pipe that no process writes to.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_regular(path: str | Path) -> int:
    """A descriptor of a regular file, for reading. Raises OSError for a link or another type."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link, but it must be a file", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def read_regular(path: str | Path) -> bytes:
    """The bytes of a regular file. Raises OSError for a link or another type."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()
