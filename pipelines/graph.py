"""The definitions of some recipes: assets, checks, jobs, schedules, sensors, resources, merged."""

from collections.abc import Iterable

import dagster as dg

from pipelines.assets import declare_assets
from pipelines.automation import declare_automation
from pipelines.checks import declare_checks
from pipelines.project import Project
from pipelines.recipe.schema import Recipe
from pipelines.resources import StoreIOManager, StoreResource
from pipelines.tracking import Tracker

# A step starts from a warm process: imports are shared, nothing is computed before the fork.
EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["pipelines.preload"]}},
    }
)


def build(project: Project, recipes: Iterable[Recipe]) -> dg.Definitions:
    """The definitions of some recipes in a project's places."""
    recipes = list(recipes)
    return dg.Definitions(
        assets=declare_assets(recipes),
        asset_checks=declare_checks(recipes),
        **declare_automation(project, recipes),
        resources={
            "store": StoreResource.of(project),
            "tracker": Tracker(project.mlflow),
            "io_manager": StoreIOManager(StoreResource.of(project).open()),
        },
        executor=EXECUTOR,
    )
