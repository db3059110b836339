"""What the pages know: the project, Dagster's runs, and MLflow's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.core.tracking.live import Watch
from pipelines.recipe.loading import disagreements, read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import collisions

DAGSTER = "/dagster"  # the path of Dagster's own pages


class NoPageError(Exception):
    """There is no page of this address; the message says what there is."""


@dataclass(frozen=True)
class Run:
    """A run of a recipe in Dagster. Times are seconds since 1970, or None before they came."""

    id: str
    status: str
    began: float | None
    ended: float | None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, well or badly."""
        return self.status in ("success", "failure", "canceled")


@dataclass(frozen=True)
class Site:
    """All that the pages read. ``runs(recipe)`` gives the newest runs of a recipe, newest first.

    ``mlflow`` is the address of MLflow, without a slash at its end; it may hold a password, which
    no page shows.
    """

    project: Project
    mlflow: str
    runs: Callable[[str], Sequence[Run]]

    @cached_property
    def watch(self) -> Watch:
        """The makings that go on."""
        return Watch(self.project.spools)

    def store(self) -> Store:
        """The project's store."""
        return Store(self.project.store)

    def recipes(self) -> tuple[dict[str, Recipe], Mapping[str, Exception]]:
        """The sound recipes by name, and the faults of the others by name."""
        recipes, faults = read_recipes(self.project.recipes)
        faults |= disagreements(recipes)
        sound = {name: recipe for name, recipe in recipes.items() if name not in faults}
        faults |= collisions(sound)
        return {name: recipe for name, recipe in sound.items() if name not in faults}, faults
