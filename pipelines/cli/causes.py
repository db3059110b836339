"""``dragon diff --causes``: splits the change of each figure among the differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.indexing import indexed
from pipelines.cli.showing import print_json
from pipelines.cli.terminal import columns, cut, is_terminal
from pipelines.core.progress import spell_seconds
from pipelines.lineage.wording import change_of, told

if TYPE_CHECKING:
    from pipelines.core.store import Store
    from pipelines.lineage.causes import Causes, Share, Wanted
    from pipelines.lineage.diff import Difference
    from pipelines.lineage.graph import Place
    from pipelines.lineage.parts import Part

REST = "the rest"


def split(
    store: Store,
    places: tuple[Place, Place],
    names: list[str],
    few: int | None,
    *,
    yes: bool,
    json: bool,
) -> None:
    """Say what has to be made, or with ``yes`` make it and say what each difference brings.

    At most ``few`` documents of a difference are listed; None lists all.
    """
    from pipelines.core.project import Project
    from pipelines.lineage.causes import causes

    with indexed(store) as index:
        asked = causes(index, Project.here(), *places)
    wanted = asked.wanted()
    if wanted and yes:
        _make(asked, wanted, json=json)
        wanted = []
    shares = [] if wanted else list(asked.shares())
    if json:
        print_json(_as_json(names, asked, wanted, shares))
        return
    room = columns() - 1 if is_terminal() else 10_000
    for line in _lines(names, asked, wanted, shares, few):
        click.echo(cut(line, room))


def _make(asked: Causes, wanted: list[Wanted], *, json: bool) -> None:
    """Make what is wanted, and show how it goes on."""
    from pipelines.cli.voice import Voice

    left, count = sum(one.seconds for one in wanted), len(wanted)
    number = 0
    with Voice(err=json).speaking() as voice:
        voice.line(f"making {count} links{_last_time(left)}")

        def begins(one: Wanted) -> None:
            nonlocal left, number
            number += 1
            ahead = f", {spell_seconds(left)} left in all" if left >= 1 else ""
            voice.phase(one.key, one.seconds, f"[{number}/{count}{ahead}] ")
            left -= one.seconds

        asked.make(begins)


def _last_time(seconds: float) -> str:
    return f", {spell_seconds(seconds)} if each takes as long as last time"


def as_json(one: Difference) -> dict[str, Any]:
    """A difference for programs: without the places of the store at which it was found."""
    return {name: value for name, value in asdict(one).items() if name != "pairs"}


def _as_json(
    names: list[str], asked: Causes, wanted: list[Wanted], shares: list[Share]
) -> dict[str, Any]:
    parts = [
        {"differences": [as_json(one) for one in part.differences], "barred": part.barred or None}
        for part in asked.parts
    ]
    return {
        "a": names[0],
        "b": names[1],
        "parts": parts,
        "wanted": [one._asdict() for one in wanted],
        "metrics": [one._asdict() for one in shares],
        "machine": [{"name": name, "a": a, "b": b} for name, (a, b) in asked.machine.items()],
    }


def _lines(
    names: list[str],
    asked: Causes,
    wanted: list[Wanted],
    shares: list[Share],
    few: int | None,
) -> Iterator[str]:
    yield f"{names[0]} -> {names[1]}"
    if not asked.parts:
        yield "  no difference: both are the same version"
    for number, part in enumerate(asked.parts):
        for difference in part.differences:
            yield from told(difference, few)
        if part.barred:
            yield f"    cannot be applied alone: {part.barred}"
        for one in wanted:
            if one.part == number:
                yield f"    makes {one.key}  {spell_seconds(one.seconds)} last time"
    if wanted:
        took = sum(one.seconds for one in wanted)
        yield ""
        yield f"{len(wanted)} links to make{_last_time(took)}"
        yield "nothing was made; --yes makes them"
    yield from _shares(asked.parts, shares)
    for name, (a, b) in asked.machine.items():
        yield f"note: {name} was {a} then and is {b} here; what each brings may hold some of it"


def _shares(parts: list[Part], shares: list[Share]) -> Iterator[str]:
    """Each figure, what each part brings of its change, and the rest."""
    brief = [" + ".join(_brief(one) for one in part.differences) for part in parts]
    barred = [name for name, part in zip(brief, parts, strict=True) if part.barred]
    rest = f"{REST}: what they do together{''.join(f', {name}' for name in barred)}"
    evaluation = ""
    for share in shares:
        if share.evaluation != evaluation:
            evaluation = share.evaluation
            yield ""
            yield f"  {evaluation}"
        yield f"    {share.name}  {change_of(share.a, share.b)}"
        if share.a == share.b and not any(share.brings):
            continue
        for name, part, brings in zip(brief, parts, share.brings, strict=True):
            if not part.barred:
                yield f"      {_signed(brings):>10}  {name}"
        yield f"      {_signed(share.rest):>10}  {rest}"


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4g}" if value else "0"


def _brief(one: Difference) -> str:
    """A difference in a few words: the first line for people, without the assets."""
    first = next(told(one, 0)).strip()
    return first.rpartition("  (")[0] or first
