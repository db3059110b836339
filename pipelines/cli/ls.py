"""``dragon ls``: what the store holds."""

from __future__ import annotations

import fnmatch
import time
from calendar import timegm
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import headlines_of, json_option, print_json, suggest
from pipelines.cli.store import open_store, store_option
from pipelines.cli.terminal import columns, cut, is_terminal, painted
from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.lineage.trace import locate

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact
    from pipelines.core.record import Record
    from pipelines.core.store import Store

WIDE = 110  # columns from which versions and full dates are shown
JOURNEY = (
    *("RawText", "Documents", "TextIndex", "WordVectors", "Examples", "Contamination", "Items"),
    "Weights",
    *(
        "Licences",
        "TokenizerFiles",
        "TokenShards",
        "Checkpoint",
        "Reference",
        "SeenItems",
        "Evaluation",
        "Report",
        "Trial",
        "SweepComparison",
    ),
)


@click.command()
@click.argument(
    "pattern", required=False, help="A part of a key, or a pattern such as 'chat/*_evaluation'."
)
@click.option("--recipe", "named", help="Only the assets of this recipe: a name or a .yaml file.")
@json_option
@store_option
def ls(pattern: str | None, named: str | None, as_json: bool, store: Path | None) -> None:
    """List what the store holds.

    Prints one line for each asset: its key, the time of its current version, its size and its
    figures; on a wide terminal also the version and the number of older versions.
    """
    opened = open_store(store)
    known = opened.keys()
    rows = [row for key in _chosen(known, pattern, named) if (row := _row(opened, key))]
    if not named:
        rows = _in_order(rows, known)
    if as_json:
        print_json({"store": str(opened.root), "assets": [row.as_json() for row in rows]})
        return
    if not rows:
        click.echo(_nothing(known, pattern, named))
    for line in _lines(rows):
        click.echo(line)
    here = [row for row in rows if row.artefact is not None]
    suggest(*(f"dragon {verb} {here[-1].key}" for verb in ("show", "trace") if here))


@dataclass(frozen=True)
class _Row:
    """One asset: its current version and record, or why it has none."""

    key: str
    artefact: Artefact | None
    record: Record | None
    older: int
    fault: str

    @property
    def made(self) -> float | None:
        """Seconds since the epoch at which the current version was made; None if unknown."""
        try:
            finished = str(self.record.made["finished"]) if self.record else ""
            return timegm(time.strptime(finished, "%Y-%m-%dT%H:%M:%SZ"))
        except (ValueError, KeyError):
            return None

    def as_json(self) -> dict[str, Any]:
        """The row for programs; ``made`` is in UTC and ``bytes`` counts all files."""
        artefact = self.artefact
        if artefact is None or self.record is None:
            return {"key": self.key, "state": self.fault}
        return {
            "key": self.key,
            "state": "made",
            "version": artefact.version,
            "derivation": artefact.derivation,
            "kind": self.record.makes,
            "made": self.record.made.get("finished"),
            "seconds": self.record.made.get("seconds"),
            "bytes": artefact.size,
            "older": self.older,
            "figures": artefact.figures(),
        }


def _chosen(keys: Iterable[str], pattern: str | None, named: str | None) -> list[str]:
    """The keys of a recipe in its own order, or all; and of these the ones that fit a pattern."""
    keys = list(keys)
    if named is not None:
        from pipelines.cli.recipes import find_recipe
        from pipelines.core.project import Project
        from pipelines.stages import stages

        stored = set(keys)
        recipe = find_recipe(named, Project.here())
        keys = [declared.key for declared in stages(recipe) if declared.key in stored]
    if pattern is None:
        return keys
    given = pattern.strip("/")
    if any(mark in given for mark in "*?["):
        return [key for key in keys if fnmatch.fnmatchcase(key, given)]
    return [key for key in keys if given in key]


def _row(store: Store, key: str) -> _Row | None:
    """The asset of a key; one with a fault does not hide the others."""
    try:
        records, versions = store.records(key), store.versions(key)
        if not records or records[0].version not in versions:
            return _Row(key, None, None, 0, "removed")
        return _Row(key, locate(store, key), records[0], len(versions) - 1, "")
    except (CorruptArtefact, StoreError) as error:
        return _Row(key, None, None, 0, str(error))


def _in_order(rows: list[_Row], known: Iterable[str]) -> list[_Row]:
    """Corpora first, then recipes; the assets of each as they follow from each other."""
    corpora = {key.split("/")[0] for key in known if key.endswith(("/raw_text", "/items"))}

    def place(row: _Row) -> tuple[bool, str, int, str]:
        scope = row.key.split("/")[0]
        kind = row.record.makes if row.record else ""
        number = JOURNEY.index(kind) if kind in JOURNEY else len(JOURNEY)
        return scope not in corpora, scope, number, row.key

    return sorted(rows, key=place)


def _nothing(known: list[str], pattern: str | None, named: str | None) -> str:
    """Why nothing is listed, and how to mend it."""
    from pipelines.text.nearest import did_you_mean

    if not known:
        return "The store is empty. dragon run chat fills it."
    if pattern is None:
        return f"Nothing of the recipe {named} was made. dragon run {named} makes it."
    mend = did_you_mean(pattern, known, f"dragon ls lists all {len(known)} assets")
    return f"No asset fits {pattern!r}; {mend}"


def _lines(rows: list[_Row]) -> Iterator[str]:
    """A table with a heading that fits the terminal; a pipe gets all of it."""
    if not rows:
        return
    terminal = is_terminal()
    room = columns() - 1 if terminal else 10_000
    wide = room >= WIDE
    width = max(len(row.key) for row in rows)
    head = f"{'ASSET':{width}}  {'MADE':{16 if wide else 12}}  {'SIZE':>8}  "
    head += f"{'VERSION':12}  {'OLDER':>5}  " if wide else ""
    yield painted(cut(f"{head}FIGURES", room), "bold")
    for row in rows:
        if row.artefact is None:
            yield cut(f"{row.key:{width}}  {row.fault}", room)
            continue
        yield _line(row, row.artefact, width, wide, room)


def _line(row: _Row, artefact: Artefact, width: int, wide: bool, room: int) -> str:
    from pipelines.report.card import Bytes

    made = row.made
    form = "%Y-%m-%d %H:%M" if wide else "%d %b %H:%M"
    when = time.strftime(form, time.localtime(made)) if made else "unknown"
    line = f"{row.key:{width}}  {when:{16 if wide else 12}}  {Bytes(artefact.size)!s:>8}  "
    if wide:
        line += f"{artefact.version[:12]}  {row.older or '':>5}  "
    return cut(f"{line}{headlines_of(artefact, room - len(line))}".rstrip(), room)
