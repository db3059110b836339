"""A catalogue: each file or folder of a package declares one entry, found by walking.

Pure Python; it loads no more than the entries' own modules do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pkgutil import ModuleInfo
from typing import TypeVar

T = TypeVar("T")


def declared(
    modules: Iterable[ModuleInfo],
    package: str,
    attribute: str,
    kind: type[T],
    name: Callable[[T], str],
) -> dict[str, T]:
    """The entries of a package by name, in order: each module's ``attribute``, of that ``kind``.

    ``modules`` are those that declare, of all that ``pkgutil.iter_modules`` finds in the package;
    it is called there, for by that call a fingerprint knows a catalogue
    (pipelines/core/identity.py). ValueError for a module without an entry, or one whose entry has
    another name than it.
    """
    entries: dict[str, T] = {}
    for info in sorted(modules, key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{info.name}")
        entry = getattr(module, attribute, None)
        if not isinstance(entry, kind):
            raise ValueError(f"module={module.__name__} declares no {attribute}: add one")
        if name(entry) != info.name:
            raise ValueError(
                f"module={module.__name__} declares {name(entry)!r}: give both the same name"
            )
        entries[info.name] = entry
    return entries


def folders(modules: Iterable[ModuleInfo]) -> list[ModuleInfo]:
    """Of modules those that are folders, where what they share lies in files beside them."""
    return [info for info in modules if info.ispkg]
