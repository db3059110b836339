"""``dragon sweep``: trains the points of a recipe's sweep and prints how they compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.terminal import columns, cut, is_terminal
from pipelines.cli.voice import Voice
from pipelines.core.project import Project

if TYPE_CHECKING:
    from pipelines.recipe.schema import Recipe
    from pipelines.sweeps.artefacts import SweepComparison

EXAMPLE = "sweep: {points: {training.batch_size: [8, 16]}}"


@click.command()
@click.argument("named", metavar="RECIPE", help="A name in recipes/, or a .yaml file.")
@click.option("--all", "all_points", is_flag=True, help="Stop no point; go on with stopped ones.")
@json_option
def sweep(named: str, all_points: bool, as_json: bool) -> None:
    """Train a recipe with several values of its settings and compare.

    Points that are made are reused, and others go on where they are. Hopeless ones are stopped
    early if the recipe says so. Prints a table of all choices, and the change of the recipe that
    adopts the best one.
    """
    from pipelines.cli.recipes import find_recipe
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    if recipe.sweep is None:
        raise RecipeError(f"{recipe.name} has no sweep; add a section such as '{EXAMPLE}'")
    address = _run(project, recipe, all_points, speaks=not as_json)
    _print(project, recipe, address, as_json=as_json)


def _run(project: Project, recipe: Recipe, all_points: bool, *, speaks: bool) -> str | None:
    """Make the comparison and all before it; the address of its page."""
    import contextlib
    import sys

    from pipelines.cli.run import carried_out, sweep_report
    from pipelines.orchestration.interruption import Interruption

    key = f"{recipe.name}/sweep_comparison"
    # The JSON document alone is for stdout.
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stdout if speaks else sys.stderr))
        voice = stack.enter_context(Voice().speaking())
        stop = stack.enter_context(Interruption(voice.last, voice.phase).heard())
        done = carried_out(project, recipe, [key], voice, stop, all_points=all_points)
        return sweep_report(project, recipe, done.keys)


def _print(project: Project, recipe: Recipe, address: str | None, *, as_json: bool) -> None:
    from pipelines.core.store import Store
    from pipelines.lineage.points import seconds_by_point
    from pipelines.sweeps.artefacts import SweepComparison

    store, key = Store(project.store), f"{recipe.name}/sweep"
    comparison = store.current(f"{key}_comparison", SweepComparison)
    record = store.current_record(f"{key}_comparison")
    seconds = seconds_by_point(store, key, record)
    if as_json:
        about = {"recipe": recipe.name, "version": comparison.version, "page": address}
        print_json({**about, **comparison.content(), "seconds": seconds})
        return
    for line in _lines(comparison, seconds):
        click.echo(line)
    click.echo(f"\nThe page: {address}")


def _lines(comparison: SweepComparison, seconds: dict[str, float]) -> list[str]:
    """The table of choices, the verdict, and the lines that adopt the best choice."""
    from pipelines.report import swept

    content = comparison.content()
    rows = swept.rows(content, seconds)
    room = columns() - 1 if is_terminal() else 10_000
    cells: list[list[Any]] = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = ["", *(cut("  ".join(
        cell.ljust(width) for cell, width in zip(row, widths, strict=True)
    ).rstrip(), room) for row in cells)]  # fmt: skip
    steps = content["steps"]
    saved = f"{1 - steps['trained'] / steps['planned']:.0%} of the steps were saved"
    lines += ["", swept.verdict(content), f"{saved}: {steps['trained']:,} of {steps['planned']:,}."]
    adopt = swept.adoption(content)
    return [*lines, *(["The recipe adopts it with:", *(f"  {one}" for one in adopt)] * bool(adopt))]
