"""What a tracker tells a person of faults: each once, since the work goes on. Pure Python."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

log = logging.getLogger("dragon.tracking")


class Faults:
    """The warnings of one tracker, whose spools lie in the folder ``spools``."""

    def __init__(self, spools: Path) -> None:
        self._spools = spools
        self._has_warned = False
        self._has_bug = False

    def away(self, what: str) -> None:
        """Warn once per process of a fault and its consequence."""
        if not self._has_warned:
            self._has_warned = True
            wait = "the work goes on, and its tracking data wait in"
            log.warning("%s; %s %s", what, wait, self._spools)

    def unkept(self, error: OSError) -> None:
        """Warn once that a spool cannot be written; the run is then not tracked."""
        if not self._has_warned:
            self._has_warned = True
            log.warning("tracking cannot be written (%s); the work goes on without it", error)

    def deleted(self, name: str) -> None:
        """Warn that somebody deleted the run of a making that goes on."""
        log.warning(
            "the run of %s was deleted on MLflow's page; restore it there and the next run"
            " sends the rest",
            name,
        )

    def bug(self, what: str, error: Exception) -> None:
        """Show a bug of ours: the first with its traceback, each other in one line."""
        told = repr(error) if self._has_bug else "".join(traceback.format_exception(error))
        self._has_bug = True
        log.error("%s failed by a bug of dragon; data wait in %s\n%s", what, self._spools, told)
