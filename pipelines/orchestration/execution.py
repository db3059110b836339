"""Runs a recipe in this process, with the same definitions as in the UI."""

import contextlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.project import Project
from pipelines.core.record import Record
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.core.tracking import Tracker
from pipelines.core.work import checkpoint_state
from pipelines.lineage.history import current, reasons
from pipelines.lineage.views import open_current
from pipelines.orchestration.assets import ATTENDED
from pipelines.orchestration.automation import RECIPE
from pipelines.orchestration.driving import Drive, instance_in
from pipelines.orchestration.graph import build
from pipelines.orchestration.inputs import require_trail
from pipelines.orchestration.interruption import Interruption
from pipelines.orchestration.resources import StoreResource
from pipelines.orchestration.runs import end_dead, living, status_of
from pipelines.orchestration.sweeps import tags_of
from pipelines.recipe.schema import Recipe
from pipelines.stages import stages
from pipelines.sweeps.declare import COMPARISON
from pipelines.text.nearest import did_you_mean

INTERRUPT = ErrorSource.INTERRUPT
FEW = 12  # names that are listed where none of them is near
OURS = ("CorruptArtefact", "RecipeError", "SourceUnavailable", "StoreError", "TextError")


class InterruptedRun(Exception):  # noqa: N818 - a person's wish, not an error
    """A person interrupted the run; the message says what remains of the work."""


class Watch(Protocol):
    """Whoever is told how a run goes on."""

    def phase(self, label: str) -> None:
        """A part of the work before or after the steps begins."""

    def begins(self, key: str, usual: float | None, number: int, count: int) -> None:
        """An asset's step begins, the ``number``th of ``count``; it took ``usual`` s last time."""

    def ends(self, artefact: Artefact, record: Record, reused: bool) -> None:
        """An asset was made or reused."""


@dataclass(frozen=True)
class Done:
    """The outcome of a run: the selected keys, how many were made, the checks not passed.

    ``reasons`` has for each asset that was made why, compared with the version that it had when its
    step began; None for the first version of an asset.
    """

    keys: frozenset[str]
    made: int
    unmet: tuple[str, ...]
    reasons: dict[str, list[str] | None] = field(default_factory=dict)


def execute(
    project: Project,
    recipe: Recipe,
    select: list[str],
    watch: Watch | None = None,
    stop: Interruption | None = None,
    *,
    all_points: bool = False,
) -> Done:
    """Materialize a recipe's report and sweep, or the selected assets, with all assets before them.

    With ``all_points`` no point of the sweep is stopped early.

    Raises ValueError with the line of the first failure, SystemExit for a bug of ours, and
    InterruptedRun if a person ended the run.
    """
    watch, stop = watch or _Silent(), stop or Interruption(print, lambda _: None)
    store = StoreResource.of(project).open()  # a fault of the store is told before a run begins
    folder = project.prepare_dagster()
    tracker = Tracker(project.mlflow)
    definitions = build(project, [recipe], tracker=tracker)
    keys = _selection(definitions, recipe, select)
    require_trail(store, recipe, {key.to_user_string() for key in keys})
    watch.phase("opening MLflow's database")
    with contextlib.suppress(OSError):  # the tracker warns of it when it has something to send
        tracker.initialise()
    tracker.replay()
    watch.phase("opening Dagster's database")
    run_id = str(uuid.uuid4())
    with instance_in(str(folder)) as instance, living(project.home, instance, run_id):
        end_dead(project.home, instance)
        watch.phase(f"planning a run of {len(keys)} assets")
        tags = {RECIPE: recipe.name, ATTENDED: "yes", **_partitions(recipe, keys, all_points)}
        drive = Drive(instance, _job(definitions, recipe, keys), keys, run_id, tags)
        account = _Account(store, keys, run_id, watch)
        with stop.at_stake(drive.cancel):
            try:
                for event in drive.events():
                    account.take(event)
                    if _is_interrupted(event):
                        stop.confirm()
            finally:
                tracker.finish_run(run_id, status_of(instance, run_id))
            failed = not instance.get_run_by_id(run_id).is_success  # type: ignore[union-attr]
            watch.phase("sending the last figures to MLflow")
            tracker.settle(*([1.0] if failed and stop.asked else []))
    if failed and stop.asked:
        raise InterruptedRun(_what_remains(project, recipe, store, account))
    if failed:
        _fail(account.events)
    stop.truth = f"after the run: all {len(keys)} assets are done"
    return Done(
        frozenset(key.to_user_string() for key in keys),
        len(account.reasons),
        tuple(map(_told, account.unmet)),
        account.reasons,
    )


def _partitions(recipe: Recipe, keys: set[dg.AssetKey], all_points: bool) -> dict[str, str]:
    """The tags that choose all partitions, if a sweep is among the assets of a run."""
    names = {key.to_user_string() for key in keys}
    swept = next((one for one in stages(recipe) if one.points and one.key in names), None)
    return {} if swept is None else tags_of(swept, all_points=all_points)


class _Silent:
    """Tells nobody."""

    def phase(self, label: str) -> None:
        """Nothing."""

    def begins(self, key: str, usual: float | None, number: int, count: int) -> None:
        """Nothing."""

    def ends(self, artefact: Artefact, record: Record, reused: bool) -> None:
        """Nothing."""


