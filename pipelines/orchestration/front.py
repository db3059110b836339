"""The pages behind one guard.

``python -m pipelines.orchestration.front WORKSPACE PORT MLFLOW_PORT`` serves our own pages at ``/``
and Dagster's below ``/dagster``. WORKSPACE is the file that names Dagster's code server. MLflow is
at MLFLOW_PORT, unless ``MLFLOW_TRACKING_URI`` names a server.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import uvicorn
from dagster import DagsterInstance, RunsFilter, __version__
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from pipelines.core.project import Project
from pipelines.core.tracking.place import Place
from pipelines.orchestration.automation import RECIPE
from pipelines.server.app import application
from pipelines.server.guard import LOOPBACK, Guard
from pipelines.server.site import DAGSTER, Run, Site

NEWEST = 10  # runs of a recipe


def newest_runs(instance: DagsterInstance) -> Callable[[str], Sequence[Run]]:
    """A function that gives the newest runs of a recipe, however they were started."""

    def runs(recipe: str) -> list[Run]:
        records = instance.get_run_records(RunsFilter(tags={RECIPE: recipe}), limit=NEWEST)
        return [
            Run(
                record.dagster_run.run_id,
                record.dagster_run.status.value.lower(),
                record.start_time,
                record.end_time,
            )
            for record in records
        ]

    return runs


def serve(workspace: str, port: int, mlflow_port: int) -> None:
    """Serve all pages on the loopback interface until a signal ends the process."""
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace]), __version__) as context,
    ):
        dagster = create_app_from_workspace_process_context(context, DAGSTER)
        project = Project.here()
        place = Place(project.mlflow)
        mlflow = place.uri.rstrip("/") if place.is_remote else f"http://{LOOPBACK}:{mlflow_port}"
        site = Site(project, mlflow, newest_runs(instance))
        pages = Guard(application(site, dagster), port)
        uvicorn.run(pages, host=LOOPBACK, port=port, log_level="warning")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
