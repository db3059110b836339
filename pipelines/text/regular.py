"""Opening a file that has to be a file: a link is not followed, a pipe or a device does not hang.

What lies in a store or is given by a stranger may be anything that a folder can hold. An ordinary
``open`` follows a link out of the store, and waits for ever at a pipe that nobody writes to.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_regular(path: str | Path) -> int:
    """A descriptor of a regular file, for reading. Raises OSError for a link and anything else."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link, where a file has to be", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return file


def read_regular(path: str | Path) -> bytes:
    """The bytes of a regular file. Raises OSError for a link and anything else."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()
