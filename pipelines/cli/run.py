"""``dragon run``: the same definitions as in the UI, in this process, with progress."""

from __future__ import annotations

import difflib
import logging
import os
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.recipe.loading import disagreements, load_recipe, read_recipes
from pipelines.recipe.schema import Recipe

if TYPE_CHECKING:
    import dagster as dg

OURS = ("CorruptArtefact", "RecipeError", "SourceUnavailable", "StoreError", "TextError")


def find_recipe(name: str, project: Project) -> Recipe:
    """A recipe by name or by file. Raises RecipeError naming those there are."""
    path = Path(name)
    if path.suffix != ".yaml":
        path = project.recipes / f"{name}.yaml"
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        if not path.exists():
            known = sorted(p.stem for p in project.recipes.glob("*.yaml"))
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else "or name a .yaml file"
            raise RecipeError(f"recipe={name!r}: not one of {', '.join(known)}; {mend}")
    return load_recipe(path)


def _require_agreement(recipe: Recipe, project: Project) -> None:
    """RecipeError where a recipe contradicts another one of the project, of another name.

    They would take turns to make the same assets anew. One that cannot be read has no say.
    """
    if not any(project.recipes.glob("*.yaml")):
        return
    others, _ = read_recipes(project.recipes)
    fault = disagreements({**others, recipe.name: recipe}).get(recipe.name)
    if fault:
        raise fault


def run_recipe(name: str, select: list[str]) -> None:
    """Materialize a recipe's report and all before it, or the selected assets and theirs."""
    began = time.monotonic()
    project = Project.here()
    recipe = find_recipe(name, project)
    _require_agreement(recipe, project)
    _speak()
    print(f"{recipe.name}: {recipe.description}")
    folder = project.prepare_dagster()
    from pipelines.core.tracking import Tracker
    from pipelines.orchestration.assets import ATTENDED
    from pipelines.orchestration.automation import RECIPE
    from pipelines.orchestration.graph import build
    from pipelines.orchestration.runs import end_dead, living

    tracker = Tracker(project.mlflow)
    definitions = build(project, [recipe], tracker=tracker)
    keys = _selection(definitions, recipe, select)
    tracker.replay()
    run_id = str(uuid.uuid4())
    with _instance(folder) as instance, living(project.home, instance, run_id):
        end_dead(project.home, instance)
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=sorted(keys),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={RECIPE: recipe.name, ATTENDED: "yes"},
            run_id=run_id,
        )
    tracker.settle()
    if not result.success:
        _fail(result)
    _warn_of_checks(result)
    made = sum(not _reused(event) for event in result.get_asset_materialization_events())
    seconds = time.monotonic() - began
    print(f"\n{len(keys)} assets, {made} made, {len(keys) - made} reused, in {seconds:.1f} s")
    _what_next(project, recipe, name, {key.to_user_string() for key in keys})


def _instance(folder: Path) -> dg.DagsterInstance:
    """Dagster with its databases in a folder, leaving this terminal's streams as they are.

    Else Dagster would send them through a file and two processes a step: progress on one line
    would not show, and Ctrl-C would print the end of those processes.
    """
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    module, name = "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager"
    streams = {"compute_logs": {"module": module, "class": name}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=streams))


def _selection(definitions: dg.Definitions, recipe: Recipe, select: list[str]) -> set[dg.AssetKey]:
    import dagster as dg

    graph = definitions.resolve_asset_graph()
    known = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    wanted = [name.strip("/") for name in select] or [f"report/{recipe.name}"]
    for name in wanted:
        if name not in known:
            raise RecipeError(f"--select {name}: {recipe.name} has {', '.join(sorted(known))}")
    chosen = dg.AssetSelection.assets(*(known[name] for name in wanted)).upstream()
    return set(chosen.resolve(graph))


def _reused(event: Any) -> bool:
    value = event.materialization.metadata.get("reused")
    return bool(value and value.value)


def _fail(result: Any) -> None:
    """End with the first failure: ours as one line, a bug (or with DRAGON_DEBUG all) in full."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if not failures:
        raise ValueError("the run failed outside of its steps; make ui shows its log")
    data = failures[0]
    error = data.error.to_string() if data.error else ""
    if "DagsterExecutionInterruptedError" in error:
        print("\ndragon: interrupted; the same command goes on from the last checkpoint")
        raise SystemExit(130)
    if "DagsterAssetCheckFailedError" in error:
        lines = error.splitlines()[0].split(": ", 1)
        raise ValueError(f"{lines[-1]}; nothing downstream was made")
    if not os.environ.get("DRAGON_DEBUG"):
        if data.user_failure_data:
            raise ValueError(data.user_failure_data.description)
        if said := _said_by_us(data.error):
            raise ValueError(said)
    raise SystemExit(error)


def _said_by_us(error: Any) -> str | None:
    """The one line of an error of ours that Dagster wrapped, as it does where inputs are loaded."""
    while error is not None:
        if error.cls_name in OURS:
            return str(error.message).partition(": ")[2].strip()
        error = error.cause
    return None


def _warn_of_checks(result: Any) -> None:
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            print(f"check {check.check_name} of {check.asset_key.to_user_string()} did not pass")


def _what_next(project: Project, recipe: Recipe, named: str, keys: set[str]) -> None:
    from pipelines.cli.suggestions import suggestions

    told = [("The report", page)] if (page := _report(project, recipe, keys)) else []
    told += [*suggestions(recipe, named, keys), ("See the graph", "make ui")]
    width = max(len(what) for what, _ in told) + 2
    print()
    for what, how in told:
        print(f"{what + ':':{width}}{how}")


def _report(project: Project, recipe: Recipe, keys: set[str]) -> str | None:
    """The address of the page with all that was made and its times, if the report was made."""
    from pipelines.core.store import Store
    from pipelines.lineage.trace import trace
    from pipelines.report.artefacts import Report
    from pipelines.report.page import with_times

    key = f"report/{recipe.name}"
    if key not in keys:
        return None
    store = Store(project.store)
    report = store.current(key, Report)
    rows = [
        (node.artefact.key, node.record.made)
        for node in trace(store, report).walk()
        if node.artefact.key != key
    ]
    place = project.home / "reports" / f"{recipe.name}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(with_times(report.page(), rows), encoding="utf-8")
    return place.as_uri()


class _Lines(logging.Handler):
    """Progress on one line that moves, where there is a terminal; everything else line by line."""

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
