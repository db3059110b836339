"""``dragon migrate``: a store of an earlier layout, moved to today's."""

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

    Prints a line for each key: what it was called, what it is called now, and how many records it
    has. Nothing is lost; a move that was interrupted goes on where it stopped.
    """
    root, keys = root_of(store), 0
    for moved in moves(root):
        click.echo(f"{moved.earlier:40}  -> {moved.key:40}  {moved.records:,} records")
        keys += 1
    click.echo(f"{keys:,} keys moved in {root}" if keys else f"{root}: today's layout already")
    suggest("dragon ls")
