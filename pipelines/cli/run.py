"""``dragon run``: runs the same definitions as the UI in this process and shows progress."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import click

from pipelines.cli.terminal import columns, cut, is_terminal, painted
from pipelines.cli.voice import Voice, ended
from pipelines.core.progress import spell_seconds
from pipelines.core.project import Project

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact
    from pipelines.core.record import Record
    from pipelines.orchestration.execution import Done
    from pipelines.orchestration.interruption import Interruption
    from pipelines.recipe.schema import Recipe

WHY_LINES = 12  # assets whose reason is told one by one
REASONS = 3  # differences that are told of one asset


@click.command()
@click.argument("named", metavar="RECIPE", help="A name in recipes/, or a .yaml file.")
@click.option(
    "--select",
    "-s",
    multiple=True,
    help="Make only this asset and all that it depends on; may be repeated.",
)
def run(named: str, select: tuple[str, ...]) -> None:
    """Make all that a recipe describes.

    An asset is reused if nothing that it depends on changed. At the end it says why the others were
    made, and prints commands to use them. Ctrl-C ends it; the same command goes on later.
    """
    from pipelines.orchestration.interruption import Interruption

    began = time.monotonic()
    with Voice().speaking() as voice, Interruption(voice.last, voice.phase).heard() as stop:
        voice.phase("reading recipes")
        _run(named, select, voice, stop, began)


def _run(
    named: str, select: tuple[str, ...], voice: Voice, stop: Interruption, began: float
) -> None:
    """Run a recipe and say what came of it. Ends the process if a person interrupted it."""
    from pipelines.cli.recipes import find_recipe

    project = Project.here()
    recipe = find_recipe(named, project)
    voice.line(f"{recipe.name}: {recipe.description}")
    done = carried_out(project, recipe, list(select), voice, stop)
    voice.phase("writing the report")
    report = _report(project, recipe, done.keys)
    swept = sweep_report(project, recipe, done.keys)
    voice.clear()
    for check in done.unmet:
        voice.line(_check(check))
    seconds, reused = time.monotonic() - began, len(done.keys) - done.made
    took = f"{seconds:.1f} s" if seconds < 60 else spell_seconds(seconds)
    voice.line(f"\n{len(done.keys)} assets, {done.made} made, {reused} reused, in {took}")
    for line in _why(done.reasons):
        voice.line(line)
    pages = {"The report": report, "The sweep": swept}
    for line in _what_next(recipe, named, done.keys, pages):
        voice.line(line)


def carried_out(
    project: Project,
    recipe: Recipe,
    select: list[str],
    voice: Voice,
    stop: Interruption,
    *,
    all_points: bool = False,
) -> Done:
    """Run a recipe, or some assets of it. Ends the process if a person interrupted it.

    With ``all_points`` no point of its sweep is stopped early. Raises RecipeError if the recipe
    contradicts another recipe.
    """
    _require_agreement(recipe, project)
    voice.phase("loading Dagster")
    from pipelines.orchestration.execution import InterruptedRun, execute

    try:
        return execute(project, recipe, select, _Watch(voice), stop, all_points=all_points)
    except InterruptedRun as interrupted:
        stop.end(f"interrupted; run the same command to continue: {interrupted}")
        raise


def _check(check: str) -> str:
    """A check that was not passed; on a terminal its lines end between words."""
    import textwrap

    lines = textwrap.wrap(check, max(columns() - 10, 20)) if is_terminal() else [check]
    return f"{painted('check', 'yellow')} " + "\n      ".join(lines)


class _Watch:
    """Tells the voice how the run goes on."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._width = 34

    def phase(self, label: str) -> None:
        """A part of the work before or after the steps begins."""
        self._voice.phase(label)

    def begins(self, key: str, usual: float | None, number: int, count: int) -> None:
        """An asset's step begins."""
        self._width = max(self._width, len(key))
        self._voice.phase(key, usual, f"[{number}/{count}] ")

    def ends(self, artefact: Artefact, record: Record, reused: bool) -> None:
        """An asset was made or reused: print its line."""
        seconds = float(record.made.get("seconds") or 0)
        done = "reused" if reused else f"made in {seconds:.1f} s"
        self._voice.phase("")
        self._voice.line(ended(artefact, self._width, done))


def _why(reasons: Mapping[str, list[str] | None]) -> list[str]:
    """Why the assets were made that were made before.

    An asset whose inputs alone differ says nothing new: the reason of its inputs is told.
    """
    rows = []
    for key, differences in reasons.items():
        if differences is None:
            continue
        own = [part for part in differences if not part.startswith("input ")]
        if own:
            more = f" and {len(own) - REASONS} more" if len(own) > REASONS else ""
            rows.append((key, ", ".join(own[:REASONS]) + more))
        else:
            names = [part.split()[1].rstrip(":") for part in differences]
            rows.append((key, f"input {', '.join(names)}"))
    if not rows:
        return []
    width = max(len(key) for key, _ in rows)
    room = columns() - 1 if is_terminal() else 10_000
    told = [cut(f"  {key:{width}}  {why}", room) for key, why in rows[:WHY_LINES]]
    left = len(rows) - WHY_LINES
    return ["made again, because of a change in:", *told, *([f"  and {left} more"] * (left > 0))]


def _require_agreement(recipe: Recipe, project: Project) -> None:
    """Raise RecipeError if a recipe contradicts another recipe of the project.

    Each run of one would make the shared assets of the other again. Invalid recipes do not count.
    """
    if not any(project.recipes.glob("*.yaml")):
        return
    from pipelines.recipe.loading import disagreements, read_recipes

    others, _ = read_recipes(project.recipes)
    fault = disagreements({**others, recipe.name: recipe}).get(recipe.name)
    if fault:
        raise fault


def _what_next(
    recipe: Recipe, named: str, keys: Collection[str], pages: Mapping[str, str | None]
) -> list[str]:
    """Lines with what a person may do with the assets; ``pages`` has addresses by name."""
    from pipelines.cli.suggestions import suggestions

    rows = [(name, address) for name, address in pages.items() if address]
    rows += [*suggestions(recipe, named, keys), ("See it all", "dragon ui")]
    width = max(len(purpose) for purpose, _ in rows) + 2
    return ["", *(f"{purpose + ':':{width}}{command}" for purpose, command in rows)]


def _report(project: Project, recipe: Recipe, keys: Collection[str]) -> str | None:
    """Write the report's page with all assets and their times; its address, or None without one."""
    from pipelines.core.store import Store
    from pipelines.lineage.presented import presented
    from pipelines.report.artefacts import Report

    key = f"{recipe.name}/report"
    if key not in keys:
        return None
    store = Store(project.store)
    return _written(project, recipe.name, presented(store, store.current(key, Report)))


def sweep_report(project: Project, recipe: Recipe, keys: Collection[str]) -> str | None:
    """Write the page of the recipe's sweep; its address, or None without one."""
    if f"{recipe.name}/sweep_comparison" not in keys:
        return None
    from pipelines.core.store import Store
    from pipelines.lineage.presented import presented_sweep

    return _written(
        project, f"{recipe.name}-sweep", presented_sweep(Store(project.store), recipe.name)
    )


def _written(project: Project, name: str, page: str) -> str:
    place = project.home / "reports" / f"{name}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(page, encoding="utf-8")
    return place.as_uri()
