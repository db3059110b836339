"""Makes Dagster asset checks from the catalogue of checks (pipelines/checks/).

An asset's own step runs its checks, on the artefact that it has just opened. A step for each check
would fork one more process and store a dozen more events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from pipelines.checks import Applied, Inputs, Outcome
from pipelines.core.artefact import Artefact

LONGEST = 300  # characters of a value for people


def spec_of(applied: Applied) -> dg.AssetCheckSpec:
    """The declaration of a check at its asset."""
    check = applied.check
    return dg.AssetCheckSpec(
        check.name,
        asset=applied.key.split("/"),
        description=check.description,
        blocking=check.blocking,
    )


def result_of(
    applied: Applied, artefact: Artefact, inputs: Inputs, *, reused: bool = False
) -> dg.AssetCheckResult:
    """The outcome for an artefact that was made from ``inputs``, now or (``reused``) earlier.

    A failure is an error if the check is blocking, else a warning. A check that cannot
    read the artefact has not passed, and its fault is among its values.
    """
    try:
        outcome = applied.look(artefact, inputs, reused=reused)
    except (ValueError, OSError) as error:
        outcome = Outcome(False, {"fault": " ".join(str(error).split())})
    severity = dg.AssetCheckSeverity
    return dg.AssetCheckResult(
        passed=bool(outcome.passed),
        asset_key=applied.key.split("/"),
        check_name=applied.check.name,
        severity=severity.ERROR if applied.check.blocking else severity.WARN,
        metadata={name: _shown(value) for name, value in outcome.numbers.items() if value != []},
    )


def stopping(applied: Iterable[Applied], results: Iterable[dg.AssetCheckResult]) -> str | None:
    """One line about the blocking checks that did not pass; None if all of them passed."""
    unmet = [
        f"{one.check.name} did not pass ({told(result.metadata)})"
        for one, result in zip(applied, results, strict=True)
        if one.check.blocking and not result.passed
    ]
    return "; ".join(unmet) or None


def told(numbers: Mapping[str, Any]) -> str:
    """The values of a check in one line."""
    return ", ".join(f"{name} {_plain(value.value)}" for name, value in numbers.items())


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> dg.MetadataValue[Any]:
    """A number as a number, which Dagster plots over the versions; anything else as a text."""
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(float(f"{value:.6g}"))
    words = value if isinstance(value, str) else "; ".join(map(str, value))
    return dg.MetadataValue.text(words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")
