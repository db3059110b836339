"""Models in MLflow: what was trained, its figures and files, and its versions in the registry.

The weights stay in the store. A model is found by the attempt that made it, or by its key and
version. The registered model of ``chat/foundation`` is ``chat-foundation``; it has one version for
each version of the store, and the aliases ``current`` and ``previous``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.core.tracking.names import text
from pipelines.core.tracking.server import (
    ATTEMPT,
    DERIVATION,
    KEY,
    NOTE,
    RECIPE,
    ROOT,
    VERSION,
    GoneError,
    LoggedModel,
    LoggedModelStatus,
    Run,
    Server,
    asked,
    models_made,
)
from pipelines.core.tracking.spool import Line

SINCE = "dragon.current_since"  # the time of the line that moved the aliases last
_FINDABLE = re.compile(r"[\w./ -]+")  # safe inside MLflow's queries


def find_model(server: Server, key: str, version: str) -> LoggedModel | None:
    """The newest model of a key with this version in MLflow, or None."""
    places = server.places()
    if not places or not (_FINDABLE.fullmatch(key) and _FINDABLE.fullmatch(version)):
        return None
    query = f"tags.`{KEY}` = '{key}' AND tags.`{VERSION}` = '{version}'"
    models = asked(server.client.search_logged_models, places, query)
    return models[0] if models else None


def make_model(
    server: Server, run: Run, start: Line, line: Line, params: Mapping[str, str]
) -> LoggedModel:
    """The model that an attempt made, with its parameters, as an output of its run."""
    client, experiment = server.client, run.info.experiment_id
    query = f"tags.`{ATTEMPT}` = '{start['attempt']}'"
    known = asked(client.search_logged_models, [experiment], query)
    key, version = start["key"], line["version"]
    tags = {
        KEY: text(key),
        VERSION: text(version),
        DERIVATION: text(start["derivation"]),
        ATTEMPT: start["attempt"],
        ROOT: line.get("result", {}).get("lineage_root", ""),
        RECIPE: start.get("about", {}).get("recipe", ""),
        NOTE: line.get("result", {}).get("note", ""),
        "mlflow.model.isExternal": "true",
    }
    model: LoggedModel = (
        known[0]
        if known
        else asked(
            client.create_logged_model,
            experiment_id=experiment,
            name=re.sub(r"[^\w -]", "-", f"{key[:200]}-{version[:12]}"),
            source_run_id=run.info.run_id,
            tags={name: value for name, value in tags.items() if value},
            params=dict(params),
            model_type=text(key.rpartition("/")[2], 250),
        )
    )
    asked(client.finalize_logged_model, model.model_id, LoggedModelStatus.READY)
    outputs = asked(client.get_run, run.info.run_id).outputs
    if model.model_id not in {made.model_id for made in (outputs and outputs.model_outputs) or ()}:
        asked(client.log_outputs, run.info.run_id, models_made([model.model_id]))
    return model


def register(server: Server, model: LoggedModel, start: Line, line: Line) -> None:
    """Make the version of a model a version of the registered model, and the current one."""
    client, name = server.client, _registered(start["key"])
    with server.alone():
        found = _find_registered(server, name)
        if found is None:
            note = f"The models of `{start['key']}`, one version for each version of the store."
            tags = {KEY: text(start["key"])}
            found = asked(client.create_registered_model, name, tags=tags, description=note)
        number = _number(server, name, line["version"])
        if number is None:
            root = line.get("result", {}).get("lineage_root", "")
            tags = {
                KEY: text(start["key"]),
                VERSION: text(line["version"]),
                DERIVATION: text(start["derivation"]),
                **({ROOT: root} if root else {}),
                **line.get("facts", {}),
            }
            made = asked(
                client.create_model_version,
                name,
                model.artifact_location,
                run_id=model.source_run_id,
                tags=tags,
                description=line.get("result", {}).get("note", "") or None,
                await_creation_for=None,
                model_id=model.model_id,
            )
            number = str(made.version)
        linked = json.dumps([{"name": name, "version": number}])
        asked(client.set_logged_model_tags, model.model_id, {"mlflow.modelVersions": linked})
        _point(server, found, number, line["time"])


def make_current(server: Server, line: Line) -> None:
    """Move the aliases to a version that was made before, unless they were moved later."""
    name = _registered(line["key"])
    with server.alone():
        found = _find_registered(server, name)
        number = None if found is None else _number(server, name, line["version"])
        if number is not None:
            _point(server, found, number, line["time"])


def aliased(server: Server) -> dict[tuple[str, str], list[str]]:
    """The aliases, as ``model@alias``, by the derivation and the version that they lead to."""
    found: dict[tuple[str, str], list[str]] = {}
    client = server.client
    token: str | None = None
    while True:
        page = asked(client.search_registered_models, max_results=100, page_token=token)
        for model in page:
            for alias in model.aliases:
                to = asked(client.get_model_version_by_alias, model.name, alias).tags
                mark = to.get(DERIVATION, ""), to.get(VERSION, "")
                found.setdefault(mark, []).append(f"{model.name}@{alias}")
        token = page.token
        if not token:
            return found


def tell(server: Server, model: LoggedModel, key: str, headline: str) -> None:
    """Show an evaluation's first figure at the model and at its version in the registry."""
    asked(server.client.set_logged_model_tags, model.model_id, {key: headline})
    name = _registered(model.tags[KEY])
    if _find_registered(server, name) is not None:
        number = _number(server, name, model.tags[VERSION])
        if number is not None:
            asked(server.client.set_model_version_tag, name, number, key, headline)


