"""``dragon verify``: hashes every file of the store, or of one lineage, and names every fault."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import TARGET, open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.faults import Verified

LABEL = "verifying"
MOST_STRAYS = 20  # that are listed one by one


@click.command()
@click.argument("target", required=False, help=f"{TARGET} Without it, the whole store.")
@click.option("--all", "everything", is_flag=True, help="The whole store.")
@json_option
@store_option
def verify(target: str | None, everything: bool, as_json: bool, store: Path | None) -> int:
    """Read and hash everything, and name every fault with its mend.

    Of an asset it verifies the whole lineage: files, manifests, records, files beside records. Of
    the store it also verifies references, pins, unfinished trainings and the journal of
    publications, and tells which files nothing refers to. The exit code is 1 if there is a fault.
    """
    if target and everything:
        raise click.UsageError("give an asset or --all, not both")
    from pipelines.cli.voice import Voice
    from pipelines.core.progress import Progress
    from pipelines.lineage.trace import locate
    from pipelines.lineage.verify import verify as verified

    opened = open_store(store)
    artefact = locate(opened, target) if target else None
    began = time.monotonic()
    with Voice(err=True).speaking() as voice:
        voice.phase(LABEL)
        progress = Progress(LABEL, 0, "MB")

        def tell(done: int, whole: int) -> None:
            progress.total = whole
            progress.update(done, done / 1e6)

        found = verified(opened, artefact, tell)
    if as_json:
        print_json(_as_json(found))
    else:
        for line in _lines(found, time.monotonic() - began):
            click.echo(line)
    return 1 if found.faults else 0


def _as_json(found: Verified) -> dict[str, object]:
    return {
        "store": found.store,
        "good": not found.faults,
        "faults": [fault._asdict() for fault in found.faults],
        "strays": [stray._asdict() for stray in found.strays],
        "notes": found.notes,
        "verified": found.counts(),
    }


def _lines(found: Verified, seconds: float) -> Iterator[str]:
    from pipelines.cli.terminal import painted
    from pipelines.report.card import Bytes

    for fault in found.faults:
        yield f"{painted('fault:', 'red')} {fault.line}"
    for stray in found.strays[:MOST_STRAYS]:
        yield f"stray: {stray.path}: nothing refers to it ({Bytes(stray.bytes)})"
    if len(found.strays) > MOST_STRAYS:
        more = len(found.strays) - MOST_STRAYS
        yield f"stray: and {more:,} more; dragon verify --json lists them"
    for note in found.notes:
        yield f"note: {note}"
    if found.gone:
        yield f"note: {found.gone:,} records are of versions that were removed"
    if found.strays:
        size = sum(stray.bytes for stray in found.strays)
        yield f"dragon gc removes the strays ({Bytes(size)}) when they are old enough"
    faults = f"{len(found.faults):,} fault{'s' * (len(found.faults) != 1)}"
    rate = f", {found.bytes / seconds / 1e6:,.0f} MB/s" if seconds >= 1 else ""
    told = [
        f"{found.artefacts:,} artefacts, {found.files:,} files",
        f"{found.bytes / 1e6:,.1f} MB in {seconds:.1f} s{rate}",
        f"{found.records:,} records",
    ]
    for count, name in (
        (found.beside, "files beside them"),
        (found.references, "references"),
        (found.pins, "pins"),
        (found.work_areas, "unfinished trainings"),
        (found.publications, "lines of the journal"),
    ):
        told += [f"{count:,} {name}"] if count else []
    yield f"verified: {', '.join(told)}: {faults if found.faults else 'no fault'}"
