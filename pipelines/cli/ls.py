"""``dragon ls``: what the store holds."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.showing import suggest
from pipelines.cli.store import open_store, store_option
from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.trace import locate


@click.command()
@store_option
def ls(store: Path | None) -> None:
    """List what the store holds.

    Prints one line for each asset: its key, current version, size and number of older versions.
    """
    opened = open_store(store)
    keys = opened.keys()
    if not keys:
        click.echo("The store is empty. dragon run chat fills it.")
    for key in keys:
        try:
            click.echo(f"{key:40}  {_state(opened, key)}")
        except (CorruptArtefact, StoreError) as error:  # the other keys are still listed
            click.echo(f"{key:40}  {error}")
    suggest(*(f"dragon {verb} {keys[-1]}" for verb in ("show", "trace") if keys))


def _state(store: Store, key: str) -> str:
    """A key's current version, its size and the number of older versions."""
    records, versions = store.records(key), store.versions(key)
    if not records or records[0].version not in versions:
        return "removed"
    artefact = locate(store, key)
    more = f"  and {len(versions) - 1} older" if len(versions) > 1 else ""
    return f"{artefact.version[:12]}  {artefact.size:>13,} bytes{more}"