def tags_of(server: Server, target: str) -> dict[str, str]:
    """The tags of ``runs:/RUN``, of a logged model or of a version of a registered model.

    Raises GoneError if MLflow has none of this name.
    """
    kind, _, name = target.partition(":/")
    registered, slash, number = name.partition("/")
    if kind == "runs":
        return dict(asked(server.client.get_run, registered).data.tags)
    if "@" in name:
        registered, _, alias = name.partition("@")
        return dict(asked(server.client.get_model_version_by_alias, registered, alias).tags)
    if slash:
        return dict(asked(server.client.get_model_version, registered, number).tags)
    return dict(asked(server.client.get_logged_model, name).tags)


def attach(server: Server, run_id: str, models: list[str], files: list[Path]) -> None:
    """Put files beside a run and models; a file that is there already is written anew."""
    for path in files:
        asked(server.client.log_artifact, run_id, str(path))
        for model in models:
            asked(server.client.log_model_artifact, model, str(path))


def _registered(key: str) -> str:
    """The name of a registered model, which may not have ``/`` and ``:``."""
    return re.sub(r"[^\w .-]", "-", key)[:200]


def _find_registered(server: Server, name: str) -> Any:
    try:
        return asked(server.client.get_registered_model, name)
    except GoneError:
        return None


def _number(server: Server, name: str, version: str) -> str | None:
    """The number of a store's version in the registry, or None."""
    versions = asked(server.client.search_model_versions, f"name = '{name}'")
    return next((str(v.version) for v in versions if v.tags.get(VERSION) == version), None)


def _point(server: Server, registered: Any, number: str, when: int) -> None:
    """Let ``current`` lead to a version and ``previous`` to the one that it led to before."""
    since = registered.tags.get(SINCE, "0")
    if since.isdecimal() and int(since) > when:
        return  # a line of an earlier time that is sent late
    client, name, before = server.client, registered.name, registered.aliases.get("current")
    if str(before) != number:
        if before is not None:
            asked(client.set_registered_model_alias, name, "previous", str(before))
        asked(client.set_registered_model_alias, name, "current", number)
    asked(client.set_registered_model_tag, name, SINCE, str(when))
