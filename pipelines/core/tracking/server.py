"""MLflow as we use it: experiments, runs, models and the meaning of its errors.

This is the only module that imports mlflow. Any error of a call to MLflow means that MLflow is
away, because it raises errors of every class when its database or server is gone. Such a call
computes nothing of ours, so a bug of ours is never taken for an MLflow that is away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipelines.core.tracking.names import masked, text
from pipelines.core.tracking.quiet import be_quiet
from pipelines.core.tracking.spool import Line

be_quiet()  # before mlflow is imported, whoever imports this

# Imported now, because a thread that imports may lock another.
import mlflow.store.artifact.local_artifact_repo  # noqa: E402
import mlflow.store.artifact.mlflow_artifacts_repo  # noqa: E402
import mlflow.store.db.utils  # noqa: E402
import mlflow.store.model_registry.sqlalchemy_store  # noqa: E402
import mlflow.store.tracking.rest_store  # noqa: E402
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.db.utils import create_sqlalchemy_engine  # noqa: E402

__all__ = ["LoggedModel", "LoggedModelStatus", "Run"]

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
ROOT = "dragon.lineage_root"
RECIPE, NOTE = "dragon.recipe", "mlflow.note.content"  # a note is a description in Markdown
EXPERIMENT_TAGS = {
    OURS: EXPERIMENT,
    "mlflow.experimentKind": "custom_model_development",  # the pages for trainings, not for agents
    NOTE: "One run per asset that dragon made, under one run per Dagster run. Lineage does not need"
    " any of it: the store has that.",
}
AT_ONCE = 1000  # metrics a call; MLflow does not take more
DIGEST_LENGTH = 36  # the widest digest that MLflow's dataset table holds
T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT)


# MLflow's own retries would delay a step for minutes if its database cannot be opened. We retry
# later instead.
mlflow.store.db.utils.MAX_RETRY_COUNT = 1


class AwayError(OSError):
    """MLflow does not work now; a later try may succeed."""


class UnableError(AwayError):
    """MLflow answers but fails at a call, for example because a folder is not writable."""


class RefusedError(UnableError):
    """MLflow answers but refuses the values of a call."""


class GoneError(UnableError):
    """MLflow does not find something that it had before."""


class DeletedError(Exception):
    """Somebody deleted the run on MLflow's page."""


KINDS = {
    "INVALID_PARAMETER_VALUE": RefusedError,
    "RESOURCE_DOES_NOT_EXIST": GoneError,
    "TEMPORARILY_UNAVAILABLE": AwayError,  # also a database that is locked, or whose disk is full
    "REQUEST_LIMIT_EXCEEDED": AwayError,
}


def asked(call: Callable[..., T], *given: Any, **named: Any) -> T:
    """Call MLflow and return its answer. Raises AwayError or one of its subclasses."""
    try:
        return call(*given, **named)
    except MlflowException as error:
        raise KINDS.get(error.error_code, UnableError)(first_line(error)) from error
    except (ConnectionError, TimeoutError) as error:
        raise AwayError(first_line(error)) from error
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno in FULL
        raise (AwayError if is_full else UnableError)(first_line(error)) from error


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

    def __init__(self, uri: str, artifacts: str | None, turn: Path | None = None) -> None:
        self.client = asked(MlflowClient, tracking_uri=uri, registry_uri=uri)
        self.artifacts = artifacts
        self.turn = turn  # a file that is locked while something is made that must be there once

    def experiment(self) -> str:
        """The experiment for new runs. A renamed one is found; a deleted one stays deleted."""
        everything = self._experiments()
        active = [known for known in everything if known.lifecycle_stage == "active"]
        if active:
            chosen = next((known for known in active if known.name == EXPERIMENT), active[0])
            for name, value in EXPERIMENT_TAGS.items():
                if name not in chosen.tags:
                    asked(self.client.set_experiment_tag, chosen.experiment_id, name, value)
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
        return asked(
            self.client.create_experiment, name, self.artifacts, tags=dict(EXPERIMENT_TAGS)
        )

    def prepare(self) -> None:
        """Make our experiment in new tables, and delete the empty one that MLflow puts there."""
        known = asked(self.client.search_experiments, view_type=ViewType.ALL)
        self.experiment()
        if [(e.name, e.experiment_id) for e in known] == [("Default", "0")]:
            asked(self.client.delete_experiment, "0")

    def places(self) -> list[str]:
        """The ids of the experiments that have or had our runs."""
        return [str(known.experiment_id) for known in self._experiments()]

    def _experiments(self) -> list[Experiment]:
        """All experiments that were ever made for our runs, the oldest first."""
        everything = asked(self.client.search_experiments, view_type=ViewType.ALL)
        ours = [known for known in everything if known.name == EXPERIMENT or OURS in known.tags]
        return sorted(ours, key=lambda known: (known.creation_time or 0, known.experiment_id))

    def runs(self, query: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        """Our runs that match the query, in any of our experiments."""
        experiments = self.places()
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

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of this project away while something is looked for and then made.

        Without it two steps that begin together would each make a parent for their Dagster run.
        """
        if self.turn is None:
            yield
            return
        with self.turn.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def metrics(
    values: Mapping[str, float],
    when: int,
    step: int,
    model: str | None = None,
    run_id: str | None = None,
    dataset: tuple[str | None, str | None] = (None, None),
) -> list[Metric]:
    """The points of one moment by name, for a run's curve or for a model.

    ``dataset`` is the name and the digest of what they were measured on.
    """
    name_of, digest = dataset
    return [
        Metric(name, value, when, step, model, name_of, digest, run_id)
        for name, value in values.items()
    ]


def dataset_of(inputs: Mapping[str, str], key: str) -> tuple[str | None, str | None]:
    """The name and the digest of an input as ``datasets`` gives them; None twice without it."""
    if not inputs.get(key):
        return None, None
    return text(key, 500), inputs[key][:DIGEST_LENGTH]


def tagged(values: Mapping[str, str]) -> list[RunTag]:
    """The tags by name; an empty one is left out."""
    return [RunTag(name, value) for name, value in values.items() if value]


def models_read(ids: Iterable[str]) -> list[LoggedModelInput]:
    """Models as inputs of a run."""
    return [LoggedModelInput(model) for model in ids]


def models_made(ids: Iterable[str]) -> list[LoggedModelOutput]:
    """Models as outputs of a run."""
    return [LoggedModelOutput(model, step=0) for model in ids]


def params(values: Mapping[str, str]) -> list[Param]:
    """The parameters by name."""
    return [Param(name, value) for name, value in values.items()]


def datasets(inputs: Mapping[str, str], context: str = "training") -> list[DatasetInput]:
    """The inputs by key. The digest is the version's first 36 characters; a tag has all 64.

    ``context`` says what they were read for.
    """
    return [
        DatasetInput(
            Dataset(
                name=text(key, 500),
                digest=version[:DIGEST_LENGTH],
                source_type="dragon",
                source=json.dumps({"uri": text(f"{key}/{version}")}),
            ),
            [InputTag("mlflow.data.context", context), InputTag(VERSION, text(version, 500))],
        )
        for key, version in inputs.items()
    ]
