"""Sends a spool to MLflow; every step finds and keeps the work of an earlier try."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.core.tracking.models import (
    attach,
    find_model,
    make_current,
    make_model,
    register,
    tell,
)
from pipelines.core.tracking.names import text
from pipelines.core.tracking.parents import (
    FIGURE,
    HEADLINE,
    LEADS,
    create_run,
    end_run,
    finish_parent,
)
from pipelines.core.tracking.server import (
    AT_ONCE,
    ATTEMPT,
    NOTE,
    ROOT,
    VERSION,
    AwayError,
    DeletedError,
    GoneError,
    RefusedError,
    Server,
    UnableError,
    asked,
    dataset_of,
    datasets,
    make_tables,
    metrics,
    models_read,
    params,
    tagged,
)
from pipelines.core.tracking.spool import FIRST, NOTES, Line, NoSpoolError, Spool, read, steps_of

__all__ = ["DeletedError", "RefusedError", "Sending", "Server", "make_tables"]

log = logging.getLogger("dragon.tracking")

TRIES, MOST_TRIES = 3, 50  # at once, of what is refused with the same words, and in all


class Sending:
    """One spool that is being sent to MLflow, and how much of it has been sent.

    ``waits`` says that it can be sent only after other spools. ``told`` says that a warning said
    why it is not sent.
    """

    def __init__(self, spool: Spool, *, alive: bool) -> None:
        self.spool = spool
        self.alive = alive  # its writer may add more lines
        self.sent = False
        self.waits = False
        self._offset = 0
        self._first: Line | None = None
        self._start: Line | None = None  # the first line of an attempt; other spools have none
        self._last_points: dict[str, tuple[int, int, float]] = {}  # by curve
        self._run: Any = None
        self._tried = not alive
        self.told = False
        self._last = 0  # the time of the newest line
        self._refused: list[str] = []

    @property
    def name(self) -> str:
        """The key of the asset, or the spool's file name if the first line names none."""
        return str((self._first or {}).get("key", self.spool.path.name))

    def send(self, server: Server) -> None:
        """Send the new lines. Raises AwayError, DeletedError or NoSpoolError."""
        self.waits = False
        for _ in range(2):
            try:
                return self._send(server)
            except GoneError:
                if self._run is None:
                    raise
                # The database was removed: send all lines again.
                self._offset, self._run, self._first = 0, None, None
        raise AwayError("MLflow does not find a run that it has created")

    def _send(self, server: Server) -> None:
        points: list[Any] = []
        end = self._offset
        for end, line in read(self.spool.path, self._offset):
            if self._first is None:
                if line is None or line["kind"] not in FIRST:
                    raise NoSpoolError("is not a spool of dragon")
                self._first = line
                self._start = line if line["kind"] == "start" else None
            if line is None or (self._start is None and line["kind"] not in NOTES):
                continue
            self._last = max(self._last, line["time"])
            if line["kind"] == "points":
                points += metrics(line["values"], line["time"], line["step"])
                self._remember(line)
                if len(points) < AT_ONCE:
                    continue
            self._log(server, "metrics", points)
            points = []
            self._one(server, line)
            if self.waits:
                return
            self._offset = end
            if self.sent:
                return
        self._log(server, "metrics", points)
        self._offset = end
        if self._first is None and not self.alive:
            raise NoSpoolError("is empty")
        if not self.alive and self._start is not None:  # the writer died
            self._one(server, {"kind": "end", "status": "KILLED", "time": self._last})

    def _remember(self, line: Line) -> None:
        for name, value in line["values"].items():
            self._last_points[name] = (line["time"], line["step"], value)

    def _one(self, server: Server, line: Line) -> None:
        kind = line["kind"]
        if kind == "start":
            self._begin(server, line)
        elif kind == "ended":
            has_parent = finish_parent(server, line)
            # The first of its steps that is sent makes the parent.
            self.waits = not has_parent and self._has_steps(line["dagster_run"])
            self.sent = not self.waits
        elif kind == "current":
            make_current(server, line)
            self.sent = True
        elif kind == "made":
            self._made(server, line)
        elif kind == "end":
            assert self._start is not None
            assert self._run is not None
            run_id, when = self._run.info.run_id, line["time"]
            end = functools.partial(end_run, server, run_id, self._start, line["status"], when)
            self._guarded(server, end)
            self.sent = True
            self._warn_of_refused()

    def _has_steps(self, dagster_run: str) -> bool:
        return bool(steps_of(self.spool.path.parent, dagster_run))

    def _begin(self, server: Server, line: Line) -> None:
        if self._run is None and self._tried:
            self._run = server.attempt(line)
        if self._run is None:
            self._tried = True  # MLflow may create it although its answer is lost
            self._run = create_run(server, line, alive=self.alive)
        self._log(server, "params", params(line["parameters"]))
        inputs = line["inputs"]
        read = [find_model(server, key, inputs.get(key, "")) for key in line.get("models", [])]
        if inputs:
            ids = models_read(model.model_id for model in read if model is not None)
            run_id, given = self._run.info.run_id, datasets(inputs, _context_of(line))
            self._write(server, server.client.log_inputs, run_id, given, ids)

    def _made(self, server: Server, line: Line) -> None:
        """Log a version: its figures, its model or the model that it judges, and its files."""
        assert self._start is not None
        assert self._run is not None
        start, run_id, result = self._start, self._run.info.run_id, line.get("result", {})
        facts, made, judged = line.get("facts", {}), None, None
        self._log(server, "params", params(facts))
        if line["model"]:
            made = make_model(server, self._run, start, line, {**start["parameters"], **facts})
        elif result.get("of"):
            judged = find_model(server, result["of"], start["inputs"].get(result["of"], ""))
        about = made or judged
        model = None if about is None else about.model_id
        dataset = dataset_of(start["inputs"], result.get("on", ""))
        points = metrics(line["figures"], line["time"], 0, model, run_id, dataset)
        for name in line.get("finals", []):
            if name in self._last_points:  # the same point again, now of the model
                when, step, value = self._last_points[name]
                points += metrics({name: value}, when, step, model, run_id, dataset)
        self._log(server, "metrics", points)
        if made is not None:
            work = functools.partial(register, server, made, start, line)
            self._beside(server, "its registered version", work)
        elif judged is not None and result.get("headline"):
            name, headline = start["key"].rpartition("/")[2], result["headline"]
            work = functools.partial(tell, server, judged, name, headline)
            self._beside(server, "its headline", work)
        self._attach(server, made, is_judged=judged is not None)
        # Last: who finds the version of a run also finds all that belongs to it.
        names = {"note": NOTE, "headline": HEADLINE, "figure": FIGURE, "leads": LEADS}
        names["lineage_root"] = ROOT
        tags = {tag: result.get(name, "") for name, tag in names.items()}
        self._log(server, "tags", tagged({**tags, VERSION: text(line["version"])}))

    def _attach(self, server: Server, made: Any, *, is_judged: bool) -> None:
        """Put the attempt's files beside its run, and its model or the models that it shows.

        They can be made again from the store.
        """
        files = self.spool.kept()
        if not files:
            return
        assert self._start is not None
        ids = [] if made is None else [made.model_id]
        if made is None and not is_judged:
            inputs, keys = self._start["inputs"], self._start.get("models", [])
            shown = [find_model(server, key, inputs.get(key, "")) for key in keys]
            ids = [model.model_id for model in shown if model is not None]
        run_id = self._run.info.run_id
        self._beside(server, "its files", functools.partial(attach, server, run_id, ids, files))

    def _beside(self, server: Server, what: str, act: Callable[[], None]) -> None:
        """Do something for which nothing else has to wait.

        If MLflow takes changes of the run, but fails at this with the same words again and again,
        it is left out. Raises AwayError if MLflow is away or busy: then it is tried later.
        """
        last, count = "", 0
        for _ in range(MOST_TRIES):
            try:
                act()
                return
            except UnableError as error:
                self._require_taken(server)
                last, count = str(error), count + 1 if str(error) == last else 1
                if count == TRIES:
                    break
        self._refused.append(f"{what}: {last}")

    def _require_taken(self, server: Server) -> None:
        """Raise AwayError unless MLflow takes a change of our run: a tag that the run has."""
        assert self._start is not None
        run_id, attempt = self._run.info.run_id, self._start["attempt"]
        if server.is_deleted(run_id):
            raise DeletedError
        self._write(server, server.client.set_tag, run_id, ATTEMPT, attempt)

    def _warn_of_refused(self) -> None:
        if self._refused:
            log.warning(
                "%s: MLflow refused %d values and took all others (%s)",
                self.name,
                len(self._refused),
                self._refused[0],
            )

    def _write(self, server: Server, call: Callable[..., Any], *given: Any) -> None:
        """Make a call that changes our run. Raises DeletedError if somebody deleted the run."""
        self._guarded(server, functools.partial(asked, call, *given))

    def _guarded(self, server: Server, change: Callable[[], Any]) -> None:
        """Change our run. Raises DeletedError if somebody deleted the run."""
        assert self._run is not None
        try:
            change()
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


def _context_of(start: Line) -> str:
    """What an attempt reads its inputs for: ``evaluation`` or ``training``."""
    return start.get("about", {}).get("context") or "training"
