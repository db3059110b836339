"""Jobs, weekly schedules and sensors of local folders. Schedules and sensors start switched off."""

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from pipelines.core.identity import digest
from pipelines.core.project import Project
from pipelines.corpora.sources.files import Found, matching, sha256_of
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.recipe.schema import Recipe
from pipelines.stages import stages

FIRST, MINUTES = 60, 240  # the weekly runs begin on Sundays from one to five in the morning
RECIPE = "dragon/recipe"  # the tag of every run of a recipe, however it was started
WATCH, STATE = "dragon/watch", "dragon/state"  # the sensor that requested a run, and the content
README = "README.md"
REST = 10  # seconds without a change after which a folder counts as complete
PAUSE, LONGEST_PAUSE = 600, 86_400  # seconds after a failure; each further failure doubles them
UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status.value not in ("SUCCESS", "FAILURE", "CANCELED", "MANAGED")
]


def declare_automation(project: Project, recipes: list[Recipe]) -> dict[str, Any]:
    """``jobs``, ``schedules`` and ``sensors`` for ``dg.Definitions``."""
    jobs = {recipe.name: _job(recipe) for recipe in recipes}
    sensors = [
        _folder_sensor(project, recipe, corpus, declared.source, jobs[recipe.name])
        for recipe in recipes
        for corpus, declared in recipe.corpora.items()
        if isinstance(declared.source, FolderSource)
    ]
    weekly = [recipe for recipe in recipes if recipe.retrain == "weekly"]
    schedules = [_weekly(recipe, jobs[recipe.name]) for recipe in weekly]
    return {"jobs": list(jobs.values()), "schedules": schedules, "sensors": sensors}


def _job(recipe: Recipe) -> Any:
    return dg.define_asset_job(
        name=f"make_{recipe.name}",
        selection=dg.AssetSelection.assets([recipe.name, "report"]).upstream(),
        description=f"{recipe.description}. Makes everything of {recipe.name}: {_cost(recipe)}."
        " What is unchanged is reused.",
        tags={RECIPE: recipe.name},
    )


def _cost(recipe: Recipe) -> str:
    """What a job does at most, in numbers of assets and steps of training."""
    declared = [one for one in stages(recipe) if not one.on_demand]
    trainings = [t for one in declared if (t := getattr(one.settings, "training", None))]
    steps = sum(training.steps or 0 for training in trainings)
    tokens = sum(training.tokens or 0 for training in trainings)
    work = [f"{steps:,} steps" if steps else "", f"{tokens:,} tokens" if tokens else ""]
    budget = " and ".join(filter(None, work))
    kinds = f"{len(trainings)} training{'s' * (len(trainings) != 1)}"
    return f"{len(declared)} assets, {kinds}" + (f" of {budget} in all" if budget else "")


def _time_of(recipe: Recipe) -> tuple[int, int]:
    """The hour and minute of a recipe's weekly run; its name spreads them, so that few meet."""
    minute = FIRST + int(digest(recipe.name)[:8], 16) % MINUTES
    return divmod(minute, 60)


