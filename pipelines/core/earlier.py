"""The store layout before keys had two parts: ``<kind>/<name>/records`` and versions beside it.

The store recognises such a layout and refuses to open it. ``dragon migrate``
(``lineage/migration.py``) moves it to the current layout, by way of the folder ``.earlier``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.identity import HEX, RESERVED, file_digest
from pipelines.core.record import StoreError

ASIDE = ".earlier"
EARLIER_RECORDS = "records"
DEEPEST = 4  # parts of the longest earlier key, evaluation/assistant/<recipe>/<task>


def earlier_keys(root: Path) -> Iterator[str]:
    """The keys of the earlier layout below a folder.

    Raises StoreError for a link to a folder: nobody can say whether versions lie behind it.
    """
    for kind in _folders(root):
        if kind.name not in RESERVED:
            yield from _keys_below(kind, kind.name, DEEPEST - 1)


def require_layout(root: Path) -> None:
    """Raise StoreError for a store that still holds keys of the earlier layout."""
    if any(any(earlier_keys(place)) for place in (root, root / ASIDE)):
        raise StoreError(
            f"{root}: this store has the layout of an earlier version of dragon; run dragon migrate"
            " to move it to the current layout (nothing is lost)"
        )


def _keys_below(folder: Path, key: str, depth: int) -> Iterator[str]:
    for below in _folders(folder) if depth else ():
        if _has_versions(below):
            yield f"{key}/{below.name}"
        yield from _keys_below(below, f"{key}/{below.name}", depth - 1)


def _has_versions(folder: Path) -> bool:
    """Whether a folder holds records or versions of the earlier layout; references are links."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    return EARLIER_RECORDS in names or any(_is_version(folder / name) for name in names)


def _is_version(folder: Path) -> bool:
    """Whether a folder is called as its manifest's digest, which a reference never is."""
    manifest = folder / "manifest.json"
    return (
        HEX.fullmatch(folder.name) is not None
        and manifest.is_file()
        and file_digest(manifest) == folder.name
    )


def _folders(place: Path) -> list[Path]:
    """The folders in a place, sorted, without hidden folders, versions and references."""
    folders = []
    for entry in [*os.scandir(place)] if place.is_dir() else ():
        hidden = entry.name.startswith(".") or entry.name in (EARLIER_RECORDS, "current")
        if hidden or HEX.fullmatch(entry.name) or not entry.is_dir():
            continue
        if entry.is_symlink() and entry.name not in RESERVED:
            raise StoreError(
                f"{entry.path}: a link, but it must be a folder of the store; put the folder that"
                " it leads to in its place"
            )
        folders.append(place / entry.name)
    return sorted(folders)
