"""The definitions of some recipes: assets, checks, jobs, schedules, sensors, resources, merged."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.core.project import Project
from pipelines.core.tracking import Tracker
from pipelines.orchestration.assets import asset_of
from pipelines.orchestration.automation import declare_automation
from pipelines.orchestration.checks import declare_checks
from pipelines.orchestration.resources import StoreIOManager, StoreResource, fixed
from pipelines.orchestration.runs import living
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare
from pipelines.text.parallel import end_with_parent

# A step starts from a warm process: imports are shared, nothing is computed before the fork.
STEPS = {
    "max_concurrent": 2,
    "start_method": {"forkserver": {"preload_modules": ["pipelines.preload"]}},
}


class LivingExecutor(dg.Executor):
    """An executor whose process holds its run's lock and ends with the server that started it."""

    def __init__(self, steps: dg.Executor, home: Path) -> None:
        self.steps = steps
        self.home = home

    @property
    def retries(self) -> Any:
        """As the executor below has them."""
        return self.steps.retries

    @property
    def step_dependency_config(self) -> Any:
        """As the executor below has it."""
        return self.steps.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Run the plan's steps; Dagster calls this in the run's worker."""
        end_with_parent()
        with living(self.home, plan_context.instance, plan_context.run_id):
            yield from self.steps.execute(plan_context, execution_plan)


def _executor(home: Path) -> dg.ExecutorDefinition:
    """A process a step, forked from a warm one, all of them gone when the run's worker is."""
    forked = dg.multiprocess_executor

    def make(context: dg.InitExecutorContext) -> LivingExecutor:
        assert forked.executor_creation_fn is not None
        return LivingExecutor(forked.executor_creation_fn(context), home)

    return dg.ExecutorDefinition(
        name=forked.name,
        config_schema=forked.config_schema,  # type: ignore[arg-type]  # narrower than it takes
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=make,
    ).configured(STEPS)


def _io_manager(resource: StoreResource) -> dg.IOManagerDefinition:
    """Made anew in every step's process, which from then on ends with its run's worker."""

    @dg.io_manager
    def versions(_: dg.InitResourceContext) -> StoreIOManager:
        end_with_parent()
        return StoreIOManager(resource)

    return versions


def build(
    project: Project,
    recipes: Iterable[Recipe],
    faults: Mapping[str, Exception] | None = None,
    tracker: Tracker | None = None,
) -> dg.Definitions:
    """The definitions of some recipes in a project's places.

    ``faults`` are those of recipes that were left out, by name: people who miss their assets in the
    graph find what is wrong in the same place.
    """
    recipes = list(recipes)
    declarations = declare(recipes)
    views = {declared.key: declared.makes for declared in declarations}
    assets = [asset_of(declared, views) for declared in declarations]
    return dg.Definitions(
        assets=[*assets, *_notices(faults or {})],
        asset_checks=declare_checks(declarations),
        **declare_automation(project, recipes),
        resources={
            "store": fixed(StoreResource.of(project)),
            "tracker": fixed(tracker or Tracker(project.mlflow)),
            "io_manager": _io_manager(StoreResource.of(project)),
        },
        executor=_executor(project.home),
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
