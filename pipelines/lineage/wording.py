"""Differences in words, for a command and for a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.lineage.history import SHORT as SHORT
from pipelines.lineage.history import shown

if TYPE_CHECKING:
    from pipelines.lineage.changed import Changes
    from pipelines.lineage.diff import Difference
    from pipelines.lineage.metrics import Metric

FEW = 10  # names of documents and of assets that are listed without --all
WORDS = {
    "documents": "documents of",
    "input": "input",
    "setting": "recipe",
    "code": "code",
    "library": "library",
    "outside": "read outside the recipe:",
    "machine": "machine",
    "bytes": "other bytes from equal work:",
}


def told(one: Difference, few: int | None = FEW) -> Iterator[str]:
    """A difference in lines: what differs with the assets that it decided, then documents.

    At most ``few`` names of each kind are listed; None lists all.
    """
    assets = one.at if few is None else one.at[:few]
    more = f" and {len(one.at) - len(assets)} more" if len(one.at) > len(assets) else ""
    at = f"  ({', '.join(assets)}{more})"
    if one.changes is not None:
        yield f"  {WORDS[one.kind]} {one.name}: {_counts(one.changes)}{at}"
        yield from _names(one.changes, few)
    elif one.kind == "code" and one.a and one.b and one.name != "the making":
        yield f"  code {one.name}{at}"
    elif one.kind == "input":
        yield f"  input {one.name} is {'new' if one.a is None else 'gone'}{at}"
    else:
        yield f"  {WORDS[one.kind]} {one.name}: {_value(one.a)} -> {_value(one.b)}{at}"


def _value(value: Any) -> str:
    text = shown(value)
    is_digest = isinstance(value, str) and len(value) == 64 and " " not in value
    return text[:SHORT] if is_digest else text


def _counts(changes: Changes) -> str:
    counts = {name: len(ids) for name, ids in vars(changes).items() if ids}
    words = {"moved": "moved to another split"}
    return ", ".join(f"{count:,} {words.get(name, name)}" for name, count in counts.items())


def _names(changes: Changes, few: int | None) -> Iterator[str]:
    for sign, ids in (("+", changes.added), ("-", changes.removed), ("~", changes.changed)):
        named = ids if few is None else ids[:few]
        for name in named:
            yield f"    {sign} {name}"
        if len(named) < len(ids):
            yield f"    {sign} and {len(ids) - len(named):,} more (--all lists them)"


def metric_line(metric: Metric) -> str:
    """A figure of both, and its change: ``2.5 -> 2.25  -0.25``."""
    return change_of(metric.a, metric.b)


def change_of(a: float | None, b: float | None) -> str:
    """Two values of a figure and the change, ``2.5 -> 2.25  -0.25``; None is shown as ``-``."""
    shown_values = " -> ".join("-" if value is None else f"{value:.6g}" for value in (a, b))
    return shown_values if a is None or b is None else f"{shown_values}  {b - a:+.4g}"
