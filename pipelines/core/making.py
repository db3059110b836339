"""What a making is given beside its inputs and its settings."""

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


@dataclass
class Making:
    """What a making function is given beside its inputs.

    ``folder`` is to be filled with the artefact's files; ``made`` takes what is worth recording
    but does not decide the result (rates, device, threads); ``curve(step, values)`` draws curves
    in the tracker; ``work`` keeps checkpoints for a later try; ``decides`` is what the derivation
    is the digest of.
    """

    key: str
    folder: Path
    project: Project
    work: Work | None = None
    tracked: TrackedRun = field(default_factory=lambda: TrackedRun(None))
    made: dict[str, Any] = field(default_factory=dict)
    decides: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Points for the tracker's curves."""
        self.tracked.curve(step, values)

    def parts(self) -> Path:
        """A folder whose finished files a later try finds again."""
        if self.work is None:
            raise ValueError(f"{self.key}: no work area to keep parts in")
        return self.work.parts()

    def take(self, path: str) -> None:
        """A finished part into the folder; it stays a part too, should what follows fail."""
        target, part = self.folder / path, self.parts() / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(part)
        except OSError:  # a file system without links
            shutil.copyfile(part, target)

    def advance(self, size: int) -> Callable[[int], None]:
        """To be told of bytes done, of ``size`` in all; it tells the rate and the time left."""
        progress, done = Progress(self.key, size, "MB"), 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress.update(done, done / 1e6)

        return advance

    def telling(self, items: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
        """``items``, passed on with word of how many and how fast; nobody knows how many come."""
        progress, count, done = Progress(self.key, 0, "MB"), 0, 0
        for item in items:
            count, done = count + 1, done + size(item)
            progress.update(count, done / 1e6)
            yield item

    def write(self, name: str, value: Any) -> None:
        """A file of canonical JSON in the folder."""
        (self.folder / name).write_bytes(canonical(value))
