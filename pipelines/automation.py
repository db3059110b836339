"""Jobs, the weekly retraining and the watch over local folders. Both ship switched off."""

from typing import Any

import dagster as dg

from pipelines.identity import digest
from pipelines.project import Project
from pipelines.recipe.schema import Recipe
from pipelines.recipe.sources import FolderSource
from pipelines.text.sources import folder_state

WEEKLY = "0 3 * * 0"  # Sunday, three in the morning


def declare_automation(project: Project, recipes: list[Recipe]) -> dict[str, Any]:
    """``jobs``, ``schedules`` and ``sensors`` for ``dg.Definitions``."""
    jobs = {recipe.name: _job(recipe) for recipe in recipes}
    schedules = [
        dg.ScheduleDefinition(
            name=f"retrain_{recipe.name}_weekly",
            job=jobs[recipe.name],
            cron_schedule=WEEKLY,
            description=f"Materialize report/{recipe.name} and all it hangs on; what is unchanged"
            " is reused.",
            default_status=dg.DefaultScheduleStatus.STOPPED,
        )
        for recipe in recipes
    ]
    sensors = [
        _folder_sensor(project, corpus, declared.source, jobs[recipe.name])
        for recipe in recipes
        for corpus, declared in recipe.corpora.items()
        if isinstance(declared.source, FolderSource)
    ]
    return {"jobs": list(jobs.values()), "schedules": schedules, "sensors": sensors}


def _job(recipe: Recipe) -> Any:
    return dg.define_asset_job(
        name=f"make_{recipe.name}",
        selection=dg.AssetSelection.assets(["report", recipe.name]).upstream(),
        description=recipe.description,
    )


def _folder_sensor(
    project: Project, corpus: str, source: FolderSource, job: Any
) -> dg.SensorDefinition:
    """Asks for a run when the text in a folder is not what it was at the last look."""

    @dg.sensor(
        name=f"watch_{corpus}_for_{job.name}",
        job=job,
        minimum_interval_seconds=60,
        description=f"Runs {job.name} when files in {source.path} change.",
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            state = digest(folder_state(source, project.root))
        except ValueError as error:
            return dg.SkipReason(str(error))
        if state == context.cursor:
            return dg.SkipReason(f"{source.path}: nothing new")
        context.update_cursor(state)
        return dg.RunRequest()  # no key: a folder may well return to an earlier state

    return watch
