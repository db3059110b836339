"""Makes Dagster assets from declarations. Each asset takes the same steps: derive, reuse or make,
publish, record.

(This module has no ``from __future__ import annotations``, because Dagster reads its annotations.)
"""

import contextlib
import functools
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from pipelines.checks import Applied, checks_of
from pipelines.core import processor
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, key_of
from pipelines.core.identity import digest
from pipelines.core.making import Making
from pipelines.core.project import environment
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.inference.watching import written
from pipelines.lineage.history import current
from pipelines.orchestration import telling
from pipelines.orchestration.automation import RECIPE
from pipelines.orchestration.checks import result_of, spec_of, stopping
from pipelines.orchestration.inputs import open_inputs
from pipelines.orchestration.processes import through_pipes
from pipelines.orchestration.resources import StoreResource
from pipelines.orchestration.runs import publishing
from pipelines.orchestration.shown import Shown, definition
from pipelines.orchestration.story import story_of
from pipelines.text.errors import SourceUnavailable
from pipelines.text.parallel import end_with_parent
from pipelines.training.publishing import make_and_publish

processor.prepare()  # before any asset imports torch

log = logging.getLogger("dragon")

ATTENDED = "dragon/attended"  # the tag of a run that a person waits for
RETRIES, RETRY_SECONDS = 2, 60  # each wait is four times the previous one
NO_MEMORY = (
    "out of memory; end other programs and run the same command again (it continues from the last"
    " checkpoint), or give the recipe a smaller batch_size, context_length or network"
)


def assets_of(
    declarations: Iterable[Declaration], shown: Mapping[str, Shown] | None = None
) -> list[dg.AssetsDefinition]:
    """Declarations as Dagster assets with their checks, in the same order.

    Each reads keys of these alone. ``shown`` has what a recipe says of its assets, by key.
    """
    declarations = list(declarations)
    by_key = {declared.key: declared for declared in declarations}
    checks: dict[str, list[Applied]] = {}
    for applied in checks_of(declarations):
        checks.setdefault(applied.key, []).append(applied)
    return [
        _asset_of(declared, by_key, checks.get(declared.key, []), (shown or {}).get(declared.key))
        for declared in declarations
        if not declared.points  # a sweep has partitions (pipelines/orchestration/sweeps.py)
    ]


