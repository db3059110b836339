"""The versions of an asset over time, and in words why each differs from the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipelines.core.record import Record
from pipelines.core.store import Store

SHORT = 12  # digits of a version for people
LONGEST = 40  # characters of a value for people


@dataclass(frozen=True)
class Version:
    """One making of an asset: its record, when it ended, and what changed since the one before.

    ``finished`` is in UTC, like ``2026-11-30T10:00:00Z``, or empty if the record has none.
    ``changes`` is empty for the first one.
    """

    record: Record
    finished: str
    changes: tuple[str, ...]


def history(store: Store, key: str) -> list[Version]:
    """The makings of an asset, the newest first. Raises StoreError for an unknown key."""
    records = sorted(store.records(key), key=_finished)
    earlier = [None, *records[:-1]]
    versions = [
        Version(record, _finished(record), tuple(changes(before, record)) if before else ())
        for before, record in zip(earlier, records, strict=True)
    ]
    return versions[::-1]


def before(store: Store, key: str, record: Record) -> Record | None:
    """The record of an asset that was made just before another one; None for the first."""
    records = sorted([*store.records(key), record], key=_finished)
    earlier = [
        old
        for old, new in pairwise(records)
        if new.derivation == record.derivation and old.derivation != record.derivation
    ]
    return earlier[0] if earlier else None


def changes(before: Record, after: Record) -> list[str]:
    """What decided ``after`` and not ``before``, one sentence part for each difference.

    Empty if the same things decided both.
    """
    old, new = before.decides, after.decides
    return [
        *_inputs(old["inputs"], new["inputs"]),
        *_settings(old.get("recipe", {}), new.get("recipe", {})),
        *(["the code"] if _code(old) != _code(new) else []),
        *_libraries(old.get("libraries", {}), new.get("libraries", {})),
        *(
            ["what was read outside the recipe"]
            if old.get("observed") != new.get("observed")
            else []
        ),
    ]


def _finished(record: Record) -> str:
    return str(record.made.get("finished", ""))


def _code(decides: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(decides.get(part) for part in ("making", "makes", "code", "uses"))


def _inputs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*new, *old)):
        if name not in old:
            yield f"input {name} is new"
        elif name not in new:
            yield f"input {name} is gone"
        elif old[name] != new[name]:
            yield f"input {name}: {old[name][:SHORT]} -> {new[name][:SHORT]}"


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    olds, news = dict(_flat(old)), dict(_flat(new))
    for name in dict.fromkeys((*news, *olds)):
        if olds.get(name) != news.get(name):
            yield f"{name}: {_shown(olds.get(name))} -> {_shown(news.get(name))}"


def _libraries(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*new, *old)):
        if old.get(name) != new.get(name):
            yield f"library {name}: {_shown(old.get(name))} -> {_shown(new.get(name))}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
