"""The losses of a training: in memory, and while it runs in a file that only grows."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.disk import naming
from pipelines.text.regular import read_regular

Kind = Literal["train", "validation"]


@dataclass
class History:
    """The curves of a run, [step, loss] pairs, and how it went."""

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    legs: list[dict[str, Any]] = field(default_factory=list)
    """Each start of the run: its first step and its environment."""
    chosen: int | None = None
    """The step whose weights are the result, if a validation chose them; else the last one."""

    @property
    def last(self) -> int:
        """The last step."""
        return self.train[-1][0] if self.train else 0

    @property
    def steps(self) -> int:
        """The number of updates that the resulting weights have had."""
        return self.last if self.chosen is None else self.chosen

    def best(self) -> tuple[int, float]:
        """The step of the lowest validation loss so far, the first of equals, and that loss."""
        return min(self.validation, key=lambda point: point[1])

    def since_best(self) -> int:
        """How many validations in a row had no new lowest loss."""
        losses = [loss for _, loss in self.validation]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def add(self, kind: Kind, step: int, loss: float) -> None:
        """Add a point to a curve."""
        points = self.train if kind == "train" else self.validation
        points.append((step, loss))


def thinned(points: Sequence[tuple[int, float]], most: int) -> Sequence[tuple[int, float]]:
    """Every k-th point and the last one, about ``most`` of them."""
    every = max(1, math.ceil(len(points) / most))
    return points[::-1][::every][::-1]


class CurveFile:
    """The curves of a running training as lines of JSON, each written once.

    A checkpoint keeps the ``mark`` of its moment: how many bytes there were, and their sha256. A
    run that goes on from it cuts the file back to them.
    """

    def __init__(self, path: Path, mark: Mapping[str, Any] | None = None) -> None:
        """Open an empty file, or the one with the lines up to a mark.

        Raises CorruptArtefact if the file has not the bytes that the mark tells of.
        """
        self._path = path
        self._kept = self._up_to(mark) if mark else b""
        self._hashed, self._size = hashlib.sha256(self._kept), len(self._kept)
        self._lines: list[bytes] = []
        self._file: BinaryIO = path.open("r+b" if mark else "wb")
        self._file.truncate(self._size)
        self._file.seek(self._size)

    def _up_to(self, mark: Mapping[str, Any]) -> bytes:
        try:
            kept = read_regular(self._path)[: mark["bytes"]]
        except OSError:
            kept = b""
        if hashlib.sha256(kept).hexdigest() != mark["sha256"]:
            raise CorruptArtefact(
                f"{self._path}: is not the curve of the checkpoint beside it; remove"
                f" {self._path.parent} to train from the start"
            )
        return kept

    def fill(self, history: History) -> None:
        """Add the points that the file had when it was opened."""
        for line in self._kept.splitlines():
            kind, step, loss = json.loads(line)
            history.add(kind, step, loss)
        self._kept = b""

    def add(self, kind: Kind, step: int, loss: float) -> None:
        """Add a point; it is written with the next mark, since no earlier one is of use."""
        self._lines.append(json.dumps([kind, step, loss]).encode() + b"\n")

    def mark(self) -> dict[str, Any]:
        """Write the new points, and tell what a checkpoint of this moment keeps of the file.

        Raises OSError naming the file.
        """
        lines = b"".join(self._lines)
        self._lines.clear()
        self._hashed.update(lines)
        self._size += len(lines)
        with naming(self._path):
            self._file.write(lines)
            self._file.flush()
        return {"bytes": self._size, "sha256": self._hashed.hexdigest()}

    def sync(self) -> None:
        """Wait until all that was marked is on the disk."""
        with naming(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
