"""``dragon run``: runs the same definitions as the UI in this process and shows progress."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from pipelines.core.project import Project

if TYPE_CHECKING:
    from pipelines.recipe.schema import Recipe


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

    An asset is reused if nothing that it depends on changed. At the end it prints commands to use
    the assets.
    """
    from pipelines.cli.recipes import find_recipe

    began = time.monotonic()
    project = Project.here()
    recipe = find_recipe(named, project)
    _require_agreement(recipe, project)
    _speak()
    print(f"{recipe.name}: {recipe.description}")
    from pipelines.orchestration.execution import execute

    done = execute(project, recipe, list(select))
    for check in done.unmet:
        print(f"check {check}")
    reused, seconds = len(done.keys) - done.made, time.monotonic() - began
    print(f"\n{len(done.keys)} assets, {done.made} made, {reused} reused, in {seconds:.1f} s")
    _what_next(project, recipe, named, done.keys)


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


def _what_next(project: Project, recipe: Recipe, named: str, keys: Collection[str]) -> None:
    from pipelines.cli.suggestions import suggestions

    lines = [("The report", page)] if (page := _report(project, recipe, keys)) else []
    lines += [*suggestions(recipe, named, keys), ("See the graph", "make ui")]
    width = max(len(purpose) for purpose, _ in lines) + 2
    print()
    for purpose, command in lines:
        print(f"{purpose + ':':{width}}{command}")


def _report(project: Project, recipe: Recipe, keys: Collection[str]) -> str | None:
    """Write the report's page with all assets and their times; its address, or None without one."""
    from pipelines.core.store import Store
    from pipelines.lineage.presented import presented
    from pipelines.report.artefacts import Report

    key = f"{recipe.name}/report"
    if key not in keys:
        return None
    store = Store(project.store)
    place = project.home / "reports" / f"{recipe.name}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(presented(store, store.current(key, Report)), encoding="utf-8")
    return place.as_uri()


class _Lines(logging.Handler):
    """Prints progress on one line that is overwritten (on a terminal), and other messages below."""

    def __init__(self) -> None:
        super().__init__()
        self.moving = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "fleeting", False) and not sys.stdout.isatty():
            return
        if getattr(record, "progress", False) and sys.stdout.isatty():
            print(f"\r\x1b[2K  {text}", end="", flush=True)
            self.moving = True
            return
        if self.moving:
            print("\r\x1b[2K", end="")
            self.moving = False
        mark = "warning: " if record.levelno >= logging.WARNING else ""
        print(f"  {mark}{text}", flush=True)


def _speak() -> None:
    logger = logging.getLogger("dragon")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not any(isinstance(h, _Lines) for h in logger.handlers):
        logger.addHandler(_Lines())
