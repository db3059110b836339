"""Removes versions, records and unfinished work from a store, in an order that a kill cannot harm.

References go first, then records, then the files beside records, then the folders of versions. So
nothing ever refers to what is not there, and what a killed removal leaves has no reference: the
next one finds and removes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.disk import sync
from pipelines.core.references import CURRENT
from pipelines.core.sweeping import discard
from pipelines.core.workplace import Workplace


@dataclass(frozen=True)
class Removal:
    """What to remove: links of keys, files of records, files beside them, folders, work."""

    links: tuple[Path, ...] = ()
    records: tuple[Path, ...] = ()
    beside: tuple[Path, ...] = ()
    versions: tuple[Path, ...] = ()
    work: tuple[Path, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not any((self.links, self.records, self.beside, self.versions, self.work))


def remove(workplace: Workplace, removal: Removal) -> None:
    """Remove all of it. The caller is ``alone`` in the workplace."""
    # A key without ``current`` is one that was not made: a link to nothing would be a fault.
    for group in (
        [link for link in removal.links if link.name == CURRENT],
        [link for link in removal.links if link.name != CURRENT],
        removal.records,
        removal.beside,
    ):
        for path in group:
            path.unlink(missing_ok=True)
        _settle(group)
    for folder in removal.versions:
        # A reader finds a whole version or none.
        if folder.exists():
            folder.rename(aside := workplace.aside())
            discard(aside)
    _settle(removal.versions)
    for path in removal.work:
        discard(path)
    _remove_empty(removal.links)


def _settle(removed: Iterable[Path]) -> None:
    """Wait until the disk knows that paths are gone, before others follow."""
    for folder in sorted({path.parent for path in removed}):
        sync(folder)


def _remove_empty(links: Iterable[Path]) -> None:
    """Remove the folders of keys that have no reference any more, and of scopes without a key."""
    keys = {link.parent for link in links}
    for folder in (*sorted(keys), *sorted({key.parent for key in keys})):
        if not any(folder.iterdir()):
            folder.rmdir()
