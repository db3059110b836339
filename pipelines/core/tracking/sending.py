"""Sends a spool to MLflow; every step finds and keeps the work of an earlier try."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.core.tracking.names import text
from pipelines.core.tracking.server import (
    AT_ONCE,
    VERSION,
    AwayError,
    DeletedError,
    GoneError,
    RefusedError,
    Server,
    asked,
    datasets,
    make_tables,
    metrics,
    params,
)
from pipelines.core.tracking.spool import Line, NoSpoolError, Spool, read

__all__ = ["DeletedError", "RefusedError", "Sending", "Server", "make_tables"]

log = logging.getLogger("dragon.tracking")


class Sending:
    """One spool that is being sent to MLflow, and how much of it has been sent."""

    def __init__(self, spool: Spool, *, alive: bool) -> None:
        self.spool = spool
        self.alive = alive  # its writer may add more lines
        self.sent = False
        self._offset = 0
        self._start: Line | None = None
        self._run: Any = None
        self._tried = not alive
        self.told = False  # whether a warning said that the run was deleted
        self._last = 0  # the time of the newest line
        self._refused: list[str] = []

    @property
    def name(self) -> str:
        """The key of the asset, or the spool's file name before the first line was read."""
        return str(self._start["key"]) if self._start else self.spool.path.name

    def send(self, server: Server) -> None:
        """Send the new lines. Raises AwayError, DeletedError or NoSpoolError."""
        for _ in range(2):
            try:
                return self._send(server)
            except GoneError:
                if self._run is None:
                    raise
                self._offset, self._run = 0, None  # the database was removed: send all lines again
        raise AwayError("MLflow does not find a run that it has created")

    def _send(self, server: Server) -> None:
        points: list[Any] = []
        end = self._offset
        for end, line in read(self.spool.path, self._offset):
            if self._start is None and (line is None or line["kind"] != "start"):
                raise NoSpoolError("is not a spool of dragon")
            if line is None:
                continue
            self._last = max(self._last, line["time"])
            if line["kind"] == "points":
                points += metrics(line["values"], line["time"], line["step"])
                if len(points) < AT_ONCE:
                    continue
            self._log(server, "metrics", points)
            points = []
            self._one(server, line)
            self._offset = end
            if self.sent:
                return
        self._log(server, "metrics", points)
        self._offset = end
        if self._start is None and not self.alive:
            raise NoSpoolError("is empty")
        if not self.alive and self._start is not None:  # the writer died
            self._one(server, {"kind": "end", "status": "KILLED", "time": self._last})

    def _one(self, server: Server, line: Line) -> None:
        if line["kind"] == "start":
            self._begin(server, line)
        assert self._start is not None
        assert self._run is not None
        client, run, start = server.client, self._run, self._start
        run_id = run.info.run_id
        if line["kind"] == "made":
            self._write(server, client.set_tag, run_id, VERSION, text(line["version"]))
            model = server.model(run, start, line["version"]) if line["model"] else None
            self._log(server, "metrics", metrics(line["figures"], line["time"], 0, model, run_id))
        elif line["kind"] == "end":
            self._write(server, server.end, run_id, start, line["status"], line["time"])
            self.sent = True
            if self._refused:
                log.warning(
                    "%s: MLflow refused %d values and took all others (%s)",
                    start["key"],
                    len(self._refused),
                    self._refused[0],
                )

    def _begin(self, server: Server, line: Line) -> None:
        self._start = line
        if self._run is None and self._tried:
            self._run = server.attempt(line)
        if self._run is None:
            self._tried = True  # MLflow may create it although its answer is lost
            self._run = server.create(line, alive=self.alive)
        self._log(server, "params", params(line["parameters"]))
        if line["inputs"]:
            run_id, inputs = self._run.info.run_id, datasets(line["inputs"])
            self._write(server, server.client.log_inputs, run_id, inputs)

    def _write(self, server: Server, call: Callable[..., Any], *given: Any) -> None:
        """Make a call that changes our run. Raises DeletedError if somebody deleted the run."""
        assert self._run is not None
        try:
            asked(call, *given)
        except RefusedError:
            if server.is_deleted(self._run.info.run_id):
                raise DeletedError from None
            raise

    def _log(self, server: Server, kind: str, items: Sequence[Any]) -> None:
        """Log ``metrics`` or ``params``; a refused batch is halved to find the refused items."""
        if not items:
            return
        assert self._run is not None
        batch: dict[str, Any] = {kind: items}
        log_batch = functools.partial(server.client.log_batch, self._run.info.run_id, **batch)
        try:
            self._write(server, log_batch)
        except RefusedError as error:
            if len(items) == 1:
                self._refused.append(str(error))
                return
            half = len(items) // 2
            self._log(server, kind, items[:half])
            self._log(server, kind, items[half:])
