"""``dragon trace``: prints the lineage of an asset and hashes every file of it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option
from pipelines.lineage.trace import Node, facts, locate, tree
from pipelines.lineage.trace import trace as lineage_of


@click.command()
@click.argument("target", help=f"{TARGET[:-1]}, or an export.")
@json_option
@store_option
def trace(target: str, as_json: bool, store: Path | None) -> None:
    """Print what an asset was made from, down to the documents.

    It hashes everything again, and names a file, manifest or record that was changed.
    """
    opened = open_store(store)
    node = lineage_of(opened, locate(opened, target))
    everything = node.walk()
    if as_json:
        print_json(_as_json(node, everything))
        return
    for line in tree(node):
        click.echo(line)
    files = sum(len(n.artefact.files) for n in everything)
    size = sum(n.artefact.size for n in everything)
    click.echo(
        f"\nverified: {len(everything)} artefacts, {files} files, {size / 1e6:.1f} MB,"
        f" {len(everything)} records"
    )
    suggest(f"dragon show {node.artefact.key}")


def _as_json(root: Node, everything: list[Node]) -> dict[str, Any]:
    """The lineage for programs: each artefact once, parents first, the target last."""
    return {
        "key": root.artefact.key,
        "version": root.artefact.version,
        "verified": True,  # a fault is told on stderr, and then there is no document
        "nodes": [
            {
                "key": node.artefact.key,
                "version": node.artefact.version,
                "derivation": node.artefact.derivation,
                "kind": node.record.makes,
                "facts": facts(node),
                "files": len(node.artefact.files),
                "bytes": node.artefact.size,
                "made": node.record.made.get("finished"),
                "commit": node.record.made.get("git_commit"),
                "parents": [
                    {"input": read["input"], "key": parent.artefact.key, "version": read["version"]}
                    for read, parent in zip(node.record.parents, node.parents, strict=True)
                ],
            }
            for node in everything
        ],
    }