def _asset_of(
    declared: Declaration,
    by_key: Mapping[str, Declaration],
    checks: list[Applied],
    shown: Shown | None,
) -> dg.AssetsDefinition:
    """A declaration as a Dagster asset: derive, reuse or make, publish, record, check.

    ``by_key`` has the declaration of every key that the asset reads.
    """
    shown = shown or Shown()

    @dg.asset(
        key=declared.key.split("/"),
        deps=dependencies(declared),
        description=declared.description,
        group_name=declared.group,
        # The graph shows only the last part of a key, so several boxes say "documents".
        kinds={declared.key.split("/")[0], declared.makes.kind},
        owners=shown.owners,
        tags=shown.tags,
        code_version=digest(declared.static())[:16],
        required_resource_keys={"store", "tracker"},
        metadata=definition(declared),
        check_specs=[spec_of(applied) for applied in checks],
    )
    def materialize(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
        end_with_parent()  # a step's process ends with its run's worker
        with faults_in_one_line(context, declared.key):
            store = context.resources.store.open()
            loaded = open_inputs(context, store, declared.upstream(), by_key)
            earlier = current(store, declared.key)
            artefact, reused = made_or_reused(context, store, declared, loaded, by_key)
            yield _result(context, store, declared, artefact, earlier, reused=reused)
            inputs = {name: loaded[key] for name, key in declared.reads().items()}
            results = [result_of(one, artefact, inputs, reused=reused) for one in checks]
        yield from results
        if reason := stopping(checks, results):
            reason = f"{declared.key}: {reason}; no asset that depends on it was made"
            raise dg.Failure(reason, allow_retries=False)

    return materialize


def dependencies(declared: Declaration) -> list[dg.AssetKey]:
    """The keys that an asset reads; of points of a sweep, the key of the sweep."""
    return [dg.AssetKey(key.split("/")) for key in dict.fromkeys(map(key_of, declared.upstream()))]


@contextlib.contextmanager
def faults_in_one_line(context: dg.AssetExecutionContext, key: str) -> Iterator[None]:
    """Raise a fault as a failure whose first line names the fault and how to mend it.

    The traceback stays in Dagster's log.
    """
    try:
        yield
    except (ValueError, OSError, sqlite3.OperationalError) as error:
        _retry_later(context, key, error)
        raise dg.Failure(_one_line(key, error), allow_retries=False) from error
    except (MemoryError, RuntimeError) as error:
        if not processor.lacked_memory(error):
            raise
        raise dg.Failure(f"{key}: {NO_MEMORY}", allow_retries=False) from error


def made_or_reused(
    context: dg.AssetExecutionContext,
    store: Store,
    declared: Declaration,
    loaded: Mapping[str, Artefact],
    by_key: Mapping[str, Declaration],
) -> tuple[Artefact, bool]:
    """(artefact, True) if the derivation made it before; else make, publish and record one.

    The start of a training is made in the training's work area, whose checkpoint then stays.
    """
    resource: StoreResource = context.resources.store
    project, tracker = resource.project(), context.resources.tracker
    _require_one_lineage(store, loaded, by_key)
    tracker.replay()  # send what an earlier run could not send
    decides = declared.decided_by(loaded, project)
    derivation = digest(decides)
    before = telling.current_version(store, declared.key)
    artefact = store.reusable(declared.key, derivation, declared.makes)
    if artefact is not None:
        if artefact.kind == telling.MODEL and before not in (None, artefact.version):
            tracker.make_current(artefact.key, artefact.version)
        store.sweep()  # a run killed after publishing leaves a work area that nothing else removes
        return artefact, True
    store.require_writable(declared.key)
    begins = declared.begins
    area = derivation if begins is None else digest(begins.decided_by(loaded, project))
    with store.work(declared.address, area, keep=begins is not None) as work:
        store.require(loaded.values())
        # The previous owner of the lock may have made it.
        artefact = store.reusable(declared.key, derivation, declared.makes)
        if artefact is not None:
            return artefact, True
        run_id, inputs = context.run.run_id, {key: a.version for key, a in loaded.items()}
        run = (context.run.tags.get(RECIPE, declared.group), run_id)
        about = telling.before_work(declared, loaded, decides, project, run)
        with tracker.run(declared.key, derivation, run_id, decides, inputs, about) as tracked:
            making = Making(declared.address, work.draft(), project, work, tracked, decides=decides)
            if declared.samples:
                making.showing = functools.partial(written, declared.samples)
            making.made.update(environment(), key=declared.key, dagster_run=run_id)
            fence = functools.partial(publishing, project.home, context.instance, run_id)
            start = through_pipes(context)
            artefact = make_and_publish(declared, making, decides, loaded, store, fence, start)
            result = telling.after_work(artefact, declared, loaded, store, project, run)
            figures, is_model = telling.figures_of(artefact), artefact.kind == telling.MODEL
            tracked.finish(artefact.version, figures, model=is_model, result=result)
    return artefact, False


def _require_one_lineage(
    store: Store, loaded: Mapping[str, Artefact], by_key: Mapping[str, Declaration]
) -> None:
    """Raise ValueError if one input was made from an outdated version of another input.

    This happens after a person materialized a new tokenizer but not the shards that it encodes.
    """
    for key, artefact in loaded.items():
        record = store.record(artefact.derivation)
        reads = by_key[key].reads() if key in by_key else {}
        for parent in record.parents if record else ():
            current = loaded.get(reads.get(parent["input"], ""))
            if current is not None and current.version != parent["version"]:
                raise ValueError(
                    f"{key} was made from version {parent['version'][:12]} of {current.key}, whose"
                    f" version is {current.version[:12]} now; materialize {key} first"
                )


def _result(
    context: dg.AssetExecutionContext,
    store: Store,
    declared: Declaration,
    artefact: Artefact,
    earlier: Record | None,
    *,
    reused: bool,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The event of a version. Dagster would keep a story that is part of the result twice."""
    record = store.record(artefact.derivation)
    assert record is not None
    done = "reused" if reused else f"made in {record.made['seconds']:.1f} s"
    line = "; ".join(filter(None, (done, artefact.remark())))
    # In a terminal, dragon run shows the end of an asset itself, with its figures.
    told = {"result": True}
    log.info("%-34s %s  %s", declared.key, artefact.version[:12], line, extra=told)
    story = story_of(artefact, record, earlier, declared.group, reused=reused)
    context.add_asset_metadata(story)
    return dg.MaterializeResult(data_version=dg.DataVersion(artefact.version))


def _retry_later(context: dg.AssetExecutionContext, key: str, error: Exception) -> None:
    """Ask Dagster for another try if the fault may pass: a source or a database is away.

    Bad input stays bad at the next try. A person at the command line sees the fault at once.
    """
    may_pass = isinstance(error, SourceUnavailable) or "database is locked" in str(error)
    if may_pass and ATTENDED not in context.run.tags and context.retry_number < RETRIES:
        wait = RETRY_SECONDS * 4**context.retry_number
        log.warning("%s; will try again in %d s", _one_line(key, error), wait)
        raise dg.RetryRequested(RETRIES, wait) from error


def _one_line(key: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.startswith(key) else f"{key}: {text}"
