"""A catalogue: each file or folder of a package declares one entry.

Pure Python; it loads only what the entries' own modules load.
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
    """The entries of a package by name, sorted: each module's ``attribute``, of that ``kind``.

    ``modules`` are the modules that declare an entry, selected from ``pkgutil.iter_modules`` of the
    package. The caller calls ``iter_modules`` itself, because a fingerprint recognises a catalogue
    by that call (pipelines/core/identity.py). Raises ValueError for a module without an entry, and
    for an entry whose name is not that of its module.
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
    """The modules that are folders; files beside them hold shared code and no entries."""
    return [info for info in modules if info.ispkg]
