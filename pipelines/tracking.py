"""MLflow: one run per materialization, under a parent run per Dagster run.

The only module that imports mlflow, and only once something is really computed. Tracking never
costs training: when MLflow fails, a warning is logged once and the work goes on; lineage does
not need it (docs/adr/0001).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("dragon.tracking")

EXPERIMENT = "dragon"
BATCH = 100  # points a call: one call a point costs MLflow on SQLite 30 ms each
FLUSH_SECONDS = 10.0
DIGEST_LENGTH = 36  # the widest digest that MLflow's dataset table holds
PARAMETER_LENGTH = 6000
SETTINGS = {  # to be made before mlflow is imported
    "MLFLOW_DISABLE_TELEMETRY": "true",  # what a person does here is told to nobody
    # By its own defaults MLflow would hold up a step for minutes when its server is gone.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
KEY, DERIVATION, VERSION, DAGSTER = (
    "dragon.key",
    "dragon.derivation",
    "dragon.version",
    "dagster.run_id",
)


@dataclass
class TrackedRun:
    """The MLflow run of one materialization; every method is safe when MLflow is not."""

    client: MlflowClient | None
    run_id: str = ""
    experiment_id: str = ""
    points: list[Any] = field(default_factory=list)
    flushed: float = field(default_factory=time.monotonic)

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the run's curves; they are sent in batches."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.points += [Metric(name, float(v), now, step) for name, v in values.items()]
        if len(self.points) >= BATCH or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self._send(self.points)
            self.points, self.flushed = [], time.monotonic()

    def finish(self, key: str, version: str, figures: Mapping[str, float], *, model: bool) -> None:
        """Tag the run with the version, link a model to it and log the final figures."""
        self._send(self.points)
        if self.client is None:
            return
        from mlflow.entities import Metric

        with self._forgiving():
            self.client.set_tag(self.run_id, VERSION, version)
            model_id = self._external_model(key, version) if model else None
            now = int(time.time() * 1000)
            metrics = [
                Metric(name, float(v), now, 0, model_id=model_id, run_id=self.run_id)
                for name, v in figures.items()
            ]
            self.client.log_batch(self.run_id, metrics=metrics)

    def _external_model(self, key: str, version: str) -> str:
        """A model that MLflow knows by version; its weights stay in the store."""
        from mlflow.entities.logged_model_status import LoggedModelStatus

        assert self.client is not None
        model = self.client.create_logged_model(
            experiment_id=self.experiment_id,
            name=f"{key.replace('/', '-')}-{version[:12]}",
            source_run_id=self.run_id,
            tags={KEY: key, VERSION: version, "mlflow.model.isExternal": "true"},
            model_type=key.split("/")[0],
        )
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_id)

    def _send(self, points: list[Any]) -> None:
        if self.client is None or not points:
            return
        with self._forgiving():
            for start in range(0, len(points), 1000):
                self.client.log_batch(self.run_id, metrics=points[start : start + 1000])

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # any fault of the tracker: the weights matter more
            log.warning("MLflow failed (%s); going on without it", _first_line(error))
            self.client = None


class Tracker:
    """MLflow's database and artefacts under one folder, or a server at ``uri``."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        self.artifacts = (folder / "artifacts").as_uri()
        self._experiment: tuple[MlflowClient, str] | None = None
        self._failed = False  # once it failed, no later step waits for it again

    @contextlib.contextmanager
    def run(
        self,
        key: str,
        derivation: str,
        dagster_run: str,
        decides: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> Iterator[TrackedRun]:
        """A run for one materialization: parameters and inputs at once, the rest as it comes.

        ``inputs`` maps asset keys to versions; each becomes a dataset whose digest is the
        version (its first 36 characters, the whole of it as a tag).
        """
        tracked = TrackedRun(None)
        if self._failed:
            yield tracked
            return
        try:
            client, experiment_id = self._ready()
            parent = self._parent(client, experiment_id, dagster_run)
            self._end_killed(client, experiment_id, derivation)
            tags = {
                "mlflow.parentRunId": parent,
                "mlflow.runName": key,
                KEY: key,
                DERIVATION: derivation,
                DAGSTER: dagster_run,
            }
            run_id = client.create_run(experiment_id, tags=tags).info.run_id
            tracked = TrackedRun(client, run_id, experiment_id)
            parameters = _parameters(decides)
            for start in range(0, len(parameters), 100):  # MLflow takes no more at once
                client.log_batch(run_id, params=parameters[start : start + 100])
            client.log_inputs(run_id, datasets=_datasets(inputs))
        except Exception as error:
            self._failed = True
            log.warning("MLflow failed (%s); going on without it", _first_line(error))
        status = "FAILED"
        try:
            yield tracked
            status = "FINISHED"
        finally:
            if tracked.run_id:
                with contextlib.suppress(Exception):
                    # The parent ends with its newest child; the next child opens it again.
                    client.set_terminated(tracked.run_id, status)
                    client.set_terminated(parent, status)

    def initialise(self) -> None:
        """Create the database once: two processes that migrate it together break it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.uri.startswith("sqlite"):
            return
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / "ready").exists():
                self._client().search_experiments()
                (self.folder / "ready").touch()

    def _ready(self) -> tuple[MlflowClient, str]:
        if self._experiment is None:
            self.initialise()
            client = self._client()
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = client.get_experiment_by_name(EXPERIMENT)
                experiment_id = (
                    known.experiment_id
                    if known
                    else client.create_experiment(EXPERIMENT, artifact_location=self.artifacts)
                )
            self._experiment = (client, experiment_id)
        return self._experiment

    def _client(self) -> MlflowClient:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow.store"):  # how they made their tables is not our news
            logging.getLogger(name).setLevel(logging.WARNING)

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _parent(self, client: MlflowClient, experiment_id: str, dagster_run: str) -> str:
        """The run that stands for a Dagster run: found by its tag, else made."""
        name = f"run {dagster_run[:8]}"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = client.search_runs(
                [experiment_id], f"tags.`{DAGSTER}` = '{dagster_run}' and tags.kind = 'dagster'"
            )
            if found:
                client.update_run(found[0].info.run_id, status="RUNNING")
                return str(found[0].info.run_id)
            tags = {DAGSTER: dagster_run, "kind": "dagster", "mlflow.runName": name}
            return str(client.create_run(experiment_id, tags=tags).info.run_id)

    def _end_killed(self, client: MlflowClient, experiment_id: str, derivation: str) -> None:
        """Runs of this derivation that still claim to run died: its lock is ours now."""
        for run in client.search_runs(
            [experiment_id],
            f"tags.`{DERIVATION}` = '{derivation}' and attributes.status = 'RUNNING'",
        ):
            client.set_terminated(run.info.run_id, "KILLED")
            parent = client.get_run(run.data.tags["mlflow.parentRunId"])
            if parent.info.status == "RUNNING":
                client.set_terminated(parent.info.run_id, "KILLED")


def _parameters(decides: Mapping[str, Any]) -> list[Any]:
    """What decides a result as flat parameters; a value too long is named by its digest."""
    from mlflow.entities import Param

    from pipelines.identity import digest

    params = []
    for name, value in _flat(decides):
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text) > PARAMETER_LENGTH:
            text = f"sha256 {digest(value)} of {len(text)} characters"
        params.append(Param(name, text))
    return params


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _datasets(inputs: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=key,
                digest=version[:DIGEST_LENGTH],
                source_type="dragon",
                source=json.dumps({"uri": f"{key}/{version}"}),
            ),
            [InputTag("mlflow.data.context", "training"), InputTag(VERSION, version)],
        )
        for key, version in inputs.items()
    ]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
