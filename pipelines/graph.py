"""The definitions of some recipes: assets, checks, jobs, schedules, sensors, resources, merged."""

from collections.abc import Iterable, Mapping

import dagster as dg

from pipelines.assets import declare_assets
from pipelines.automation import declare_automation
from pipelines.checks import declare_checks
from pipelines.project import Project
from pipelines.recipe.schema import Recipe
from pipelines.resources import StoreIOManager, StoreResource, fixed
from pipelines.tracking import Tracker

# A step starts from a warm process: imports are shared, nothing is computed before the fork.
EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["pipelines.preload"]}},
    }
)


def build(
    project: Project, recipes: Iterable[Recipe], faults: Mapping[str, Exception] | None = None
) -> dg.Definitions:
    """The definitions of some recipes in a project's places.

    ``faults`` are those of recipes that were left out, by name: people who miss their assets in the
    graph find what is wrong in the same place.
    """
    recipes = list(recipes)
    return dg.Definitions(
        assets=[*declare_assets(recipes), *_notices(faults or {})],
        asset_checks=declare_checks(recipes),
        **declare_automation(project, recipes),
        resources={
            "store": fixed(StoreResource.of(project)),
            "tracker": fixed(Tracker(project.mlflow)),
            "io_manager": StoreIOManager(StoreResource.of(project).open()),
        },
        executor=EXECUTOR,
    )


def _notices(faults: Mapping[str, Exception]) -> list[dg.AssetSpec]:
    """What the graph shows in place of recipes that were left out; nothing can be made of it."""
    return [
        dg.AssetSpec(
            ["left_out", name],
            group_name="left_out",
            kinds={"fault"},
            description=f"This recipe was left out. {fault} When it is mended, reload definitions.",
        )
        for name, fault in faults.items()
    ]
