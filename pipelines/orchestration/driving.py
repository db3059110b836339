"""Drives a Dagster run in this process, as a run of its job in the code location ``dragon``.

Dagster's own ``execute_in_process`` makes a run without an origin, which no page shows under a job
or on the timeline, and it returns only at the end, too late to say that a person cancelled the run.
"""

from collections.abc import Collection, Iterator

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import (
    ExecuteRunWithPlanIterable,
    create_execution_plan,
    job_execution_iterator,
)
from dagster._core.execution.context_creation_job import (
    PlanOrchestrationContextManager,
    orchestration_context_event_generator,
)
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

LOCATION = "dragon"  # the code location's name in workspace.yaml and in dragon ui
REPOSITORY = "__repository__"  # Dagster's name for the definitions of a module
CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def instance_in(folder: str) -> dg.DagsterInstance:
    """A Dagster instance with its databases in a folder; it does not capture output streams.

    Otherwise Dagster would send them through a file and two processes for each step: progress on
    one line would not show, and Ctrl-C would print the end of those processes.
    """
    module, name = "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager"
    streams = {"compute_logs": {"module": module, "class": name}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(folder, overrides=streams))


class Drive:
    """One run of some assets of a job, planned and known to Dagster but not begun."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        job: dg.JobDefinition,
        keys: Collection[dg.AssetKey],
        run_id: str,
        tags: dict[str, str],
    ) -> None:
        self._instance = instance
        # Loads the parts of the job in this process; its executor runs one step after another.
        self._job = InMemoryJob(
            job.as_ephemeral_job(resource_defs={}, input_values={}, asset_selection=sorted(keys))
        )
        self._plan = create_execution_plan(
            self._job, run_config=CONFIG, instance_ref=instance.get_ref()
        )
        origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), REPOSITORY)
        self.run = instance.create_run_for_job(
            job_def=self._job.get_definition(),
            run_config=CONFIG,
            tags={**job.run_tags, **tags},
            run_id=run_id,
            asset_selection=frozenset(keys),
            execution_plan=self._plan,
            remote_job_origin=origin.get_job_origin(job.name),
        )

    def events(self) -> Iterator[dg.DagsterEvent]:
        """Execute the run; yields each event when it happens."""
        return iter(
            ExecuteRunWithPlanIterable(
                execution_plan=self._plan,
                iterator=job_execution_iterator,
                execution_context_manager=PlanOrchestrationContextManager(
                    context_event_generator=orchestration_context_event_generator,
                    job=self._job,
                    execution_plan=self._plan,
                    dagster_run=self.run,
                    instance=self._instance,
                    run_config=CONFIG,
                    executor_defs=None,
                    output_capture=None,
                    raise_on_error=False,
                ),
            )
        )

    def cancel(self) -> None:
        """Tell Dagster that a person asked to end the run; its end is then "canceled"."""
        run = self._instance.get_run_by_id(self.run.run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceling(run, "A person pressed Ctrl-C.")
