"""The event of a version: first what a person wants to know of it, its bookkeeping last.

Numbers are logged as numbers only with another version than before, since Dagster plots them over
the events: a plot then shows how a figure changed from version to version, not its reuse.
Texts stay below Dagster's limit for what it shows in place, and the event database stays small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pipelines.core.artefact import Artefact
from pipelines.core.record import Record
from pipelines.lineage.history import SHORT, reasons, when
from pipelines.orchestration.shown import INLINE
from pipelines.report.card import Bytes
from pipelines.report.describe import ROWS, Markdown, Picture, Rows, describe, picture_path
from pipelines.report.figures import headlines
from pipelines.sweeps.artefacts import SweepComparison

WIDTHS = (120, 60, 30, 18)  # characters of a cell, tried in this order
MOST = 8  # rows of a table
WIDE = 440  # pixels of a picture in the table of Dagster's page
SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&])")

Value = dg.MetadataValue


def story_of(
    artefact: Artefact, record: Record, earlier: Record | None, group: str, *, reused: bool
) -> dict[str, Any]:
    """The metadata of an event, in the order of the page. ``group`` is the asset's group.

    ``record`` says how the version was made, ``earlier`` the version that the asset had before.
    """
    is_same = reused and earlier is not None and earlier.version == record.version
    described = describe(artefact)
    figures = {name: value for name, value in described.items() if _is_number(value)}
    rows = figures.pop(ROWS, None)
    return {
        **_headline(artefact),
        **(_reuse(record) if reused else {}),
        **_changes(earlier, record, reused=reused),
        **{name: _picture(artefact, name) for name, v in described.items() if type(v) is Picture},
        **({} if rows is None else {ROWS: Value.int(int(rows))}),
        **_links(artefact, group),
        **{name: shown for name, value in described.items() if (shown := _shown(value))},
        **({} if is_same else {name: _number(value) for name, value in figures.items()}),
        # Dagster's page is as wide as its longest word, and the data version is there in full. The
        # version is also the name of the folder among the store's objects.
        "version": Value.text(artefact.version[:SHORT]),
        "derivation": Value.text(artefact.derivation[:SHORT]),
        "size": Value.text(str(Bytes(artefact.size))),
    }


def _headline(artefact: Artefact) -> dict[str, Any]:
    """The figures that a person wants first, rounded and with units, in one line."""
    figures = headlines(artefact)
    words = [f.text if f.text.endswith(f.label) else f"{f.label}: {f.text}" for f in figures]
    return {"in short": Value.text("; ".join(words))} if words else {}


def _reuse(record: Record) -> dict[str, Any]:
    """When and by which run of Dagster the version was made."""
    finished, run = str(record.made.get("finished") or ""), record.made.get("dagster_run")
    on = f" on {when(finished)}" if finished else ""
    by = f" by run {str(run)[:8]}" if run else ""
    return {"reused": Value.text(f"made{on}{by}" if on or by else "made earlier")}


def _changes(earlier: Record | None, record: Record, *, reused: bool) -> dict[str, Any]:
    """Why the version differs from the one before, or why it was made again."""
    if earlier is None or (reused and earlier.derivation == record.derivation):
        return {}
    why = _cut("; ".join(reasons(earlier, record)), 600)
    same = " (the same bytes as before)" if earlier.version == record.version else ""
    return {"changed since the version before": Value.text(why + same)}


def _links(artefact: Artefact, group: str) -> dict[str, Any]:
    """The other pages about this version, in one line; addresses hold on any port."""
    key = artefact.key
    links = {
        "all versions": f"/assets/{key}",
        "trace": f"/trace/{key}",
        "MLflow run": f"/mlflow/{key}/{artefact.version}",
    }
    report = {} if group == "corpora" else {"report": f"/reports/{group}"}
    if isinstance(artefact, SweepComparison):
        report = {"sweep": f"/sweeps/{group}"}
    shown = [f"[{name}]({address})" for name, address in (report | links).items()]
    return {"links": Value.md(" · ".join(shown))}


def _picture(artefact: Artefact, title: str) -> Any:
    """A picture in place: the pages' server draws it when somebody looks."""
    address = picture_path(artefact.version, title)
    return Value.md(f"![{_plain(title)}]({address}?w={WIDE})")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> Any:
    """A number for a plot: counts as they are, measures with six digits."""
    if isinstance(value, int):
        return Value.int(value)
    return Value.float(float(f"{value:.6g}"))


def _shown(value: Any) -> Any:
    """A table, a text or a truth as metadata; None for numbers, pictures and what is empty."""
    if isinstance(value, Markdown):
        return Value.md(value) if len(value) < INLINE else Value.md(_cut(value, INLINE))
    if isinstance(value, Rows):
        return Value.md(table(value)) if value else None
    if isinstance(value, bool):
        return Value.bool(value)
    return Value.text(_cut(value, 600)) if isinstance(value, str) else None


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A table in Markdown that is shown in place: cells are cut first, then rows left out."""
    for width in WIDTHS:
        if len(text := _table(rows[:MOST], len(rows), width)) < INLINE:
            return text
    for count in range(min(len(rows), MOST) - 1, 0, -1):
        if len(text := _table(rows[:count], len(rows), WIDTHS[-1])) < INLINE:
            return text
    return f"{len(rows):,} rows"


def _table(rows: Sequence[Mapping[str, object]], total: int, width: int) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(str(row.get(name, "")), width) for name in names] for row in rows]
    left_out = f"\n\nand {total - len(rows):,} more" if total > len(rows) else ""
    return "\n".join(f"|{'|'.join(line)}|" for line in lines) + left_out


def _cell(text: str, width: int) -> str:
    """A text as a cell: one line, cut, nothing in it taken for Markdown or HTML."""
    return _plain(_cut(" ".join(text.split()), width))


def _plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
