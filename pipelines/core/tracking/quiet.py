"""Settings of MLflow for every process that imports it. Pure Python.

MLflow reads them when it is imported, so they are in the environment before that.
"""

from __future__ import annotations

import os

# No data about the user leaves the machine, whatever the environment said before.
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
SETTINGS = {  # a person may choose other values
    # By default MLflow retries for minutes when a server is away; we retry later instead.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def be_quiet() -> None:
    """Put the settings into this process's environment; its children inherit them."""
    os.environ.update(SILENT)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
