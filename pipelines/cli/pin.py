"""``dragon pin``: keeps a version, whatever ``dragon gc`` removes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import TARGET, open_store, store_option


@click.command()
@click.argument("target", required=False, help=TARGET)
@click.option("--reason", default="", help="Why it has to stay, for who reads it later.")
@click.option("--list", "listed", is_flag=True, help="List the pins.")
@json_option
@store_option
def pin(target: str | None, reason: str, listed: bool, as_json: bool, store: Path | None) -> None:
    """Keep a version and all that it was made from.

    Then dragon gc does not remove it. Of an asset it pins the current version, which stays pinned
    when another one is current.
    """
    from pipelines.lineage.history import when
    from pipelines.lineage.trace import locate

    if listed == bool(target):
        raise click.UsageError("give an asset or --list")
    opened = open_store(store)
    if target:
        pins = [opened.pin(locate(opened, target), " ".join(reason.split()))]
    else:
        pins = list(opened.pins.all())
    if as_json:
        print_json([asdict(pin) for pin in pins])
        return
    for one in pins:
        done = "" if listed else "pinned: "
        since = f"  {when(one.pinned)}" if listed else ""
        click.echo(f"{done}{one.key}@{one.version[:12]}{since}  {one.reason}".rstrip())
    if not pins:
        click.echo("no pins")
