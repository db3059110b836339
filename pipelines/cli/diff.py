"""``dragon diff``: the smallest set of differences between two versions, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.causes import as_json as difference_as_json
from pipelines.cli.causes import split
from pipelines.cli.indexing import indexed
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option
from pipelines.cli.terminal import columns, cut, is_terminal
from pipelines.lineage.wording import FEW, SHORT, metric_line, told

if TYPE_CHECKING:
    from pipelines.lineage.diff import Differences
    from pipelines.lineage.metrics import Metric


@click.command()
@click.argument("a", help=TARGET)
@click.argument("b", help="The same of what it is compared with.")
@click.option("--all", "everything", is_flag=True, help="List every document that differs.")
@click.option(
    "--causes",
    is_flag=True,
    help="Split the change of each figure: retrain A with one difference at a time from B.",
)
@click.option("--yes", is_flag=True, help="Train for --causes; without it, only say what would be.")
@json_option
@store_option
def diff(
    a: str, b: str, everything: bool, causes: bool, yes: bool, as_json: bool, store: Path | None
) -> None:
    """Print the smallest set of differences between two versions.

    It names only roots: documents, recipe values, modules of code, libraries, the machine. What
    follows from a difference is not one. Beside it stand the figures of the evaluations of both.
    """
    if yes and not causes:
        raise ValueError("--yes: trains for --causes alone; give both or none")
    from pipelines.lineage.diff import differences
    from pipelines.lineage.graph import Place
    from pipelines.lineage.metrics import metrics
    from pipelines.lineage.trace import locate

    opened = open_store(store)
    sides = [locate(opened, target) for target in (a, b)]
    names = [f"{side.key}@{side.version[:SHORT]}" for side in sides]
    one, other = (Place(side.version, side.derivation) for side in sides)
    few = None if everything else FEW
    if causes:
        split(opened, (one, other), names, few, yes=yes, json=as_json)
        return
    with indexed(opened) as index:
        graph = index.graph()
        found = differences(index, graph, one, other)
        figures = list(metrics(opened, graph, one, other))
    if as_json:
        print_json(_as_json(names, found, figures))
        return
    room = columns() - 1 if is_terminal() else 10_000
    for line in _lines(names, found, figures, few):
        click.echo(cut(line, room))
    suggest(f"dragon compare {names[0]} {names[1]}", f"dragon trace {names[1]}")


def _as_json(names: list[str], found: Differences, figures: list[Metric]) -> dict[str, Any]:
    return {
        "a": names[0],
        "b": names[1],
        "differences": [difference_as_json(one) for one in found.roots],
        "follows": [difference_as_json(one) for one in found.follows],
        "metrics": [one._asdict() for one in figures],
    }


def _lines(
    names: list[str], found: Differences, figures: list[Metric], few: int | None
) -> Iterator[str]:
    yield f"{names[0]} -> {names[1]}"
    if not found.roots:
        yield "  no difference: both are the same version"
    for one in found.roots:
        yield from told(one, few)
    if found.follows:
        yield "  which follows from these:"
    for one in found.follows:
        yield from told(one, few)
    if figures:
        yield ""
    width = max((len(one.name) for one in figures), default=0)
    evaluation = ""
    for metric in figures:
        if metric.evaluation != evaluation:
            evaluation = metric.evaluation
            yield f"  {evaluation}"
        yield f"    {metric.name:{width}}  {metric_line(metric)}"
