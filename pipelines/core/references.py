"""References: the keys of the versions in the store, as links that a file manager can follow.

    <scope>/<name>/<derivation> -> ../../objects/<version>   a version made under this key
    <scope>/<name>/current -> <derivation>                   the version made or reused last

A name decides nothing. An artefact and its record lie under their digests, and several keys may
refer to the same version. So a renamed recipe only gets new references.
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
# A scope has the name of a recipe or a corpus. A name may have a task's name and more in it.
KEY = re.compile(rf"(?!({'|'.join(RESERVED)})/)[a-z][a-z0-9_]{{0,62}}/[a-z][a-z0-9_]{{0,126}}")
TO_CURRENT = re.compile(r"([0-9a-f]{64})")
TO_VERSION = re.compile(rf"\.\./\.\./{OBJECTS}/([0-9a-f]{{64}})")


class Reference(NamedTuple):
    """A key that refers to the version that a derivation made."""

    key: str
    derivation: str
    version: str


class References:
    """The references below one store's root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """The folder of a key's references. Raises StoreError if ``key`` is not a key."""
        if not KEY.fullmatch(key):
            raise StoreError(
                f"key={key!r}: is not an asset key; write scope/name, such as chat/foundation, in"
                " lower case letters, digits and _"
            )
        return self.root / key

    def keys(self) -> list[str]:
        """Every key that has a reference, sorted."""
        keys = (f"{scope}/{name}" for scope in _in(self.root) for name in _in(self.root / scope))
        return sorted(key for key in keys if KEY.fullmatch(key) and self._links(key))

    def has(self, key: str) -> bool:
        """Whether a name is a key that has a reference."""
        return bool(KEY.fullmatch(key) and self._links(key))

    def versions(self, key: str) -> dict[str, str]:
        """The versions that a key refers to, by derivation, the current one first.

        Raises CorruptArtefact for a reference that is not a link of the store.
        """
        folder = self.folder(key)
        targets = {name: _target(folder / name, TO_VERSION) for name in self._links(key)}
        current = self.folder(key) / CURRENT
        first = _target(current, TO_CURRENT) if os.path.lexists(current) else ""
        return dict(sorted(targets.items(), key=lambda pair: (pair[0] != first, pair[0])))

    def current(self, key: str) -> tuple[str, str] | None:
        """The derivation and the version that were made or reused last; None if there is none.

        Raises CorruptArtefact for a reference that is not a link of the store.
        """
        pointer = self.folder(key) / CURRENT
        if not os.path.lexists(pointer):
            return None
        derivation = _target(pointer, TO_CURRENT)
        return derivation, _target(self.folder(key) / derivation, TO_VERSION)

    def refers(self, key: str, derivation: str, version: str) -> bool:
        """Whether this version is already the key's current version."""
        folder, links = self.folder(key), _links_to(derivation, version)
        return all(_text(folder / name) == target for name, target in links.items())

    def refer(self, key: str, derivation: str, version: str, aside: Path) -> None:
        """Let a key refer to a version and make it the current version.

        ``aside`` is a free path for a temporary link.
        """
        self.require_room(key)
        folder = self.folder(key)
        make_folder(folder)
        for name, target in _links_to(derivation, version).items():
            if _text(folder / name) != target:
                require_link(folder / name)
                relink(folder / name, target, aside)

    def require_room(self, key: str) -> None:
        """Raise CorruptArtefact if something else is where the references of a key belong."""
        folder = self.folder(key)
        for place in (folder.parent, folder):
            if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
                raise CorruptArtefact(f"{place}: is not a folder; move it away and run again")
        require_link(folder / CURRENT)

    def all(self) -> list[Reference]:
        """The references of all keys; the current reference of each key comes first.

        A reference that is not a link of the store is skipped: it is an error for its key only.
        """
        references = []
        for key in self.keys():
            folder = str(self.folder(key))
            current = _text(f"{folder}/{CURRENT}")
            for name in self._links(key):
                if match := TO_VERSION.fullmatch(_text(f"{folder}/{name}") or ""):
                    references.append((name != current, Reference(key, name, match[1])))
        return [reference for _, reference in sorted(references)]

    def _links(self, key: str) -> list[str]:
        """The names of a key's references, sorted; names, because a path costs more than a link."""
        try:
            names = os.listdir(self.folder(key))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(filter(HEX.fullmatch, names))


def _links_to(derivation: str, version: str) -> dict[str, str]:
    """The targets of a key's links to a version, by link name; the last link is ``current``."""
    return {derivation: f"../../{OBJECTS}/{version}", CURRENT: derivation}


def require_link(path: Path) -> None:
    """Raise CorruptArtefact for a file or a folder where only a link may be."""
    if os.path.lexists(path) and not path.is_symlink():
        raise CorruptArtefact(
            f"{path}: is not a reference of the store; move it away and run again"
        )


def _in(place: Path) -> Iterator[str]:
    """The names of the folders in a place, without links."""
    if place.is_dir():
        yield from [e.name for e in os.scandir(place) if e.is_dir(follow_symlinks=False)]


def _text(link: Path | str) -> str | None:
    """The target of a link, as written in the link; None if the path is not a link."""
    with contextlib.suppress(OSError):
        return os.readlink(link)  # noqa: PTH115
    return None


def _target(link: Path, form: re.Pattern[str]) -> str:
    """The digest that a link of the store names. The link is not followed: it may lead anywhere.

    Raises CorruptArtefact if the target has not the ``form``.
    """
    match = form.fullmatch(_text(link) or "")
    if match is None:
        require_link(link)
        raise CorruptArtefact(f"{link}: is not a reference of the store; remove it and run again")
    return match[1]
