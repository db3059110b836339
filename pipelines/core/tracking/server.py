"""MLflow as we use it: experiments, runs, models and the meaning of its errors.

This is the only module that imports mlflow. Any error of a call to MLflow means that MLflow is
away, because it raises errors of every class when its database or server is gone. Such a call
computes nothing of ours, so a bug of ours is never taken for an MLflow that is away.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import mlflow.store.db.utils
import mlflow.store.tracking.rest_store  # imported now: a thread that imports may lock another
import mlflow.store.tracking.sqlalchemy_store
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    Metric,
    Param,
    Run,
    ViewType,
)
from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine

from pipelines.core.tracking.names import masked, text
from pipelines.core.tracking.spool import Line

log = logging.getLogger("dragon.tracking")

for _name, _level in (("alembic", logging.WARNING), ("mlflow.store", logging.CRITICAL)):
    # Hide how MLflow made its tables. We report a failure of its database in one line ourselves.
    logging.getLogger(_name).setLevel(_level)

EXPERIMENT = "dragon"
OURS = "dragon.experiment"  # this tag finds our experiment after somebody renamed it
KEY, DERIVATION, VERSION, ATTEMPT, DAGSTER = (
    "dragon.key",
    "dragon.derivation",
    "dragon.version",
    "dragon.attempt",
    "dagster.run_id",
)
AT_ONCE = 1000  # metrics a call; MLflow does not take more
DIGEST_LENGTH = 36  # the widest digest that MLflow's dataset table holds
T = TypeVar("T")


# MLflow's own retries would delay a step for minutes if its database cannot be opened. We retry
# later instead.
mlflow.store.db.utils.MAX_RETRY_COUNT = 1


class AwayError(OSError):
    """MLflow does not work now; a later try may succeed."""


class RefusedError(AwayError):
    """MLflow answers but refuses the values of a call."""


class GoneError(AwayError):
    """MLflow does not find something that it had before."""


class DeletedError(Exception):
    """Somebody deleted the run on MLflow's page."""


def asked(call: Callable[..., T], *given: Any, **named: Any) -> T:
    """Call MLflow and return its answer. Raises AwayError or one of its subclasses."""
    try:
        return call(*given, **named)
    except MlflowException as error:
        kinds = {"INVALID_PARAMETER_VALUE": RefusedError, "RESOURCE_DOES_NOT_EXIST": GoneError}
        raise kinds.get(error.error_code, AwayError)(first_line(error)) from error
    except Exception as error:
        raise AwayError(first_line(error)) from error


def first_line(error: Exception) -> str:
    """The first line of an error, at most 200 characters, without secrets of addresses."""
    return masked((str(error).splitlines() or [type(error).__name__])[0])[:200]


def make_tables(uri: str, *, upgrade: bool) -> None:
    """Make the tables that this MLflow needs in an SQLite database.

    With ``upgrade``, upgrade the tables of an older MLflow. Raises AwayError.
    """
    try:
        asked(asked(MlflowClient, uri, uri).search_experiments)
    except AwayError as error:
        if not upgrade or "out-of-date" not in str(error):
            raise
        asked(mlflow.store.db.utils._upgrade_db, asked(create_sqlalchemy_engine, uri))