def _weekly(recipe: Recipe, job: Any) -> dg.ScheduleDefinition:
    hour, minute = _time_of(recipe)

    @dg.schedule(
        name=f"retrain_{recipe.name}_weekly",
        job=job,
        cron_schedule=f"{minute} {hour} * * 0",
        execution_timezone=recipe.timezone,
        description=f"Sundays at {hour}:{minute:02} {recipe.timezone} (the recipe's timezone):"
        f" materializes {recipe.name}/report and every asset before it; unchanged assets are"
        f" reused. Skips while {job.name} runs.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def retrain(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # A tick that is evaluated by hand may have no instance, and then no runs.
        going = context.instance_ref and _going(context.instance, recipe, job.name)
        return dg.SkipReason(going) if going else dg.RunRequest()

    return retrain


def _going(instance: dg.DagsterInstance, recipe: Recipe, job: str) -> str | None:
    """A sentence naming a run of the recipe that has not ended yet; None if there is none."""
    for filters in (
        dg.RunsFilter(statuses=UNFINISHED, job_name=job),
        dg.RunsFilter(statuses=UNFINISHED, tags={RECIPE: recipe.name}),
    ):
        for run in instance.get_runs(filters, limit=1):
            return f"run {run.run_id[:8]} of {recipe.name} has not ended ({run.status.value})"
    return None


def _folder_sensor(
    project: Project, recipe: Recipe, corpus: str, source: FolderSource, job: Any
) -> dg.SensorDefinition:
    """A sensor that requests a run until a run has succeeded with the folder's current content.

    The runs themselves say what became of a content, so no failure is forgotten. The cursor holds
    a digest of the folder's file attributes, which shows that the folder no longer changes, and the
    content of the last request.
    """
    name = f"watch_{corpus}_for_{job.name}"

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=60,
        description=f"Runs {job.name} when the content of {source.path} changes (except its"
        f" {README}). If that run fails, it runs it again after a pause.",
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        before = _read_cursor(context.cursor)
        try:
            look = [_seen(found) for found in _watched(source, project.root)]
            now = {**before, "look": digest([list(seen) for seen in look])}
            context.update_cursor(json.dumps(now))
            newest = max(seen.changed for seen in look)
            if time.time() - newest < REST and now["look"] != before.get("look"):
                return dg.SkipReason(
                    f"{source.path}: files are still changing; waiting until they no longer change"
                )
            state = digest([[seen.name, _sha256(seen, _hour())] for seen in look])
        except (ValueError, OSError) as error:
            return dg.SkipReason(" ".join(str(error).split()))
        reason = _going(context.instance, recipe, job.name)
        reason = reason or _reason_to_wait(context.instance, name, state, before)
        if reason:
            return dg.SkipReason(f"{source.path}: {reason}")
        context.update_cursor(json.dumps({**now, "asked": state, "at": time.time()}))
        # No run key: Dagster would drop the request for a folder that has an earlier content again.
        return dg.RunRequest(tags={WATCH: name, STATE: state})

    return watch


class Seen(NamedTuple):
    """A file's attributes; while they stay the same, the content counts as the same."""

    name: str
    path: str
    size: int
    modified: int
    inode: int
    changed: float


def _watched(source: FolderSource, root: Path) -> list[Found]:
    """The data files of a folder: all but its README, which says what to put there.

    Raises ValueError if there are none.
    """
    files = list(matching(root / source.path, source.glob))
    if (root / source.path).is_dir():
        files = [file for file in files if file.name != README]
    if not files:
        raise ValueError(f"{source.path}: has no files but its {README}; put your files there")
    return files


def _seen(found: Found) -> Seen:
    about = Path(found.path).stat()
    changed = max(about.st_mtime, about.st_ctime)
    return Seen(*found, about.st_size, about.st_mtime_ns, about.st_ino, changed)


@lru_cache(maxsize=100_000)
def _sha256(seen: Seen, hour: int) -> str:  # noqa: ARG001 -- a new hour is a new look
    """A file's sha256, cached while its attributes stay; sensors of the same folder share it."""
    return sha256_of(seen.path)


def _hour() -> int:
    return int(time.time() // 3600)


def _read_cursor(cursor: str | None) -> dict[str, Any]:
    """The cursor of the last tick; empty at the first tick, or if another program wrote it."""
    try:
        content = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _reason_to_wait(
    instance: dg.DagsterInstance, watch: str, state: str, cursor: Mapping[str, Any]
) -> str | None:
    """The reason to request no run for this content; None if a run is due.

    A run has succeeded with it, or the next try comes later.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={WATCH: watch}), limit=20)
    tries = list(takewhile(lambda r: r.dagster_run.tags.get(STATE) == state, records))
    if not tries:
        requested = cursor.get("at", 0) if cursor.get("asked") == state else 0
        return "nothing new" if time.time() < requested + PAUSE else None
    last = tries[0]
    which = f"run {last.dagster_run.run_id[:8]}"
    if last.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
        return f"nothing new since {which}"
    if last.dagster_run.status is dg.DagsterRunStatus.CANCELED:
        return (
            f"{which} of this content was cancelled by a person; change a file, or launch a run by"
            " hand"
        )
    ended = last.end_time or last.create_timestamp.timestamp()
    left = ended + min(PAUSE * 2 ** (len(tries) - 1), LONGEST_PAUSE) - time.time()
    if left > 0:
        return f"{which} of this content failed; the next try is in {left / 60:.0f} minutes"
    return None
