"""The sweep of ``.work``: what killed processes left, and work that nobody will finish."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import time
from pathlib import Path

from pipelines.core.disk import lock_file
from pipelines.core.identity import HEX
from pipelines.core.records import Records
from pipelines.core.references import References
from pipelines.core.work import POINTER, checkpoint_state, tidy

log = logging.getLogger("dragon.store")

OLD_DAYS = 30
DAY = 86_400.0


def sweep(lock: Path, references: References, records: Records, spare: str) -> None:
    """Sweep the folder of a lock; all who work there share the lock, so nobody does meanwhile.

    It does nothing while another process works, or if the folder cannot be written. The work area
    of the derivation ``spare`` stays.
    """
    with contextlib.suppress(OSError), lock_file(lock) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for path in lock.parent.iterdir():
            if HEX.fullmatch(path.name) and not records.path(path.name).exists():
                reason = "" if path.name == spare else why_useless(path, references, records)
                if not reason:
                    tidy(path)
                    continue
                log.info("%s: removes this unfinished work, since %s", path, reason)
            if path != lock:
                discard(path)


def discard(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def why_useless(area: Path, references: References, records: Records) -> str:
    """Why the work area of a derivation without a record is of no use any more.

    Empty if it may still be finished. Only the checkpoint of a training tells of which asset it is.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        changed = max(path.stat().st_mtime for path in (area, *area.iterdir()))
        if time.time() - changed > OLD_DAYS * DAY:
            return f"nobody has worked on it for {OLD_DAYS} days"
        pointer = area / POINTER
        key = checkpoint_state(pointer)["notes"]["key"]
        current = references.current(key)
        if current is not None:
            made = records.path(current[0]).stat().st_mtime
            if made > pointer.stat().st_mtime:
                return f"{key} was made otherwise since, by derivation {current[0][:12]}"
    return ""
