"""MLflow's pages as an application that a guard can stand before."""

from __future__ import annotations

import os
from typing import Any

from pipelines.core.tracking.quiet import SILENT, be_quiet


def application(uri: str, artifacts: str) -> Any:
    """MLflow's ASGI application over a database and a folder of artifacts.

    ``mlflow server`` hands these to its workers through the same variables. To be called once in a
    process, before anything else imports mlflow's server.
    """
    be_quiet()
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = uri
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = uri
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    from mlflow.server.fastapi_app import app

    return app


def environment() -> dict[str, str]:
    """The variables that a process must have before it imports mlflow to serve its pages."""
    return {
        **SILENT,
        # MLflow would start eight idle job runners for its GenAI features, which we do not use.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
