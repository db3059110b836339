"""The ``Making`` that a making function receives beside its inputs and its settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipelines.core.identity import canonical
from pipelines.core.progress import Progress
from pipelines.core.project import Project
from pipelines.core.tracking import TrackedRun
from pipelines.core.work import Work

T = TypeVar("T")
Showing = Callable[[Any, Any], Iterable[str]]


@dataclass
class Making:
    """The first argument of a making function.

    The function fills ``folder`` with the artefact's files. It adds to ``made`` what the record
    keeps although it does not decide the result (rates, device, threads). ``curve(step, values)``
    draws curves in the tracker. ``work`` keeps checkpoints for a later try. The derivation is the
    digest of ``decides``. The files in ``beside`` belong to the record and not to the version: they
    tell of the work, and equal work may tell it otherwise. ``showing(network, tokenizer)`` writes
    samples of a network while it is trained, for who watches; they decide nothing, so it is no part
    of the derivation.
    """

    key: str
    folder: Path
    project: Project
    work: Work | None = None
    tracked: TrackedRun = field(default_factory=lambda: TrackedRun(None))
    made: dict[str, Any] = field(default_factory=dict)
    decides: Mapping[str, Any] = field(default_factory=dict)
    beside: dict[str, bytes] = field(default_factory=dict)
    showing: Showing | None = None

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the tracker's curves."""
        self.tracked.curve(step, values)

    def event(self, step: int, event: str, text: str = "") -> None:
        """Tell who watches that something happened after a step of a training."""
        self.tracked.event(step, event, text)

    def parts(self) -> Path:
        """A folder whose finished files a later try reuses. Raises ValueError without ``work``."""
        if self.work is None:
            raise ValueError(f"{self.key}: no work area to keep parts in")
        return self.work.parts()

    def take(self, path: str) -> None:
        """Put a finished part into ``folder``; it also stays a part, in case a later step fails."""
        target, part = self.folder / path, self.parts() / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(part)
        except OSError:  # a file system without links
            shutil.copyfile(part, target)

    def advance(self, size: int) -> Callable[[int], None]:
        """A function to call with each number of bytes done, out of ``size`` bytes.

        It logs the rate and the time left.
        """
        progress, done = Progress(self.key, size, "MB"), 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress.update(done, done / 1e6)

        return advance

    def telling(self, items: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
        """Pass ``items`` on and log how many there were and the rate; the total is not known.

        ``size`` gives the bytes of an item.
        """
        progress, count, done = Progress(self.key, 0, "MB"), 0, 0
        for item in items:
            count, done = count + 1, done + size(item)
            progress.update(count, done / 1e6)
            yield item

    def write(self, name: str, value: Any) -> None:
        """Write a file of canonical JSON into ``folder``."""
        (self.folder / name).write_bytes(canonical(value))
