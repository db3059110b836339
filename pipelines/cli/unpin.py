"""``dragon unpin``: lets ``dragon gc`` remove a version again when nothing needs it."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.store import open_store, store_option
from pipelines.core.record import StoreError
from pipelines.text.nearest import did_you_mean


@click.command()
@click.argument("target", help="A pinned asset, or one version of it (chat/foundation@3f2a).")
@store_option
def unpin(target: str, store: Path | None) -> None:
    """Remove the pin of a version, or all pins of an asset.

    The digits of a version have to be those of one pinned version alone.
    """
    opened = open_store(store)
    key, _, prefix = target.partition("@")
    pins = list(opened.pins.all())
    chosen = [one for one in pins if one.key == key and one.version.startswith(prefix)]
    if not chosen:
        names = [f"{one.key}@{one.version[:12]}" for one in pins]
        raise StoreError(
            f"{target}: is not pinned; {did_you_mean(target, names, 'dragon pin --list lists all')}"
        )
    versions = {one.version: None for one in chosen}
    if prefix and len(versions) > 1:
        digits = ", ".join(version[:12] for version in versions)
        raise StoreError(
            f"{target}: {len(versions)} pinned versions begin with {prefix!r}; give more digits of"
            f" {digits}"
        )
    for one in chosen:
        opened.pins.remove(one)
        click.echo(f"unpinned: {one.key}@{one.version[:12]}")
