"""Tells of a training that goes on after an interruption, and of one that begins anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.identity import canonical
from pipelines.training.history import History, thinned

if TYPE_CHECKING:
    from pipelines.core.making import Making

log = logging.getLogger("dragon.training")

TOLD_AGAIN = 500  # points of an interrupted run's curve that the tracker's new run begins with


def tell_resumed(making: Making, history: History) -> None:
    """Tells from where a run goes on, and gives the tracker's new run the curves up to there.

    Warns of each part of its environment that is not what it was.
    """
    *before, now = history.legs
    if not before:
        _warn_of_differences(making)
        return
    log.info("%s: goes on from the checkpoint at step %d", making.key, now["step"])
    for name in sorted({name for leg in history.legs for name in leg} - {"step"}):
        others = {leg.get(name) for leg in before} - {now.get(name)}
        if others:
            log.warning(
                "%s: began with %s=%s, goes on with %s; the result is not that of an"
                " uninterrupted run",
                making.key,
                name,
                ", ".join(map(str, others)),
                now.get(name),
            )
    for name, points in (("training", history.train), ("validation", history.validation)):
        for step, loss in thinned(points, TOLD_AGAIN):
            making.curve(step, {f"{name}_loss": loss})


def _warn_of_differences(making: Making) -> None:
    """Warns why an interrupted training cannot resume: its derivation has changed since."""
    for notes in making.work.abandoned() if making.work else ():
        then = notes.get("decides", {})
        if notes.get("key") == making.key:
            log.warning(
                "%s: begins anew; an unfinished training of it at step %s differs in %s",
                making.key,
                notes["step"],
                ", ".join(_differences(then, making.decides)),
            )


def _differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the leaves in which two JSON values differ."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            below = f"{path}.{name}" if path else name
            yield from _differences(then.get(name), now.get(name), below)
    elif canonical(then) != canonical(now):
        yield path
