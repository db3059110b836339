"""``dragon gc``: removes what nothing in the store needs any more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.collect import Plan


@click.command()
@click.option("--yes", "does", is_flag=True, help="Remove it; without this, only say what goes.")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Keep what was made in the last so many days.",
)
@json_option
@store_option
def gc(does: bool, days: float, as_json: bool, store: Path | None) -> None:
    """Remove what nothing in the store needs any more.

    Without --yes it only says what that is. Kept are the current version of each asset, versions
    with an alias in MLflow, pinned ones (dragon pin), those younger than a limit, what unfinished
    trainings read, and all from which any of these were made. Removed are older versions with their
    records, files to which nothing refers, and work that nobody will finish. The states of a
    training stay only as long as something was taken or branched from them.
    """
    from pipelines.core.project import Project
    from pipelines.core.tracking.aliases import aliases_in
    from pipelines.lineage.collect import collect, plan

    if math.isnan(days):  # younger than this would be nothing
        raise click.UsageError("--older-than nan: give a number of days")
    opened = open_store(store)
    try:
        aliases = aliases_in(Project.here().mlflow)
    except OSError as error:
        raise ValueError(
            f"MLflow cannot be asked for its aliases ({error}), and versions with one must stay;"
            " start it and run again"
        ) from None
    planned = (collect if does else plan)(opened, days, aliases)
    if as_json:
        print_json(_as_json(planned, does))
        return
    for line in _lines(planned, does):
        click.echo(line)


def _as_json(planned: Plan, done: bool) -> dict[str, object]:
    return {
        "removed": done,
        "bytes": planned.bytes,
        "versions": [asdict(one) for one in planned.versions],
        "loose": [asdict(one) for one in planned.loose],
        "kept": planned.kept,
        "kept_bytes": planned.kept_bytes,
    }


def _lines(planned: Plan, done: bool) -> Iterator[str]:
    from pipelines.lineage.history import when
    from pipelines.report.card import Bytes

    width = max((len(one.key) for one in planned.versions), default=0)
    for one in sorted(planned.versions, key=lambda one: (one.key, one.finished)):
        size = str(Bytes(one.bytes)) if one.bytes else "shared"
        yield f"{one.key:{width}}  {one.version[:12]}  {when(one.finished):20}  {size:>8}"
    for stray in planned.loose:
        yield f"{stray.path}: {stray.reason}  {Bytes(stray.bytes)}"
    kept = ", ".join(f"{count:,} {reason}" for reason, count in planned.kept.items())
    yield f"kept: {kept or 'nothing'} ({Bytes(planned.kept_bytes)})"
    if not planned.versions and not planned.loose:
        yield "nothing to remove"
        return
    told = f"{len(planned.versions):,} versions and {len(planned.loose):,} other things"
    verb = "removed" if done else "would remove"
    yield f"{verb}: {told}, {Bytes(planned.bytes)}" + ("" if done else "; dragon gc --yes does it")
