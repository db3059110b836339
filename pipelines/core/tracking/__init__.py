"""MLflow: one run per materialization, under a parent run per Dagster run.

A fault of tracking never stops training, and training never waits long for MLflow. Each run is
first written to its own file, a spool (``spool``). A thread sends it from there (``sending``,
through ``server``, the only module that imports mlflow). Lines that could not be sent stay in the
spool. The next process sends them: the same run, the next step or run, or ``dragon ui``. A line
that is sent twice has no effect twice: a run and its model are found by the attempt that made them,
and a point keeps the time of its measurement.

Names, values and addresses are converted to what MLflow takes before they reach the spool
(``names``). Lineage needs none of this (docs/adr/0001).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.tracking.faults import Faults
from pipelines.core.tracking.names import legal, parameters, text
from pipelines.core.tracking.place import Place, load_mlflow, short
from pipelines.core.tracking.run import About, Result, TrackedRun
from pipelines.core.tracking.spool import NoSpoolError, Spool, claim, is_free, left

if TYPE_CHECKING:
    from pipelines.core.tracking.sending import Sending, Server

__all__ = ["About", "Result", "TrackedRun", "Tracker"]

log = logging.getLogger("dragon.tracking")

PATIENCE = 5.0  # seconds in total that a process waits for an MLflow that does not answer
LAST_PATIENCE = 3.0  # extra seconds at the end of a run
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)
AWAY_SECONDS = 60.0  # after one process had no answer, no other process waits for this long


class _RefusalError(OSError):
    """MLflow answers but refuses one run; other runs can still be sent."""


class Tracker(Place):
    """MLflow's database and artefacts under one folder, or a server at ``uri``.

    Without ``uri``, ``MLFLOW_TRACKING_URI`` is used, or else a database in ``folder``. The spools
    lie beside ``folder``, in ``tracking``.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        super().__init__(folder, uri)
        self.spools = folder.with_name("tracking")
        self._away = self.spools / "away"  # its mtime says when MLflow last did not answer
        self._sendings: dict[Path, Sending] = {}  # whose spools this process holds locked
        self._resting: dict[Path, Sending] = {}  # of dead writers, until the next try
        self._faulty: set[Path] = set()  # spools that showed a bug of ours; no more tries
        self._server: Server | None = None
        self._change = threading.Condition()  # guards all attributes below
        self._thread: threading.Thread | None = None
        self._again = False
        self._failures = 0
        self._next_try = 0.0
        self._patience: float | None = None
        self._faults = Faults(self.spools)

    @contextlib.contextmanager
    def run(
        self,
        key: str,
        derivation: str,
        dagster_run: str,
        decides: Mapping[str, Any],
        inputs: Mapping[str, str],
        about: About | None = None,
    ) -> Iterator[TrackedRun]:
        """A run for one materialization: parameters and inputs first, all else during the run.

        ``inputs`` maps asset keys to versions. Each becomes a dataset whose digest is the first 36
        characters of the version; a tag has the whole version.
        """
        about = about or About()
        fields = {
            "key": text(key),
            "derivation": text(derivation),
            "dagster_run": legal(dagster_run),
            "parameters": parameters(decides),
            "inputs": {text(name): text(version) for name, version in inputs.items()},
            **about.fields(),
        }
        spool = None
        try:
            spool = Spool.begin(self.spools, **fields)
            self._mark(dagster_run).touch()
        except OSError as error:
            self.unkept(error)
        tracked = TrackedRun(spool, self, about.rates)
        if spool is not None:
            self.wake(spool)
        status = "FAILED"
        try:
            yield tracked
            status = "FINISHED"
        finally:
            tracked.end(status)
            if spool is not None:
                self.wake()
                self._wait(lambda: spool.path not in self._sendings)

    def finish_run(self, dagster_run: str, status: str, *, send: bool = True) -> None:
        """Tell MLflow how a Dagster run ended: FINISHED, FAILED or KILLED.

        It returns at once, and does nothing for a run that reused everything. Without ``send``
        another process sends it.
        """
        mark = self._mark(dagster_run)
        if mark.exists():
            self._notify("ended", send=send, dagster_run=legal(dagster_run), status=status)
            with contextlib.suppress(OSError):
                mark.unlink(missing_ok=True)

    def make_current(self, key: str, version: str) -> None:
        """Tell MLflow that a model's earlier version is the current one again."""
        self._notify("current", send=True, key=text(key), version=text(version))

    def _notify(self, kind: str, *, send: bool, **fields: Any) -> None:
        try:
            spool = Spool.begin(self.spools, kind, **fields)
        except OSError as error:
            self.unkept(error)
            return
        if send:
            self.wake(spool)
        else:
            spool.close()

    def _mark(self, dagster_run: str) -> Path:
        """A file that is there while a Dagster run has tracked something and has not ended."""
        return self.spools / f"{short(dagster_run)}.run"

    def unkept(self, error: OSError) -> None:
        """Warn once that a spool cannot be written; the run is then not tracked."""
        self._faults.unkept(error)

    def replay(self) -> None:
        """Begin to send the spools of earlier runs and return at once.

        It loads nothing if there are none.
        """
        if left(self.spools):
            self.wake()

    def catch_up(self) -> None:
        """Send what dead processes have left, if they have; for a process that goes on for long."""
        if self._sendings or any(is_free(p) for p in left(self.spools) if p not in self._faulty):
            self.wake()

    def settle(self, seconds: float = LAST_PATIENCE) -> bool:
        """At the end of a run, try once more, wait at most ``seconds``, and close the spools.

        Returns whether everything that this process could send has reached MLflow.
        """
        if not self._sendings and not left(self.spools):
            return True
        with self._change:
            self._patience = seconds
            self._next_try = 0.0
        self.wake()
        self._wait(lambda: False)
        with self._change:
            done = not self._failures and all(s.told or s.waits for s in self._sendings.values())
            if self._thread is None:
                for sending in self._sendings.values():
                    sending.spool.close()
                self._sendings.clear()
        if not done:
            self._faults.away(f"MLflow did not take all tracking data within {seconds:g} s")
        return done

    # Sending

    def wake(self, spool: Spool | None = None) -> None:
        """Send all spools in a separate thread, unless MLflow failed a moment ago."""
        try:
            # Import in this thread: an import in the other one could deadlock with ours.
            sending = load_mlflow()
        except ImportError as error:
            self._faults.away(str(error))
            return
        with self._change:
            if spool is not None:
                self._sendings[spool.path] = sending.Sending(spool, alive=True)
            self._again = True
            due = self._thread is None and time.monotonic() >= self._next_try
            if due and self._server is None:
                try:
                    # Not in the thread: a process that ends meanwhile would leave half-made tables.
                    self.initialise()
                except OSError as error:
                    self._next_try = time.monotonic() + self._failed(error)
                    return
            if due:
                self._thread = threading.Thread(target=self._send, name="tracking", daemon=True)
                self._thread.start()

    def _send(self) -> None:
        """The body of the thread: it ends when everything is sent, or at the first failure."""
        while True:
            with self._change:
                self._again = False
            delay = self._try()
            with self._change:
                if delay == 0 and self._again:
                    continue
                self._thread, self._next_try = None, time.monotonic() + delay
                self._change.notify_all()
                return

    def _try(self) -> float:
        """Send everything and return the seconds to wait before the next try."""
        try:
            self._send_all()
        except OSError as error:
            return self._failed(error)
        except Exception as error:  # a bug of ours: show it, but do not lose the work
            self._failures += 1
            self._faults.bug("tracking", error)
            return RETRY_SECONDS[-1]
        if self._failures:
            log.info("MLflow answers again")
        self._failures = 0
        with contextlib.suppress(OSError):
            self._away.unlink(missing_ok=True)
        return 0.0

    def _failed(self, error: OSError) -> float:
        self._failures += 1
        if isinstance(error, _RefusalError):
            self._faults.away(f"MLflow refuses a run ({error})")
        else:
            with contextlib.suppress(OSError):
                self._away.touch()
            self._faults.away(f"MLflow failed ({error})")
        return RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]

    def _send_all(self) -> None:
        if self._server is None:
            self._server = self.connect()
        with self._change:
            ours = list(self._sendings.values())
        refused: OSError | None = None  # MLflow refused one spool; the others are sent anyway
        try:
            for sending in itertools.chain(ours, self._of_dead_writers()):
                refused = self._forward(self._server, sending) or refused
            with self._change:
                late = [sending for sending in self._sendings.values() if sending.waits]
            for sending in late:
                refused = self._forward(self._server, sending) or refused
        finally:
            self._rest()
        if refused is not None:
            raise refused

    def _of_dead_writers(self) -> Iterator[Sending]:
        """Claim the spools that no process writes or sends, one after the other."""
        for path in left(self.spools):
            if path in self._sendings or path in self._faulty or not (spool := claim(path)):
                continue
            sending = self._resting.pop(path, None) or load_mlflow().Sending(spool, alive=False)
            sending.spool = spool
            with self._change:
                self._sendings[path] = sending
            yield sending

    def _rest(self) -> None:
        """Release the spools of dead writers that could not be sent now: others may send them."""
        with self._change:
            dead = {path: s for path, s in self._sendings.items() if not s.alive}
            for path, sending in dead.items():
                sending.spool.close()
                del self._sendings[path]
            self._resting = {p: s for p, s in (self._resting | dead).items() if p.exists()}

    def _forward(self, server: Server, sending: Sending) -> OSError | None:
        """Send one spool. Remove it after its last line; put it aside if it is not a spool.

        Returns the error if MLflow refuses it. Raises OSError if MLflow is away.
        """
        spool = sending.spool
        if spool.path in self._faulty:
            return None
        try:
            sending.send(server)
            if not sending.sent:
                return None
            spool.remove()
        except load_mlflow().RefusedError as error:
            return _RefusalError(f"{sending.name}: {error}")
        except load_mlflow().DeletedError:
            if sending.alive:
                if not sending.told:
                    self._faults.deleted(sending.name)
                sending.told = True
                return None
            spool.remove()  # the run was deleted before this process began: on purpose
        except NoSpoolError as error:
            spool.put_aside()
            log.warning("%s: %s; renamed to %s", spool.path, error, spool.aside.name)
        except OSError:
            raise
        except Exception as error:  # a bug of ours holds up no other spool
            self._faulty.add(spool.path)
            sending.told = True
            self._faults.bug(f"tracking of {sending.name}", error)
            return None
        with self._change:
            self._sendings.pop(spool.path, None)
            self._change.notify_all()
        return None

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until ``done()`` is true, everything is sent, MLflow failed or patience is over."""
        began = time.monotonic()
        with self._change:
            if self._patience is None:
                self._patience = 0.0 if _is_recent(self._away) else PATIENCE
            self._change.wait_for(lambda: self._thread is None or done(), self._patience)
            waited = time.monotonic() - began
            is_unanswered = waited >= PATIENCE and self._thread is not None and not done()
            self._patience = max(0.0, self._patience - waited)
        if is_unanswered:
            with contextlib.suppress(OSError):
                self._away.touch()
            self._faults.away(f"MLflow did not answer within {PATIENCE:g} s")


def _is_recent(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) < AWAY_SECONDS
    except OSError:
        return False
