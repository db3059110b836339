"""What the pages know: the project, Dagster's runs, and MLflow's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.recipe.loading import disagreements, read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import collisions

DAGSTER = "/dagster"  # the path of Dagster's own pages


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

    ``mlflow`` is the address of MLflow's pages, without a slash at its end.
    """

    project: Project
    mlflow: str
    runs: Callable[[str], Sequence[Run]]

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
