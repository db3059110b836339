"""Nested settings as single values by dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names: ``training.steps``, 200.

    An entry of a list of mappings is named by its number, from 1; any other list is a value.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, 1):
            yield from flat(item, f"{path}.{number}")
    else:
        yield path, value
