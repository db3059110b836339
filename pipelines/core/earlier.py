"""The layout of stores before keys had two parts: ``<kind>/<name>/records`` and versions beside it.

Such a store is told apart and left alone. ``dragon migrate`` (``lineage/migration.py``) moves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.identity import RESERVED
from pipelines.core.record import StoreError

EARLIER_RECORDS = "records"
DEEPEST = 4  # parts of the longest earlier key, evaluation/assistant/<recipe>/<task>


def earlier_keys(root: Path) -> Iterator[str]:
    """The keys of the earlier layout that a store still has."""
    for kind in _folders(root):
        if kind.name not in RESERVED:
            yield from _keys_below(kind, kind.name, DEEPEST - 1)


def require_layout(root: Path) -> None:
    """Raise StoreError for a store that has something of the earlier layout."""
    if any(earlier_keys(root)):
        raise StoreError(
            f"{root}: the store of an earlier version of dragon; dragon migrate moves it to today's"
            " layout and loses nothing"
        )


def _keys_below(folder: Path, key: str, depth: int) -> Iterator[str]:
    for below in _folders(folder) if depth else ():
        if (below / EARLIER_RECORDS).is_dir():
            yield f"{key}/{below.name}"
        yield from _keys_below(below, f"{key}/{below.name}", depth - 1)


def _folders(place: Path) -> list[Path]:
    """The folders in a place, sorted, but hidden ones, versions and links."""
    if not place.is_dir():
        return []
    entries = [entry for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    names = (entry.name for entry in entries if entry.name[0] != "." and len(entry.name) < 64)
    return [place / name for name in sorted(names) if name != EARLIER_RECORDS]
