"""``dragon show``: one asset's files, figures and record."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipelines.cli.showing import suggest
from pipelines.cli.store import open_store, store_option
from pipelines.lineage.trace import locate


@click.command()
@click.argument("target", help="An asset (chat/foundation), a version folder or a weights file.")
@store_option
def show(target: str, store: Path | None) -> None:
    """Print an asset's files, figures and record.

    It hashes the files again, and names a file that was changed.
    """
    opened = open_store(store)
    artefact = locate(opened, target)
    artefact.verify()
    click.echo(f"{artefact.key}  {artefact.version}")
    click.echo(f"{artefact.folder}\n")
    for name, entry in artefact.files.items():
        click.echo(f"  {entry.size:>12,}  {entry.sha256[:12]}  {name}")
    click.echo("")
    for name, value in artefact.figures().items():
        click.echo(
            f"  {name}: {value:,.6g}" if isinstance(value, float) else f"  {name}: {value:,}"
        )
    for record in opened.records(artefact.key, artefact.version):
        click.echo(f"\nrecord {record.derivation}")
        click.echo(json.dumps({"decides": record.decides, "made": record.made}, indent=2))
    suggest(f"dragon trace {artefact.key}")
