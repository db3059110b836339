"""The versions of an asset over time, and in words why each differs from the one before it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.text.flat import flat

SHORT = 12  # digits of a version for people
LONGEST = 40  # characters of a value for people
GONE = "its version was no longer in the store"
NAMES = ("title", "name", "step", "kind")  # fields that tell the entries of a list apart


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


def current(store: Store, key: str) -> Record | None:
    """The record of the version that an asset has; None if it has none that can be read."""
    try:
        return store.current_record(key)
    except ValueError:
        return None


def reasons(earlier: Record, record: Record) -> list[str]:
    """Why a version was made; ``earlier`` was the asset's version when the work began.

    If the same things decided both, the version had to be made because it was gone.
    """
    return changes(earlier, record) or [GONE]


def when(finished: str) -> str:
    """A record's time, ``2026-11-30T10:20:00Z``, as ``2026-11-30 10:20 UTC``."""
    return f"{finished[:10]} {finished[11:16]} UTC" if len(finished) >= 16 else finished


def changes(before: Record, after: Record) -> list[str]:
    """What decided ``after`` and not ``before``, one sentence part for each difference.

    Empty if the same things decided both.
    """
    old, new = before.decides, after.decides
    told = _differing(old["inputs"], new["inputs"])
    return [
        *_inputs(old["inputs"], new["inputs"]),
        *_settings(old, new, told),
        *(["the code"] if _code(old) != _code(new) else []),
        *_libraries(old.get("libraries", {}), new.get("libraries", {})),
        *(
            ["what was read outside the recipe"]
            if old.get("observed") != new.get("observed")
            else []
        ),
        *_beside(old, new),
    ]


def _finished(record: Record) -> str:
    return str(record.made.get("finished", ""))


def _code(decides: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(decides.get(part) for part in ("making", "makes", "code", "uses"))


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The names that inputs which differ have in their mapping: ``sms`` of ``documents/sms``."""
    names = (name for name in {**old, **new} if old.get(name) != new.get(name))
    return [name.partition("/")[2] for name in names if "/" in name]


def _inputs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*new, *old)):
        if name not in old:
            yield f"input {name} is new"
        elif name not in new:
            yield f"input {name} is gone"
        elif old[name] != new[name]:
            yield f"input {name}: {old[name][:SHORT]} -> {new[name][:SHORT]}"


def _beside(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The inputs of the same version whose trainings were watched otherwise."""
    then, now = old.get("beside", {}), new.get("beside", {})
    for name in now:
        if name in then and then[name] != now[name] and old["inputs"][name] == new["inputs"][name]:
            yield f"the curve of {name}"


def _recipe(decides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by dotted names. The name of an entry of a list ends with a dot.

    An empty list or mapping is no setting: with its first entry it has other names.
    """
    named = flat(_named(decides.get("recipe", {})))
    return {name: value for name, value in named if value != []}


def _named(value: Any) -> Any:
    """A value in which lists of named entries, and of pairs, are mappings by these names.

    JSON in a text is opened as well: the report's settings have those of every asset.
    """
    if isinstance(value, str) and value.startswith("{"):
        try:
            return _named(json.loads(value))
        except ValueError:
            return value
    form, held = entries(value)
    if form in NAMES:
        return {entry: {"": True, **_named(one)} for entry, one in held.items()}
    return {name: _named(one) for name, one in held.items()} if form else value


def entries(value: Any) -> tuple[str, dict[str, Any]]:
    """The form of a value of settings, and what it holds by name.

    The form is ``mapping``, or ``pairs`` for a list of them, or for a list of mappings the field
    that names them; anything else has no form and holds nothing.
    """
    if isinstance(value, Mapping):
        return "mapping", dict(value)
    if not isinstance(value, list) or not value:
        return "", {}
    if all(isinstance(one, list) and len(one) == 2 and type(one[0]) is str for one in value):
        pairs = dict(value)
        return ("pairs", pairs) if len(pairs) == len(value) else ("", {})
    if all(isinstance(one, Mapping) for one in value):
        for name in NAMES:
            held = {one.get(name): one for one in value}
            if len(held) == len(value) and all(isinstance(one, str) for one in held):
                return name, held
    return "", {}


def setting_changes(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """The deciding parts' settings that differ, as (dotted name, old value, new value).

    Of an entry of a list that is new or gone it is only the entry: its name ends with a dot, and
    its value is True where it is.
    """
    before, after = _recipe(old), _recipe(new)
    whole: tuple[str, ...] = ()
    for name in dict.fromkeys((*after, *before)):
        if before.get(name) == after.get(name) or name.startswith(whole):
            continue
        if name.endswith("."):
            whole += (name,)
        yield name, before.get(name), after.get(name)


def _settings(
    old: Mapping[str, Any], new: Mapping[str, Any], told: Collection[str]
) -> Iterator[str]:
    """What differs in settings; of an entry that is new or gone, no more than that.

    ``told`` are the names of inputs that differ: what a report says of those says nothing more.
    """
    parts = tuple(f"parts.{name}." for name in told)
    found = False
    for name, before, after in setting_changes(old, new):
        found = True
        if name.startswith(parts):
            continue
        if name.endswith("."):
            yield f"{name[:-1]} is {'new' if after else 'gone'}"
        else:
            yield f"{name}: {shown(before)} -> {shown(after)}"
    ours, theirs = _recipe(old), _recipe(new)
    if not found and list(ours) != list(theirs) and ours == theirs:
        yield "the order of its settings"


def _libraries(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*new, *old)):
        if old.get(name) != new.get(name):
            yield f"library {name}: {shown(old.get(name))} -> {shown(new.get(name))}"


def shown(value: Any) -> str:
    """A value of a setting for people, at most ``LONGEST`` characters."""
    text = "none" if value is None else str(value)
    if isinstance(value, list) and not any(isinstance(one, list | Mapping) for one in value):
        text = ", ".join(map(str, value)) or "none"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
