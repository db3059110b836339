"""Makes the partitioned asset of a sweep: a partition for each point, all of them in one step.

Points that are materialized together as a whole sweep are compared on the way, and hopeless ones
stopped. Points that a person materializes alone are trained to their end.

(This module has no ``from __future__ import annotations``, because Dagster reads its annotations.)
"""

import logging
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from pipelines.checks import Applied
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.store import Store
from pipelines.orchestration.assets import dependencies, faults_in_one_line, made_or_reused
from pipelines.orchestration.checks import result_of, spec_of
from pipelines.orchestration.inputs import open_inputs
from pipelines.orchestration.shown import Shown, definition
from pipelines.orchestration.story import story_of
from pipelines.report.swept import band
from pipelines.sweeps.artefacts import Trial
from pipelines.sweeps.comparing import comparisons_of, validation_loss
from pipelines.sweeps.options import Compared, ComparedPoint
from pipelines.text.parallel import end_with_parent
from pipelines.training.artefacts import Checkpoint

log = logging.getLogger("dragon")

ALL = "dragon/all_points"  # the tag of a run that stops no point


def tags_of(declared: Declaration, *, all_points: bool) -> dict[str, str]:
    """The tags of a run of a whole sweep; with ``all_points`` it stops none of them."""
    names = list(declared.points)
    tags = {ASSET_PARTITION_RANGE_START_TAG: names[0], ASSET_PARTITION_RANGE_END_TAG: names[-1]}
    return {**tags, ALL: "yes"} if all_points else tags


def sweep_of(
    declared: Declaration,
    by_key: Mapping[str, Declaration],
    checks: Sequence[Applied],
    shown: Shown,
) -> dg.AssetsDefinition:
    """The declaration of a sweep as a partitioned Dagster asset."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", dg.BetaWarning
        )  # of the backfill policy: versions are fixed
        return _sweep_of(declared, by_key, checks, shown)


def _sweep_of(
    declared: Declaration,
    by_key: Mapping[str, Declaration],
    checks: Sequence[Applied],
    shown: Shown,
) -> dg.AssetsDefinition:
    @dg.asset(
        key=declared.key.split("/"),
        deps=dependencies(declared),
        partitions_def=dg.StaticPartitionsDefinition(list(declared.points)),
        backfill_policy=dg.BackfillPolicy.single_run(),  # one step sees all points
        description=declared.description,
        group_name=declared.group,
        kinds={declared.key.split("/")[0], "sweep"},
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
        end_with_parent()
        with faults_in_one_line(context, declared.key):
            swept = _Points(context, declared, by_key)
            points = swept.run(context.partition_keys)
            for name, artefact in points.items():
                context.add_asset_metadata(swept.story(name, artefact), partition_key=name)
            versions = {name: artefact.version for name, artefact in points.items()}
            one = next(iter(versions.values()))
            version = one if len(versions) == 1 else digest(versions)
            yield dg.MaterializeResult(data_version=dg.DataVersion(version))
            results = [_checked(applied, points, swept.inputs) for applied in checks]
        yield from results

    return materialize


def _checked(
    applied: Applied, points: Mapping[str, Artefact], inputs: Mapping[str, Artefact]
) -> dg.AssetCheckResult:
    """A check of all points that were trained to their end: the first that does not pass, if any.

    It has passed where no point was.
    """
    result = None
    for name, artefact in points.items():
        if isinstance(artefact, applied.check.view):
            result = result_of(applied, artefact, inputs)
            if not result.passed:
                return result._replace(
                    metadata={"point": dg.MetadataValue.text(name), **result.metadata}
                )
    if result is None:
        key = applied.key.split("/")
        return dg.AssetCheckResult(passed=True, asset_key=key, check_name=applied.check.name)
    return result


class _Points:
    """The points of a sweep in one step, up to each comparison and then to the end."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        declared: Declaration,
        by_key: Mapping[str, Declaration],
    ) -> None:
        self._context, self._declared, self._by_key = context, declared, by_key
        self._store: Store = context.resources.store.open()
        self._project = context.resources.store.project()
        self._loaded = open_inputs(context, self._store, declared.upstream(), by_key)
        self.inputs = {name: self._loaded[key] for name, key in declared.reads().items()}
        assert isinstance(declared.settings, Compared)
        self._settings = declared.settings
        self._points: dict[str, Artefact] = {}
        self._reused: dict[str, bool] = {}
        self._outcomes: dict[str, str] = {}

    def run(self, names: Collection[str]) -> dict[str, Artefact]:
        """The farthest artefact of each of the named points."""
        is_whole = set(names) == set(self._declared.points)
        going = [one for one in self._settings.points if one.name in names]
        if is_whole and ALL not in self._context.run.tags:
            for number in range(max((len(one.comparisons) for one in going), default=0)):
                for point in going:
                    self._reach(point, number)
                going = list(self._going_on(going, number))
        for point in going:
            self._make(point.name, len(self._declared.points[point.name]) - 1)
        return {name: self._points[name] for name in names}

    def _reach(self, point: ComparedPoint, number: int) -> None:
        """Train a point up to a comparison, unless it was trained to its end before."""
        whole = self._declared.points[point.name][-1]
        derivation = digest(whole.decided_by(self._loaded, self._project))
        if self._store.reusable(whole.key, derivation, whole.makes) is not None:
            self._make(point.name, len(point.comparisons))
        else:
            self._make(point.name, min(number, len(point.comparisons) - 1))

    def _make(self, name: str, number: int) -> None:
        declared = self._declared.points[name][number]
        artefact, reused = made_or_reused(
            self._context, self._store, declared, self._loaded, self._by_key
        )
        if name not in self._points or not reused:
            steps, loss = artefact.figures()["steps"], validation_loss(artefact)
            done = "reused, " * reused + f"step {steps:,.0f}, validation loss {loss:.3f}"
            log.info("%-34s %s", declared.address, done)
        self._points[name], self._reused[name] = artefact, reused

    def _going_on(self, going: Iterable[ComparedPoint], number: int) -> Iterator[ComparedPoint]:
        """The points that go on after a comparison; says which choices do not, and why."""
        comparison = comparisons_of(self._settings, self._points)[number]
        best = min(comparison.forecasts.values(), key=lambda forecast: forecast.loss)
        for choice in comparison.stopped:
            forecast = comparison.forecasts[choice]
            why = f"forecast {band(asdict(forecast))}, the best is {band(asdict(best))}"
            log.info("%-34s stopped: %s", f"{self._declared.key}:{choice}", why)
            self._outcomes |= {one.name: why for one in going if one.choice == choice}
        yield from (one for one in going if one.choice not in comparison.stopped)

    def story(self, name: str, artefact: Artefact) -> dict[str, Any]:
        """The metadata of a point's event: first what became of it."""
        record = self._store.record(artefact.derivation)
        assert record is not None
        outcome = "trained to its end"
        if isinstance(artefact, Trial):
            outcome = f"{artefact.remark()}: {self._outcomes[name]}"
        else:
            assert isinstance(artefact, Checkpoint)
        story = story_of(artefact, record, None, self._declared.group, reused=self._reused[name])
        return {"outcome": dg.MetadataValue.text(outcome), **story}
