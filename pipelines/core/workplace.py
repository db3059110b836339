"""The folder ``.work`` of a store: partial files, and the lock of all who write.

Who writes shares the lock. Who removes (the sweep of ``.work``, ``dragon gc``) holds it alone, so
nothing is removed while somebody needs it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.disk import lock_file, make_folder, replace
from pipelines.core.record import StoreError

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
PATIENCE = 10.0  # seconds that who removes waits for the others


class Workplace:
    """The folder ``.work`` of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"

    def aside(self) -> Path:
        """A free path for a partial file. The sweep removes what a killed process leaves there."""
        return self.folder / f"{uuid.uuid4().hex}.partial"

    def replace(self, path: Path, content: bytes) -> None:
        """Replace a file of the store in one step."""
        with self.writing():
            replace(path, content, self.aside())

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep those away who remove."""
        with lock_file(self.lock) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def staying(self) -> Iterator[None]:
        """As ``writing``; without the lock if this process cannot write in the store."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.writing())
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
            yield

    @contextlib.contextmanager
    def alone(self, patience: float = PATIENCE) -> Iterator[None]:
        """Keep all others away who write or remove.

        Raises StoreError naming the processes that work, if they do so for longer than ``patience``
        seconds.
        """
        until = time.monotonic() + patience
        with lock_file(self.lock) as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() < until:
                        time.sleep(0.1)
                        continue
                raise StoreError(
                    f"{self.folder.parent}: {self._workers()} in this store; nothing was removed:"
                    " run again when the work has ended"
                )
            yield

    def _workers(self) -> str:
        """Who works, as the locks of work areas tell it."""
        numbers = []
        for lock in sorted(self.folder.glob("*.lock")):
            with contextlib.suppress(OSError, ValueError):
                numbers.append(str(int(lock.read_text())))
        if not numbers:
            return "another process works"
        if len(numbers) == 1:
            return f"process {numbers[0]} makes an asset"
        return f"processes {', '.join(numbers)} make assets"

    def require_writable(self) -> None:
        """Raise StoreError if nothing can be written."""
        probe = self.folder / f"{uuid.uuid4().hex}.probe"
        try:
            make_folder(probe.parent)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)  # a sweep may have removed it already
            probe.symlink_to("nowhere")  # not every file system has links
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.folder.parent}: the store cannot be written ({error.strerror}); make it"
                " writable or choose another with DRAGON_STORE"
            ) from None
