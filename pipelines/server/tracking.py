"""MLflow's pages behind a guard: ``python -m pipelines.server.tracking URI ARTIFACTS PORT``."""

from __future__ import annotations

import sys

import uvicorn

from pipelines.core.tracking.serving import application
from pipelines.server.guard import LOOPBACK, Guard


def serve(uri: str, artifacts: str, port: int) -> None:
    """Serve MLflow's pages on the loopback interface until a signal ends the process."""
    guarded = Guard(application(uri, artifacts), port, files=True)
    uvicorn.run(guarded, host=LOOPBACK, port=port, log_level="error")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
