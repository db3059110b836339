"""The files that a person names: each is read and written with one line for what can go wrong."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.text.paths import exists
from pipelines.text.regular import open_regular


def read_file(path: Path, most: int = -1) -> bytes:
    """The bytes of a file, at most so many; a link that a person names is followed.

    Raises ValueError with the mend if it is no file or cannot be read.
    """
    try:
        with os.fdopen(open_regular(os.path.realpath(path)), "rb") as opened:
            return opened.read(most)
    except OSError as error:
        mend = "name a file that can be read" if exists(path) else "name a file that is there"
        raise ValueError(f"{path}: cannot be read ({_told(error)}); {mend}") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file. Raises ValueError with the mend if that cannot be done."""
    try:
        path.write_bytes(content)
    except OSError as error:
        mend = "name a file that can be written"
        if not exists(path.parent):
            mend = f"make the folder {path.parent} first, or name a file in another one"
        raise ValueError(f"{path}: cannot be written ({_told(error)}); {mend}") from None


def _told(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
