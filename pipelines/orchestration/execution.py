"""Runs a recipe in this process, with the same definitions as in the UI."""

import difflib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.core.tracking import Tracker
from pipelines.orchestration.assets import ATTENDED
from pipelines.orchestration.automation import RECIPE
from pipelines.orchestration.graph import build
from pipelines.orchestration.resources import StoreResource
from pipelines.orchestration.runs import end_dead, living, status_of
from pipelines.recipe.schema import Recipe

OURS = ("CorruptArtefact", "RecipeError", "SourceUnavailable", "StoreError", "TextError")


@dataclass(frozen=True)
class Done:
    """The outcome of a run: the selected keys, how many were made, the checks not passed."""

    keys: frozenset[str]
    made: int
    unmet: tuple[str, ...]


def execute(project: Project, recipe: Recipe, select: list[str]) -> Done:
    """Materialize a recipe's report, or the selected assets, with all assets before them.

    Raises ValueError with the line of the first failure. Raises SystemExit for a bug of ours, or if
    a person interrupts the run.
    """
    StoreResource.of(project).open()  # what is wrong with the store is told before a run begins
    folder = project.prepare_dagster()
    tracker = Tracker(project.mlflow)
    definitions = build(project, [recipe], tracker=tracker)
    keys = _selection(definitions, recipe, select)
    tracker.replay()
    run_id = str(uuid.uuid4())
    with _instance(folder) as instance, living(project.home, instance, run_id):
        end_dead(project.home, instance)
        try:
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=sorted(keys),
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags={RECIPE: recipe.name, ATTENDED: "yes"},
                run_id=run_id,
            )
        finally:
            tracker.finish_run(run_id, status_of(instance, run_id))
    tracker.settle()
    if not result.success:
        _fail(result)
    made = sum(not _reused(event) for event in result.get_asset_materialization_events())
    unmet = [check for check in result.get_asset_check_evaluations() if not check.passed]
    return Done(
        frozenset(key.to_user_string() for key in keys),
        made,
        tuple(map(_told, unmet)),
    )


def _told(check: Any) -> str:
    """A check that did not pass, with its numbers."""
    numbers = ", ".join(f"{name} {_number(value.value)}" for name, value in check.metadata.items())
    name = f"{check.check_name} of {check.asset_key.to_user_string()}"
    return f"{name} did not pass" + (f": {numbers}" if numbers else "")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _instance(folder: Path) -> dg.DagsterInstance:
    """A Dagster instance with its databases in a folder; it does not capture output streams.

    Otherwise Dagster would send them through a file and two processes for each step: progress on
    one line would not show, and Ctrl-C would print the end of those processes.
    """
    module, name = "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager"
    streams = {"compute_logs": {"module": module, "class": name}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=streams))


def _selection(definitions: dg.Definitions, recipe: Recipe, select: list[str]) -> set[dg.AssetKey]:
    graph = definitions.resolve_asset_graph()
    known = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    names = [name.strip("/") for name in select] or [f"{recipe.name}/report"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(
                f"--select {name}: is not an asset of {recipe.name}; {mend}It has"
                f" {', '.join(sorted(known))}"
            )
    chosen = dg.AssetSelection.assets(*(known[name] for name in names)).upstream()
    return set(chosen.resolve(graph))


def _reused(event: Any) -> bool:
    value = event.materialization.metadata.get("reused")
    return bool(value and value.value)


def _fail(result: Any) -> None:
    """Raise the first failure: our errors as one line, a bug with its traceback.

    With DRAGON_DEBUG every error has its traceback.
    """
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if not failures:
        raise ValueError("the run failed outside of its steps; start make ui to read its log")
    data = failures[0]
    error = data.error.to_string() if data.error else ""
    if "DagsterExecutionInterruptedError" in error:
        print("\ndragon: interrupted; run the same command to continue from the last checkpoint")
        raise SystemExit(130)
    if "DagsterAssetCheckFailedError" in error:
        lines = error.splitlines()[0].split(": ", 1)
        raise ValueError(f"{lines[-1]}; no asset that depends on it was made")
    if not os.environ.get("DRAGON_DEBUG"):
        if data.user_failure_data:
            raise ValueError(data.user_failure_data.description)
        if message := _our_message(data.error):
            raise ValueError(message)
    raise SystemExit(error)


def _our_message(error: Any) -> str | None:
    """The message of an error of ours that Dagster wrapped while it loaded inputs, or None."""
    while error is not None:
        if error.cls_name in OURS:
            return str(error.message).partition(": ")[2].strip()
        error = error.cause
    return None
