"""Runs of MLflow: one for each materialization, under a parent for its Dagster run.

The parent is RUNNING until the Dagster run ends, and ends as that did. Its name says the recipe,
the time and, at the end, the first figure that was measured.
"""

from __future__ import annotations

import contextlib
import getpass
import time

from pipelines.core.tracking.names import text
from pipelines.core.tracking.server import (
    ATTEMPT,
    DAGSTER,
    DERIVATION,
    KEY,
    NOTE,
    RECIPE,
    VERSION,
    Run,
    Server,
    asked,
    datasets,
    metrics,
    tagged,
)
from pipelines.core.tracking.spool import Line

ENDED = "dragon.ended"  # how the Dagster run ended; a step that is sent later changes it no more
HEADLINE, FIGURE, LEADS = "dragon.headline", "dragon.figure", "dragon.leads"


def create_run(server: Server, start: Line, *, alive: bool) -> Run:
    """Create a run under its parent; the parent of a living attempt is RUNNING too."""
    about = start.get("about", {})
    parent = _parent_of(server, start, alive=alive)
    tags = {
        "mlflow.parentRunId": parent.info.run_id,
        "mlflow.runName": text(start["key"], 250),
        KEY: start["key"],
        DERIVATION: start["derivation"],
        ATTEMPT: start["attempt"],
        DAGSTER: start["dagster_run"],
        RECIPE: about.get("recipe", ""),
        NOTE: about.get("note", ""),
        "mlflow.source.name": about.get("source", ""),
        "mlflow.source.type": "LOCAL" if about.get("source") else "",
        "mlflow.source.git.commit": about.get("commit", ""),
        "mlflow.user": _user(),
    }
    tags = {name: text(value) for name, value in tags.items() if value}
    experiment = parent.info.experiment_id
    if asked(server.client.get_experiment, experiment).lifecycle_stage != "active":
        experiment = server.experiment()
    return asked(server.client.create_run, experiment, start["time"], tags=tags)


def end_run(server: Server, run_id: str, start: Line, status: str, when: int) -> None:
    """End a run. A failure shows at the parent too, until another step of it begins."""
    asked(server.client.set_terminated, run_id, status, when)
    parent = _parent(server, start["dagster_run"])
    if parent is None:
        return
    if ended := parent.data.tags.get(ENDED):
        _close(server, parent, ended, max(when, parent.info.end_time or 0))
    elif status != "FINISHED" and (parent.info.end_time or 0) <= when:
        asked(server.client.set_terminated, parent.info.run_id, status, when)


def finish_parent(server: Server, ended: Line) -> bool:
    """End the parent as its Dagster run ended, whose first figures it then has.

    False if there is no parent.
    """
    parent = _parent(server, ended["dagster_run"])
    if parent is None:
        return False
    asked(server.client.set_tag, parent.info.run_id, ENDED, ended["status"])
    _close(server, parent, ended["status"], ended["time"])
    return True


def _close(server: Server, parent: Run, status: str, when: int) -> None:
    parent_id = parent.info.run_id
    under = server.runs(f"tags.`mlflow.parentRunId` = '{parent_id}'")
    steps = [step for step in under if KEY in step.data.tags]  # a person may put runs there too
    told = sorted((s for s in steps if HEADLINE in s.data.tags), key=lambda s: s.info.start_time)
    figures = {
        f"{step.data.tags[KEY].rpartition('/')[2]}/{name}": step.data.metrics[name]
        for step in told
        if (name := step.data.tags.get(FIGURE, "")) in step.data.metrics
    }
    if figures:
        asked(server.client.log_batch, parent_id, metrics=metrics(figures, when, 0))
    if read := _read_by(steps):
        asked(server.client.log_inputs, parent_id, datasets(read))
    leading = [step for step in told if LEADS in step.data.tags] or told
    tags, started = parent.data.tags, parent.info.start_time
    recipe, dagster_run = tags.get(RECIPE, ""), tags.get(DAGSTER, "")
    # A person may have given it another name.
    if leading and parent.info.run_name == _named(recipe, dagster_run, started):
        name = _named(recipe, dagster_run, started, leading[0].data.tags[HEADLINE])
        asked(server.client.update_run, parent_id, name=name)
    asked(server.client.set_terminated, parent_id, status, when)


def _read_by(steps: list[Run]) -> dict[str, str]:
    """The versions that a Dagster run began with, by key: its sources, and what it reused."""
    made = {step.data.tags[KEY]: step.data.tags.get(VERSION, "") for step in steps}
    inputs = {step.data.tags[KEY]: _inputs_of(step) for step in steps}
    sources = {key: version for key, version in made.items() if version and not inputs[key]}
    reused = {key: version for read in inputs.values() for key, version in read.items()}
    return sources | {key: version for key, version in reused.items() if key not in made}


def _inputs_of(step: Run) -> dict[str, str]:
    """The versions that a run read, by key."""
    read = {}
    for given in step.inputs.dataset_inputs if step.inputs else ():
        tags = {tag.key: tag.value for tag in given.tags}
        read[given.dataset.name] = tags.get(VERSION, given.dataset.digest)
    return read


def _parent_of(server: Server, start: Line, *, alive: bool) -> Run:
    """The parent of a run; it is created if there is none, and RUNNING while a step lives."""
    with server.alone():
        parent = _parent(server, start["dagster_run"])
        if parent is None:
            return _create_parent(server, start)
    if alive and parent.info.status != "RUNNING" and ENDED not in parent.data.tags:
        asked(server.client.update_run, parent.info.run_id, status="RUNNING")
    return parent


def _create_parent(server: Server, start: Line) -> Run:
    about, dagster_run = start.get("about", {}), start["dagster_run"]
    recipe = about.get("recipe", "")
    tags = {
        DAGSTER: dagster_run,
        "kind": "dagster",
        "mlflow.runName": _named(recipe, dagster_run, start["time"]),
        RECIPE: recipe,
        NOTE: about.get("run_note", ""),
        "mlflow.source.name": f"recipes/{recipe}" if recipe else "",
        "mlflow.source.git.commit": about.get("commit", ""),
        "mlflow.user": _user(),
    }
    tags = {tag.key: tag.value for tag in tagged(tags)}
    return asked(server.client.create_run, server.experiment(), start["time"], tags=tags)


def _named(recipe: str, dagster_run: str, when: int, headline: str = "") -> str:
    """``chat · 1.576 bits per byte · 2026-11-29 20:45``, in this machine's time.

    A run without a recipe has its id in place of the recipe and the time.
    """
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(when / 1000))
    parts = (recipe, headline, date) if recipe else (f"run {dagster_run[:8]}", headline)
    return text(" · ".join(part for part in parts if part), 250)


def _parent(server: Server, dagster_run: str) -> Run | None:
    """The run that stands for a Dagster run, or None; deleted runs do not count."""
    runs = server.runs(f"tags.`{DAGSTER}` = '{dagster_run}' and tags.kind = 'dagster'")
    return runs[0] if runs else None


def _user() -> str:
    with contextlib.suppress(KeyError, OSError, ImportError):
        return text(getpass.getuser(), 250)
    return ""
