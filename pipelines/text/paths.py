"""Texts that a person gives where a path may stand: most name no file, and some can name none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Whether a path leads to a regular file; False for a text that can name none."""
    return _is(path, Path.is_file)


def exists(path: str | Path) -> bool:
    """Whether a path leads to anything; False for a text that can name nothing."""
    return _is(path, Path.exists)


def _is(path: str | Path, asked: Callable[[Path], bool]) -> bool:
    try:
        return asked(Path(path))
    except (OSError, ValueError):  # the name is too long, or has a zero byte
        return False
