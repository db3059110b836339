"""``dragon trace``: prints the lineage of an asset and hashes every file of it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.files import write_file
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option
from pipelines.lineage.root import lineage_root
from pipelines.lineage.trace import Node, locate
from pipelines.lineage.trace import trace as lineage_of
from pipelines.lineage.tree import facts, tree

if TYPE_CHECKING:
    from pipelines.lineage.documents import Drawn

COLUMNS = ("corpus", "document", "example", "tokens", "first step", "licence")


@click.command()
@click.argument(
    "target",
    help=f"{TARGET[:-1]}, an export, a served reply in a file, or a run or model in MLflow"
    " (runs:/..., models:/...).",
)
@click.option("--documents", is_flag=True, help="List the documents that each model read.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to this file as a page to unfold, with the documents.",
)
@json_option
@store_option
def trace(
    target: str, documents: bool, html: Path | None, as_json: bool, store: Path | None
) -> None:
    """Print what an asset was made from, down to the documents.

    It hashes everything again, and names a file, manifest or record that was changed.
    """
    opened = open_store(store)
    node = lineage_of(opened, locate(opened, target))
    everything = node.walk()
    if html is not None:
        from pipelines.lineage.page import trace_page

        write_file(html, trace_page(node).encode())
    if as_json:
        print_json(_as_json(node, everything, documents))
        return
    for line in tree(node):
        click.echo(line)
    files = sum(len(n.artefact.files) for n in everything)
    size = sum(n.artefact.size for n in everything)
    if documents:
        for line in _documents(node):
            click.echo(line)
    click.echo(
        f"\nverified: {len(everything)} artefacts, {files} files, {size / 1e6:.1f} MB,"
        f" {len(everything)} records"
    )
    if html is not None:
        click.echo(f"page: {html}")
    suggest(f"dragon show {node.artefact.key}", f"dragon trace {node.artefact.key} --documents")


def _documents(node: Node) -> Iterator[str]:
    """A table of what each model of a lineage read, one line for each document."""
    from pipelines.lineage.documents import documents_of, has_draws, models_in

    models = models_in(node)
    if not models:
        yield "\nno model is in this lineage, so none read a document"
    for model in models:
        artefact = model.artefact
        rows = [COLUMNS, *map(_cells, documents_of(model))]
        read = "read" if has_draws(artefact) else "could read"
        why = "" if read == "read" else "; it keeps no list of what it read: an earlier program"
        yield f"\n{artefact.key} {artefact.version[:12]} {read} {len(rows) - 1:,} documents{why}"
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (f"{cell:{width}}" for cell, width in zip(row, wide, strict=True) if width)
            yield f"  {'  '.join(cells)}".rstrip()


def _cells(one: Drawn) -> tuple[str, ...]:
    tokens = "-" if one.tokens is None else f"{one.tokens:,}"
    step = "-" if one.first_step is None else f"{one.first_step:,}"
    return one.corpus, one.document, one.example or "-", tokens, step, one.licence or "-"


def _as_json(root: Node, everything: list[Node], documents: bool) -> dict[str, Any]:
    """The lineage for programs: each artefact once, parents first, the target last."""
    told: dict[str, Any] = {
        "key": root.artefact.key,
        "version": root.artefact.version,
        "verified": True,  # a fault is told on stderr, and then there is no document
        "lineage_root": lineage_root(root),
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
    if documents:
        from pipelines.lineage.documents import documents_of, has_draws, models_in

        told["documents"] = [
            {
                "model": model.artefact.key,
                "version": model.artefact.version,
                "drawn": has_draws(model.artefact),
                "documents": [one._asdict() for one in documents_of(model)],
            }
            for model in models_in(root)
        ]
    return told
