"""Makes Dagster asset checks from the catalogue of checks (pipelines/checks/).

(This module has no ``from __future__ import annotations``, because Dagster reads its annotations.)
"""

from collections.abc import Iterable

import dagster as dg

from pipelines.checks import Applied, checks_of
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration


def declare_checks(declarations: Iterable[Declaration]) -> list[dg.AssetChecksDefinition]:
    """The Dagster checks of some assets."""
    return [asset_check_of(applied) for applied in checks_of(declarations)]


def asset_check_of(applied: Applied) -> dg.AssetChecksDefinition:
    """The Dagster check of one asset: a failure is an error if it is blocking, else a warning."""
    check = applied.check
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN

    @dg.asset_check(
        asset=applied.key.split("/"),
        name=check.name,
        blocking=check.blocking,
        description=check.description,
    )
    def look(artefact: Artefact) -> dg.AssetCheckResult:
        outcome = applied.look(artefact)
        return dg.AssetCheckResult(
            passed=outcome.passed, severity=severity, metadata=dict(outcome.numbers)
        )

    return look