class _Account:
    """What became of a run's assets, from Dagster's events and the store's records."""

    def __init__(
        self, store: Store, keys: Iterable[dg.AssetKey], run_id: str, watch: Watch
    ) -> None:
        self._store, self._run_id, self._watch = store, run_id, watch
        self._steps = {key.to_python_identifier(): key.to_user_string() for key in keys}
        self.events: list[dg.DagsterEvent] = []
        self.present = ""  # the asset whose step has begun and not ended
        self.done: list[str] = []
        self.reasons: dict[str, list[str] | None] = {}
        self._earlier: Record | None = None  # the version that the present asset has had
        self.unmet: list[dg.AssetCheckEvaluation] = []

    def take(self, event: dg.DagsterEvent) -> None:
        """Note an event, and tell whoever watches."""
        kind = event.event_type_value
        if kind == "STEP_START" and (key := self._steps.get(event.step_key or "")):
            self.present, self._earlier = key, current(self._store, key)
            self._watch.begins(key, self._usual(), len(self.done) + 1, len(self._steps))
        elif kind == "ASSET_MATERIALIZATION" and event.asset_key is not None:
            self._end(event.asset_key.to_user_string())
        elif kind == "ASSET_CHECK_EVALUATION" and not event.asset_check_evaluation_data.passed:
            self.unmet.append(event.asset_check_evaluation_data)
        elif event.is_failure:
            self.events.append(event)

    def _end(self, key: str) -> None:
        if key in self.done:  # a further point of a sweep, whose line the step itself has printed
            return
        record = self._store.current_record(key)
        reused = record.made.get("dagster_run") != self._run_id
        self.present = ""
        self.done.append(key)
        if not reused:
            self.reasons[key] = reasons(self._earlier, record) if self._earlier else None
        self._watch.ends(open_current(self._store, key), record, reused)

    def _usual(self) -> float | None:
        """The seconds of the last making of the present asset; None if it is not known."""
        seconds = self._earlier.made.get("seconds") if self._earlier else None
        return float(seconds) if isinstance(seconds, int | float) else None


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    return event.is_step_failure and event.step_failure_data.error_source is INTERRUPT


def _what_remains(project: Project, recipe: Recipe, store: Store, account: _Account) -> str:
    """What the next run of an interrupted recipe need not do again."""
    key, done, begun = account.present, len(account.done), ""
    declared = next((d for d in stages(recipe) if d.key == key), None)
    if declared is not None and declared.points:
        begun = f"the points of {key} go on where they are, "
    elif declared is not None:
        derivation = _derivation(declared, store, project)
        if _is_published(store, derivation):
            done += 1  # the signal waited for the end of its publication
        else:
            step = _checkpoint(store, derivation)
            begun = f"{key} begins anew, "
            if step is not None:
                begun = f"the training of {key} goes on from step {step:,}, "
    return f"{begun}{done} finished asset{'s are' if done != 1 else ' is'} reused"


def _is_published(store: Store, derivation: str) -> bool:
    try:
        record = store.record(derivation)
    except CorruptArtefact:
        return False
    return record is not None and store.holds(record.version)


def _checkpoint(store: Store, derivation: str) -> int | None:
    """The step of the newest checkpoint of a derivation; None without one."""
    try:
        pointer = store.root / ".work" / derivation / "checkpoint.json"
        return int(checkpoint_state(pointer)["step"])
    except (ValueError, OSError, KeyError):
        return None


def _derivation(declared: Declaration, store: Store, project: Project) -> str:
    """The derivation of an asset from the current versions of its inputs; empty if one is gone."""
    try:
        loaded = {key: open_current(store, key) for key in declared.upstream()}
        return digest(declared.decided_by(loaded, project))
    except (ValueError, OSError):
        return ""


def _job(definitions: dg.Definitions, recipe: Recipe, keys: set[dg.AssetKey]) -> dg.JobDefinition:
    """The recipe's own job, under which Dagster's pages show the run; else the job of all assets.

    An asset may be selected that the report, and so the recipe's job, does not read.
    """
    job = definitions.resolve_job_def(f"make_{recipe.name}")
    if keys <= set(job.asset_layer.selected_asset_keys):
        return job
    return definitions.resolve_implicit_global_asset_job_def()


def _told(check: Any) -> str:
    """A check that did not pass, with its numbers."""
    numbers = ", ".join(f"{name} {_number(value.value)}" for name, value in check.metadata.items())
    name = f"{check.check_name} of {check.asset_key.to_user_string()}"
    return f"{name} did not pass" + (f": {numbers}" if numbers else "")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _selection(definitions: dg.Definitions, recipe: Recipe, select: list[str]) -> set[dg.AssetKey]:
    graph = definitions.resolve_asset_graph()
    known = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    names = [name.strip("/") for name in select] or [
        f"{recipe.name}/report",
        *([f"{recipe.name}/{COMPARISON}"] if recipe.sweep else []),
    ]
    for name in names:
        if name not in known:
            mend = did_you_mean(name, known)
            raise RecipeError(
                f"--select {name}: is not an asset of {recipe.name};"
                f" {mend or f'it has {_few(sorted(known))}'}"
            )
    chosen = dg.AssetSelection.assets(*(known[name] for name in names)).upstream()
    # Another recipe makes the states that a training branches from.
    return set(chosen.resolve(graph)) & graph.materializable_asset_keys


def _few(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(names[:FEW])}{more}"


def _fail(events: list[dg.DagsterEvent]) -> None:
    """Raise the first failure: our errors as one line, a bug with its traceback.

    With DRAGON_DEBUG every error has its traceback.
    """
    failures = [event.step_failure_data for event in events if event.is_step_failure]
    if not failures:
        raise ValueError("the run failed outside of its steps; start make ui to read its log")
    data = failures[0]
    error = data.error.to_string() if data.error else ""
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
