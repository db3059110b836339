"""``dragon show``: one asset's files, figures and record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option
from pipelines.lineage.trace import locate

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact
    from pipelines.core.record import Record


@click.command()
@click.argument("target", help=TARGET)
@json_option
@store_option
def show(target: str, as_json: bool, store: Path | None) -> None:
    """Print an asset's files, figures and record.

    It hashes the files again, and names a file that was changed.
    """
    from pipelines.report.figures import spelled

    opened = open_store(store)
    artefact = locate(opened, target)
    artefact.verify()
    records = opened.records(artefact.key, artefact.version)
    if as_json:
        print_json(_as_json(artefact, records))
        return
    click.echo(f"{artefact.key}  {artefact.version}")
    click.echo(f"{artefact.folder}\n")
    for name, entry in artefact.files.items():
        click.echo(f"  {entry.size:>12,}  {entry.sha256[:12]}  {name}")
    for name, sha256 in (artefact.beside.digests() if artefact.beside else {}).items():
        click.echo(f"  {'beside':>12}  {sha256[:12]}  {name}")
    click.echo("")
    for figure in spelled(artefact.figures()):
        value, text = figure.value, figure.text
        exact = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
        told = f"  ({exact})" if text.split()[0] != exact else ""
        click.echo(f"  {figure.name}: {text}{told}")
    for record in records:
        click.echo(f"\nrecord {record.derivation}")
        click.echo(json.dumps({"decides": record.decides, "made": record.made}, indent=2))
    suggest(f"dragon trace {artefact.key}")


def _as_json(artefact: Artefact, records: list[Record]) -> dict[str, Any]:
    """The version for programs; the first record is the current one."""
    return {
        "key": artefact.key,
        "version": artefact.version,
        "folder": str(artefact.folder),
        "kind": records[0].makes if records else None,
        "bytes": artefact.size,
        "files": [
            {"path": name, "size": entry.size, "sha256": entry.sha256}
            for name, entry in artefact.files.items()
        ],
        "figures": artefact.figures(),
        "records": [
            {
                "derivation": record.derivation,
                "decides": record.decides,
                "parents": list(record.parents),
                "made": record.made,
            }
            for record in records
        ],
    }
