"""``dragon migrate``: moves a store of an earlier layout to today's layout."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.showing import suggest
from pipelines.cli.store import root_of, store_option
from pipelines.lineage.migration import migrate as moves


@click.command()
@store_option
def migrate(store: Path | None) -> None:
    """Move a store of an earlier version to today's layout.

    Prints one line for each key: its earlier name, its name now, and the number of its records.
    Nothing is lost. A move that was interrupted continues where it stopped.
    """
    root, keys = root_of(store), 0
    for moved in moves(root):
        key = moved.key or "(no record, so no key)"
        click.echo(f"{moved.earlier:40}  -> {key:40}  {moved.records:,} records")
        keys += 1
    click.echo(f"{keys:,} keys moved in {root}" if keys else f"{root}: has today's layout already")
    if unfinished := len(list((root / ".work").glob("*/checkpoint.json"))):
        click.echo(
            f"{unfinished:,} unfinished trainings: an earlier key decided them; they begin anew"
        )
    suggest("dragon ls")
