"""Where MLflow is, and its tables; mlflow itself is imported when it is needed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipelines.core.tracking.quiet import be_quiet

if TYPE_CHECKING:
    from pipelines.core.tracking.sending import Server


class Place:
    """MLflow's database and artefacts under one folder, or a server at ``uri``.

    Without ``uri``, ``MLFLOW_TRACKING_URI`` is used, or else a database in ``folder``.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self._own = f"sqlite:///{folder / 'mlflow.db'}"
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or self._own
        self.artifacts = (folder / "artifacts").as_uri()

    @property
    def is_remote(self) -> bool:
        """Whether MLflow is a server, which keeps the artefacts itself."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_own(self) -> bool:
        """Whether MLflow's database is the one in our folder."""
        return self.uri == self._own

    def initialise(self) -> None:
        """Make or upgrade MLflow's tables once: two processes at the same time would break them.

        Raises OSError if that fails, also if mlflow cannot be imported.
        """
        try:
            self._make_tables()
        except ImportError as error:
            raise OSError(str(error)) from error

    def _make_tables(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.uri.startswith("sqlite:"):
            return
        own = self.is_own
        # Another version of MLflow has other tables.
        name = f"ready-{metadata.version('mlflow')}"
        ready = self.folder / (name if own else f"{name}-{short(self.uri)}")
        if ready.exists():
            return
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                load_mlflow().make_tables(self.uri, upgrade=own)
                if own:
                    self._server_of(load_mlflow()).prepare()
                ready.touch()

    def connect(self) -> Server:
        """MLflow, after its tables were made. Raises OSError if MLflow is away."""
        self.initialise()
        return self._server_of(load_mlflow())

    def _server_of(self, sending: ModuleType) -> Server:
        place = None if self.is_remote else self.artifacts
        server: Server = sending.Server(self.uri, place, self.folder / "turn")
        return server


def load_mlflow() -> ModuleType:
    """Import the module that uses mlflow; mlflow's import takes seconds.

    Raises ImportError in one line, whatever a broken installation of mlflow raises.
    """
    be_quiet()
    try:
        import pipelines.core.tracking.sending
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ImportError(f"mlflow cannot be imported: {lines[0]}") from error

    return pipelines.core.tracking.sending


def short(text: str) -> str:
    """The first 12 digits of a text's sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