class Server:
    """MLflow: a server or a local database."""

    def __init__(self, uri: str, artifacts: str | None) -> None:
        self.client = asked(MlflowClient, tracking_uri=uri, registry_uri=uri)
        self.artifacts = artifacts

    def experiment(self) -> str:
        """The experiment for new runs. A renamed one is found; a deleted one stays deleted."""
        everything = self._experiments()
        active = [known for known in everything if known.lifecycle_stage == "active"]
        if active:
            chosen = next((known for known in active if known.name == EXPERIMENT), active[0])
            if OURS not in chosen.tags:
                asked(self.client.set_experiment_tag, chosen.experiment_id, OURS, EXPERIMENT)
            return str(chosen.experiment_id)
        taken = {known.name for known in everything}
        names = (EXPERIMENT, *(f"{EXPERIMENT} {n + 2}" for n in range(len(taken))))
        name = next(name for name in names if name not in taken)
        if EXPERIMENT in taken:
            log.warning(
                "MLflow's experiment %s was deleted; new runs go to %r until it is restored",
                EXPERIMENT,
                name,
            )
        tags = {OURS: EXPERIMENT}
        return asked(self.client.create_experiment, name, self.artifacts, tags=tags)

    def _experiments(self) -> list[Experiment]:
        """All experiments that were ever made for our runs, the oldest first."""
        everything = asked(self.client.search_experiments, view_type=ViewType.ALL)
        ours = [known for known in everything if known.name == EXPERIMENT or OURS in known.tags]
        return sorted(ours, key=lambda known: (known.creation_time or 0, known.experiment_id))

    def runs(self, query: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        """Our runs that match the query, in any of our experiments."""
        experiments = [known.experiment_id for known in self._experiments()]
        if not experiments:
            return []
        return list(asked(self.client.search_runs, experiments, query, run_view_type=view))

    def attempt(self, start: Line) -> Run | None:
        """The run of an attempt, or None. Raises DeletedError if somebody deleted the run."""
        runs = self.runs(f"tags.`{ATTEMPT}` = '{start['attempt']}'", ViewType.ALL)
        if runs and runs[0].info.lifecycle_stage != "active":
            raise DeletedError
        return runs[0] if runs else None

    def is_deleted(self, run_id: str) -> bool:
        """Whether somebody deleted the run on MLflow's page."""
        return bool(asked(self.client.get_run, run_id).info.lifecycle_stage != "active")

    def create(self, start: Line, *, alive: bool) -> Run:
        """Create a run under its parent; the parent of a living attempt is RUNNING too."""
        parent = self._parent(start["dagster_run"])
        if parent is None:
            tags = {
                DAGSTER: start["dagster_run"],
                "kind": "dagster",
                "mlflow.runName": f"run {start['dagster_run'][:8]}",
            }
            experiment = self.experiment()
            parent = asked(self.client.create_run, experiment, start["time"], tags=tags)
        elif alive and parent.info.status != "RUNNING":
            asked(self.client.update_run, parent.info.run_id, status="RUNNING")
        tags = {
            "mlflow.parentRunId": parent.info.run_id,
            "mlflow.runName": text(start["key"], 250),
            KEY: start["key"],
            DERIVATION: start["derivation"],
            ATTEMPT: start["attempt"],
            DAGSTER: start["dagster_run"],
        }
        tags = {name: text(value) for name, value in tags.items()}
        experiment = parent.info.experiment_id
        if asked(self.client.get_experiment, experiment).lifecycle_stage != "active":
            experiment = self.experiment()
        return asked(self.client.create_run, experiment, start["time"], tags=tags)

    def end(self, run_id: str, start: Line, status: str, when: int) -> None:
        """End a run. Its parent ends with the newest child; the next child opens it again."""
        asked(self.client.set_terminated, run_id, status, when)
        parent = self._parent(start["dagster_run"])
        if parent is not None and (parent.info.end_time or 0) <= when:
            asked(self.client.set_terminated, parent.info.run_id, status, when)

    def _parent(self, dagster_run: str) -> Run | None:
        """The run that stands for a Dagster run, or None; deleted runs do not count."""
        runs = self.runs(f"tags.`{DAGSTER}` = '{dagster_run}' and tags.kind = 'dagster'")
        return runs[0] if runs else None

    def model(self, run: Run, start: Line, version: str) -> str:
        """The id of a model with this version in MLflow; its weights stay in the store."""
        experiment = run.info.experiment_id
        models = asked(
            self.client.search_logged_models,
            [experiment],
            f"tags.`{ATTEMPT}` = '{start['attempt']}'",
        )
        key = start["key"]
        tags = {
            KEY: text(key),
            VERSION: text(version),
            ATTEMPT: start["attempt"],
            "mlflow.model.isExternal": "true",
        }
        model = (
            models[0]
            if models
            else asked(
                self.client.create_logged_model,
                experiment_id=experiment,
                name=re.sub(r"[^\w -]", "-", f"{key[:200]}-{version[:12]}"),
                source_run_id=run.info.run_id,
                tags=tags,
                model_type=text(key.split("/")[0], 250),
            )
        )
        asked(self.client.finalize_logged_model, model.model_id, LoggedModelStatus.READY)
        return str(model.model_id)


def metrics(
    values: Mapping[str, float],
    when: int,
    step: int,
    model: str | None = None,
    run_id: str | None = None,
) -> list[Metric]:
    """The points of one moment by name, for a run's curve or for a model."""
    return [
        Metric(name, value, when, step, model_id=model, run_id=run_id)
        for name, value in values.items()
    ]


def params(values: Mapping[str, str]) -> list[Param]:
    """The parameters by name."""
    return [Param(name, value) for name, value in values.items()]


def datasets(inputs: Mapping[str, str]) -> list[DatasetInput]:
    """The inputs by key. The digest is the version's first 36 characters; a tag has all 64."""
    return [
        DatasetInput(
            Dataset(
                name=text(key, 500),
                digest=version[:DIGEST_LENGTH],
                source_type="dragon",
                source=json.dumps({"uri": text(f"{key}/{version}")}),
            ),
            [InputTag("mlflow.data.context", "training"), InputTag(VERSION, text(version, 500))],
        )
        for key, version in inputs.items()
    ]
