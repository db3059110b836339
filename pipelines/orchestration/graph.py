"""Builds the Dagster definitions of recipes: assets, checks, jobs, schedules, sensors and more."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.checks import checks_of
from pipelines.core.declaration import Declaration
from pipelines.core.project import Project
from pipelines.core.tracking import Tracker
from pipelines.orchestration.assets import assets_of
from pipelines.orchestration.automation import declare_automation
from pipelines.orchestration.resources import NoValues, StoreResource, fixed
from pipelines.orchestration.runs import living
from pipelines.orchestration.shown import shown_by
from pipelines.orchestration.sweeps import sweep_of
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare
from pipelines.text.parallel import end_with_parent

# A step is forked from a process with all imports done; nothing is computed before the fork.
STEPS = {
    "max_concurrent": 2,
    "start_method": {"forkserver": {"preload_modules": ["pipelines.preload"]}},
}


class LivingExecutor(dg.Executor):
    """An executor whose process holds its run's lock and ends with the server that started it."""

    def __init__(self, steps: dg.Executor, home: Path, tracker: Tracker) -> None:
        self.steps = steps
        self.home = home
        self.tracker = tracker

    @property
    def retries(self) -> Any:
        """The retries of the wrapped executor."""
        return self.steps.retries

    @property
    def step_dependency_config(self) -> Any:
        """The configuration of the wrapped executor."""
        return self.steps.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Run the plan's steps; Dagster calls this in the run's worker."""
        end_with_parent()
        with living(self.home, plan_context.instance, plan_context.run_id):
            status, failed = "KILLED", False  # unless the steps end by themselves
            try:
                for event in self.steps.execute(plan_context, execution_plan):
                    failed |= event.is_step_failure
                    yield event
                status = "FAILED" if failed else "FINISHED"
            except Exception:
                status = "FAILED"
                raise
            finally:
                # Not sent here: MLflow's import would hold up the end of the run for seconds.
                self.tracker.finish_run(plan_context.run_id, status, send=False)


def _executor(home: Path, tracker: Tracker) -> dg.ExecutorDefinition:
    """One process for each step, forked from a prepared one; all end with the run's worker."""
    forked = dg.multiprocess_executor

    def make(context: dg.InitExecutorContext) -> LivingExecutor:
        assert forked.executor_creation_fn is not None
        return LivingExecutor(forked.executor_creation_fn(context), home, tracker)

    return dg.ExecutorDefinition(
        name=forked.name,
        config_schema=forked.config_schema,  # type: ignore[arg-type]  # narrower than it takes
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=make,
    ).configured(STEPS)


def build(
    project: Project,
    recipes: Iterable[Recipe],
    faults: Mapping[str, Exception] | None = None,
    tracker: Tracker | None = None,
) -> dg.Definitions:
    """The definitions of some recipes with a project's folders.

    ``faults`` has the faults of the recipes that were left out, by name. The graph shows them where
    a person looks for the missing assets.
    """
    recipes = list(recipes)
    declarations = declare(recipes)
    tracker = tracker or Tracker(project.mlflow)
    return dg.Definitions(
        assets=[*_assets(declarations, recipes), *_notices(faults or {})],
        **declare_automation(project, recipes),
        resources={
            "store": fixed(StoreResource.of(project)),
            "tracker": fixed(tracker),
            "io_manager": dg.IOManagerDefinition.hardcoded_io_manager(NoValues()),
        },
        executor=_executor(project.home, tracker),
    )


def _assets(
    declarations: list[Declaration], recipes: list[Recipe]
) -> Iterator[dg.AssetsDefinition]:
    """All declarations as assets; a sweep has a partition for each of its points."""
    shown = shown_by(recipes)
    yield from assets_of(declarations, shown)
    by_key = {declared.key: declared for declared in declarations}
    checks = list(checks_of(declarations))
    for declared in declarations:
        if declared.points:
            own = [applied for applied in checks if applied.key == declared.key]
            yield sweep_of(declared, by_key, own, shown[declared.key])


def _notices(faults: Mapping[str, Exception]) -> list[dg.AssetSpec]:
    """Entries of the graph for recipes that were left out; they cannot be materialized."""
    return [
        dg.AssetSpec(
            ["left_out", name],
            group_name="left_out",
            kinds={"fault"},
            description=f"This recipe was left out. {fault} Mend it, then reload the definitions.",
        )
        for name, fault in faults.items()
    ]
