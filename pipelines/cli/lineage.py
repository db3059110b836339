"""``dragon trace``, ``show`` and ``ls``: reading the store, without Dagster or torch."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.project import Project
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.trace import locate, tree
from pipelines.lineage.trace import trace as trace_lineage


def open_store(path: Path | None) -> Store:
    """The store at ``path``, else the project's; StoreError where there is none."""
    root = (path or Project.here().store).resolve()
    if not root.is_dir():
        raise StoreError(f"{root}: no store; run a recipe, or choose one with --store")
    return Store(root)


def trace(target: str, path: Path | None) -> None:
    """Print the lineage as a tree; raise where a byte of it is not what it was."""
    store = open_store(path)
    node = trace_lineage(store, locate(store, target))
    for line in tree(node):
        typer.echo(line)
    everything = node.walk()
    files = sum(len(n.artefact.files) for n in everything)
    size = sum(n.artefact.size for n in everything)
    typer.echo(
        f"\nverified: {len(everything)} artefacts, {files} files, {size / 1e6:.1f} MB,"
        f" {len(everything)} records"
    )


def show(target: str, path: Path | None) -> None:
    """Print one artefact."""
    store = open_store(path)
    artefact = locate(store, target)
    artefact.verify()
    typer.echo(f"{artefact.key}  {artefact.version}")
    typer.echo(f"{artefact.folder}\n")
    for name, entry in artefact.files.items():
        typer.echo(f"  {entry.size:>12,}  {entry.sha256[:12]}  {name}")
    typer.echo("")
    for name, value in artefact.figures().items():
        typer.echo(
            f"  {name}: {value:,.6g}" if isinstance(value, float) else f"  {name}: {value:,}"
        )
    for record in store.records(artefact.key, artefact.version):
        typer.echo(f"\nrecord {record.derivation}")
        typer.echo(json.dumps({"decides": record.decides, "made": record.made}, indent=2))


def list_store(path: Path | None) -> None:
    """Print every key with its current version, size and number of versions."""
    store = open_store(path)
    keys = store.keys()
    if not keys:
        typer.echo("The store is empty. dragon run chat fills it.")
    for key in keys:
        try:
            typer.echo(f"{key:40}  {_state(store, key)}")
        except (CorruptArtefact, StoreError) as error:  # the other keys are listed all the same
            typer.echo(f"{key:40}  {error}")


def _state(store: Store, key: str) -> str:
    """A key's current version, its size and how many older ones there are."""
    records, versions = store.records(key), store.versions(key)
    if not records or records[0].version not in versions:
        return "removed"
    artefact = locate(store, key)
    more = f"  and {len(versions) - 1} older" if len(versions) > 1 else ""
    return f"{artefact.version[:12]}  {artefact.size:>13,} bytes{more}"
