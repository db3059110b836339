"""``dragon trace``: prints the lineage of an asset and hashes every file of it again."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.showing import suggest
from pipelines.cli.store import open_store, store_option
from pipelines.lineage.trace import locate, tree
from pipelines.lineage.trace import trace as lineage_of


@click.command()
@click.argument(
    "target", help="An asset (chat/foundation), a version folder, a weights file or an export."
)
@store_option
def trace(target: str, store: Path | None) -> None:
    """Print what an asset was made from, down to the documents.

    It hashes everything again, and names a file, manifest or record that was changed.
    """
    opened = open_store(store)
    node = lineage_of(opened, locate(opened, target))
    for line in tree(node):
        click.echo(line)
    everything = node.walk()
    files = sum(len(n.artefact.files) for n in everything)
    size = sum(n.artefact.size for n in everything)
    click.echo(
        f"\nverified: {len(everything)} artefacts, {files} files, {size / 1e6:.1f} MB,"
        f" {len(everything)} records"
    )
    suggest(f"dragon show {node.artefact.key}")
