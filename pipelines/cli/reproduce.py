"""``dragon reproduce``: makes a lineage again and compares it with the original, link by link."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import TARGET, open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.reproduce import Ended, Intended

WORDS = {
    "equal": "equal",
    "copied": "copied",
    "barred": "not made again",
    "differs": "DIFFERS",
    "failed": "FAILED",
}
GOOD = ("equal", "copied")


@click.command()
@click.argument("target", help=TARGET)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="An empty folder for the new store, which stays; otherwise it is removed at the end.",
)
@click.option("--download", is_flag=True, help="Fetch sources from the network again.")
@json_option
@store_option
def reproduce(
    target: str, into: Path | None, download: bool, as_json: bool, store: Path | None
) -> int:
    """Make a lineage again from its records, and compare the hashes.

    The work is done from the records alone, in another process and into a store of its own. It says
    first what cannot be made again, because the code was another. Of a link that differs it prints
    the first step, file and tensor that do, and what differs in the machine and the libraries. The
    exit code is 1 unless every link is equal, or copied because its source needs the network.
    """
    from pipelines.cli.voice import Voice
    from pipelines.core.project import Project
    from pipelines.lineage.reproduce import intended
    from pipelines.lineage.reproduce import reproduce as made_again
    from pipelines.lineage.trace import locate, trace

    opened = open_store(store)
    links = intended(trace(opened, locate(opened, target), verify=False), download=download)
    if not any(link.is_rebuilt for link in links) and not as_json:
        click.echo("\n".join(_before(links)))
        return 1
    ended: list[Ended] = []
    with _folder(into) as folder, Voice(err=as_json).speaking() as voice:
        for line in () if as_json else _before(links):
            voice.line(line)

        def begins(link: Intended) -> None:
            voice.phase(link.node.artefact.key, place=f"[{len(ended) + 1}/{len(links)}] ")

        for one in made_again(opened, links, Project.here(), folder, begins):
            ended.append(one)
            for line in () if as_json else _lines(one):
                voice.line(line)
    good = all(one.outcome in GOOD for one in ended)
    if as_json:
        print_json({"reproduced": good, "links": [asdict(one) for one in ended]})
    else:
        click.echo(f"\n{_summary(ended)}")
    return 0 if good else 1


@contextlib.contextmanager
def _folder(into: Path | None) -> Iterator[Path]:
    """The folder for the new store. Raises ValueError if something is in it."""
    if into is None:
        with tempfile.TemporaryDirectory(prefix="dragon-reproduce-") as folder:
            yield Path(folder)
        return
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise ValueError(f"{into}: is not empty; choose another folder")
    yield into.resolve()


def _before(links: list[Intended]) -> Iterator[str]:
    """What will not be made again, and what is other here, before anything runs."""
    barred: dict[str, list[str]] = {}
    libraries: dict[str, list[str]] = {}
    for link in links:
        key = link.node.artefact.key
        if link.barred:
            barred.setdefault(link.barred, []).append(key)
        for library in link.libraries:
            libraries.setdefault(library, []).append(key)
    for reason, keys in barred.items():
        yield f"cannot be made again: {', '.join(keys)}: {reason}"
    for library, keys in libraries.items():
        yield f"another version of a library is here: {library}: it made {', '.join(keys)}"
    count = sum(link.is_rebuilt for link in links)
    yield f"makes {count} of {len(links)} links again"


def _lines(one: Ended) -> Iterator[str]:
    again = f" -> {one.again[:12]}" if one.outcome == "differs" else ""
    yield f"{WORDS[one.outcome]:14}  {one.version[:12]}  {one.key}{again}"
    for told in one.told:
        yield f"    {told}"
    if one.told and one.outcome in ("equal", "differs", "failed"):
        for told in one.surroundings:
            yield f"    here: {told}"


def _summary(ended: list[Ended]) -> str:
    counts = {word: sum(one.outcome == outcome for one in ended) for outcome, word in WORDS.items()}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    first = next((one for one in ended if one.outcome not in GOOD), None)
    return f"{len(ended)} links: {told}" + (f"; the first is {first.key}" if first else "")
