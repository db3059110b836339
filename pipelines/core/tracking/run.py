"""The tracker's interface for one materialization, and what a caller tells of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.core.tracking.names import clipped, legal, text
from pipelines.core.tracking.spool import Spool

if TYPE_CHECKING:
    from pipelines.core.tracking import Tracker

BATCH = 500  # points a call; a call costs MLflow 30 ms on SQLite, for one point or for hundreds
FLUSH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a materialization before the work.

    ``note`` and ``run_note`` describe it and the Dagster run in Markdown. ``source`` names the
    making function. ``models`` are the keys of the inputs that are models. ``rates`` maps a curve's
    name to another name and a factor: a factor of a learning rate is tracked as the rate itself.
    ``context`` says what the inputs are read for: ``training`` or ``evaluation``.
    """

    recipe: str = ""
    note: str = ""
    run_note: str = ""
    source: str = ""
    commit: str = ""
    context: str = ""
    models: tuple[str, ...] = ()
    rates: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The fields for the first line of a spool."""
        notes = {"note": clipped(self.note), "run_note": clipped(self.run_note)}
        words = {name: getattr(self, name) for name in ("recipe", "source", "commit", "context")}
        about = notes | {name: text(word, 250) for name, word in words.items()}
        return {"about": about, "models": [text(key) for key in self.models]}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of a version after the work.

    ``note`` describes it in Markdown. ``headline`` is its first figure for people, whose name in
    the figures is ``figure``; with ``leads`` it is also the headline of the Dagster run. ``of`` is
    the key of the input whose quality the figures tell, and ``on`` the key of the input that they
    were measured on. ``facts`` are numbers that are no curves, such as a count of parameters.
    ``finals`` are curves whose last points are figures of the model. ``files`` are shown beside the
    run and its model. ``lineage_root`` is the digest of the version's whole lineage.
    """

    note: str = ""
    headline: str = ""
    figure: str = ""
    leads: bool = False
    of: str = ""
    on: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    finals: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    lineage_root: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields for a line of a spool; the files lie beside it."""
        result = {
            "note": clipped(self.note),
            "headline": text(self.headline, 250),
            "figure": legal(self.figure) if self.figure else "",
            "leads": "yes" if self.leads else "",
            "of": text(self.of),
            "on": text(self.on),
            "lineage_root": self.lineage_root,
        }
        facts = {legal(name): text(value) for name, value in self.facts.items()}
        return {"result": result, "facts": facts, "finals": [legal(name) for name in self.finals]}


class TrackedRun:
    """Writes the tracking data of one materialization; without a spool it writes nothing."""

    def __init__(
        self,
        spool: Spool | None = None,
        tracker: Tracker | None = None,
        rates: Mapping[str, tuple[str, float]] | None = None,
    ) -> None:
        self._spool = spool
        self._tracker = tracker
        self._rates = rates or {}
        self._waiting = 0
        self._woken = time.monotonic()

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the run's curves; they are sent in batches."""
        if self._spool is None or self._tracker is None:
            return
        named = _named(dict(map(self._rated, values.items())))
        self._write(self._spool.add_soon, "points", step=step, values=named)
        self._waiting += len(values)
        if self._waiting >= BATCH or time.monotonic() - self._woken > FLUSH_SECONDS:
            self._waiting, self._woken = 0, time.monotonic()
            self._write(self._spool.write)
            self._tracker.wake()

    def event(self, step: int, event: str, text: str = "") -> None:
        """Tell who watches the run that something happened after ``step``."""
        self._add("event", step=step, event=event, text=text)

    def finish(
        self,
        version: str,
        figures: Mapping[str, float],
        *,
        model: bool,
        result: Result | None = None,
    ) -> None:
        """Tag the run with the version, link a model to it and log the final figures."""
        result = result or Result()
        if self._spool is not None and self._tracker is not None and result.files:
            try:
                self._spool.keep({legal(name): held for name, held in result.files.items()})
            except OSError as error:
                self._tracker.unkept(error)
        fields = result.fields()
        self._add("made", version=version, figures=_named(figures), model=model, **fields)

    def end(self, status: str) -> None:
        """End the run with the status FINISHED or FAILED."""
        self._add("end", status=status)

    def _rated(self, point: tuple[str, float]) -> tuple[str, float]:
        name, value = point
        if name not in self._rates:
            return point
        other, factor = self._rates[name]
        return other, value * factor

    def _add(self, kind: str, **fields: Any) -> None:
        if self._spool is not None:
            self._write(self._spool.add, kind, **fields)

    def _write(self, writing: Callable[..., None], *arguments: Any, **fields: Any) -> None:
        if self._tracker is None:
            return
        try:
            writing(*arguments, **fields)
        except OSError as error:
            self._tracker.unkept(error)


def _named(values: Mapping[str, float]) -> dict[str, float]:
    return {legal(name): float(value) for name, value in values.items()}
