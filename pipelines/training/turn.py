"""Trainings take turns: two at the same time would share the same cores."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.core.making import Making

log = logging.getLogger("dragon.training")


@contextlib.contextmanager
def one_at_a_time(making: Making) -> Iterator[None]:
    """Admits one training at a time in a project.

    It is a lock of the operating system, which ends with its process. A slot in a Dagster pool
    stays occupied when a run is killed, and runs that wait for it poll.
    """
    making.project.home.mkdir(parents=True, exist_ok=True)
    with (making.project.home / "trainer.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            log.info("%s: waits for the end of another training (%s)", making.key, owner)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        print(f"process {os.getpid()}, {making.key}", file=lock, flush=True)
        yield
