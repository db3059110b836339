"""References: the names of what the store holds, as links that a file manager follows.

    <scope>/<name>/<derivation> -> ../../objects/<version>   what a derivation made under this key
    <scope>/<name>/current -> <derivation>                   the one that was made or reused last

A name decides nothing. An artefact and its record lie under their digests, and several keys may
refer to one of them. So a recipe that was renamed only gains references.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.disk import make_folder, relink
from pipelines.core.identity import HEX, RESERVED
from pipelines.core.record import StoreError

CURRENT = "current"
OBJECTS, RECORDS = RESERVED
PART = re.compile(r"[a-z][a-z0-9_]{0,62}")
KEY = re.compile(rf"(?!({'|'.join(RESERVED)})/){PART.pattern}/{PART.pattern}")
TO_CURRENT = re.compile(r"([0-9a-f]{64})")
TO_VERSION = re.compile(rf"\.\./\.\./{OBJECTS}/([0-9a-f]{{64}})")


class Reference(NamedTuple):
    """A key that refers to what a derivation made."""

    key: str
    derivation: str
    version: str


class References:
    """The references below one store's root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where a key's references lie. Raises StoreError for what is no key."""
        if not KEY.fullmatch(key):
            raise StoreError(
                f"key={key!r}: a key is scope/name, such as chat/foundation, in lower case letters,"
                " digits and _"
            )
        return self.root / key

    def keys(self) -> list[str]:
        """Every key that has a reference, sorted."""
        keys = (f"{scope}/{name}" for scope in _in(self.root) for name in _in(self.root / scope))
        return sorted(key for key in keys if KEY.fullmatch(key) and any(self._links(key)))

    def versions(self, key: str) -> dict[str, str]:
        """The versions that a key refers to, by derivation, the current one first.

        Raises CorruptArtefact for a reference that is no link of ours.
        """
        found = {link.name: _target(link, TO_VERSION) for link in self._links(key)}
        current = self.folder(key) / CURRENT
        first = _target(current, TO_CURRENT) if os.path.lexists(current) else ""
        return dict(sorted(found.items(), key=lambda pair: (pair[0] != first, pair[0])))

    def current(self, key: str) -> tuple[str, str] | None:
        """The derivation and the version that were made or reused last; None if there is none.

        Raises CorruptArtefact for a reference that is no link of ours.
        """
        pointer = self.folder(key) / CURRENT
        if not os.path.lexists(pointer):
            return None
        derivation = _target(pointer, TO_CURRENT)
        return derivation, _target(self.folder(key) / derivation, TO_VERSION)

    def refers(self, key: str, derivation: str, version: str) -> bool:
        """Whether a key's current version is this one already."""
        folder, links = self.folder(key), _links_to(derivation, version)
        return all(_text(folder / name) == target for name, target in links.items())

    def refer(self, key: str, derivation: str, version: str, aside: Path) -> None:
        """Let a key refer to a version, and name it the current one; ``aside``: a free path."""
        folder = self.folder(key)
        make_folder(folder)
        for name, target in _links_to(derivation, version).items():
            if _text(folder / name) != target:
                relink(folder / name, target, aside)

    def all(self) -> list[Reference]:
        """The references of all keys, each key's current one before its others.

        One that is no link of ours is passed over: it stands in the way of its own key alone.
        """
        found = []
        for key in self.keys():
            current = _text(self.folder(key) / CURRENT)
            for link in self._links(key):
                if match := TO_VERSION.fullmatch(_text(link) or ""):
                    found.append((link.name != current, Reference(key, link.name, match[1])))
        return [reference for _, reference in sorted(found)]

    def _links(self, key: str) -> Iterator[Path]:
        folder = self.folder(key)
        links = sorted(folder.iterdir()) if folder.is_dir() else []
        return (link for link in links if HEX.fullmatch(link.name))


def _links_to(derivation: str, version: str) -> dict[str, str]:
    """The links by which a key refers to a version, by name; the last names it the current one."""
    return {derivation: f"../../{OBJECTS}/{version}", CURRENT: derivation}


def _in(place: Path) -> Iterator[str]:
    """The names of the folders in a place; a link is none."""
    if place.is_dir():
        yield from (e.name for e in os.scandir(place) if e.is_dir(follow_symlinks=False))


def _text(link: Path) -> str | None:
    """Where a link leads, as it is written; None for what is no link."""
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return None


def _target(link: Path, form: re.Pattern[str]) -> str:
    """The digest that a link of ours names. Nothing is followed: a link may lead anywhere."""
    text = _text(link)
    match = form.fullmatch(text) if text is not None else None
    if match is None:
        raise CorruptArtefact(f"{link}: no reference of the store; remove it and run again")
    return match[1]
