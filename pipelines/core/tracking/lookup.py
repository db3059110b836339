"""The addresses of MLflow's pages for a version, found by MLflow's REST interface.

A request costs milliseconds, while the import of mlflow costs seconds. So the page server uses this
module. Pure Python.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import urllib.parse
import urllib.request
from typing import Any

OURS, NAME = "dragon.experiment", "dragon"  # the tag and the name of our experiment
TRAINING = "workflowType=machine_learning"  # else MLflow opens its pages about agents
SECONDS = 5.0
VERSION = re.compile(r"[0-9a-f]{64}")


def bare(mlflow: str) -> str:
    """MLflow's address without a user and a password."""
    parts = urllib.parse.urlsplit(mlflow)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def runs_page(mlflow: str) -> str:
    """The page with all our runs. Raises OSError if MLflow does not answer."""
    experiments = _experiments(mlflow)
    if not experiments:
        return f"{bare(mlflow)}/#/experiments?{TRAINING}"
    return f"{bare(mlflow)}/#/experiments/{experiments[0]}/runs?{TRAINING}"


def version_page(mlflow: str, key: str, version: str) -> str | None:
    """The page of the run that made a version; None if MLflow has no such run.

    If the version was made under another key, it is that run. Raises OSError if MLflow does not
    answer.
    """
    return _page(mlflow, "runs", key, version)


def model_page(mlflow: str, key: str, version: str) -> str | None:
    """The page of the model with a version; None if MLflow has none. Raises OSError."""
    return _page(mlflow, "logged-models", key, version)


def _page(mlflow: str, kind: str, key: str, version: str) -> str | None:
    experiments = _experiments(mlflow)
    if not VERSION.fullmatch(version) or not experiments:
        return None
    query = f"tags.`dragon.version` = '{version}'"
    asked = {"experiment_ids": experiments, "filter": query, "max_results": 50}
    found = _ask(mlflow, f"{kind}/search", asked)
    if kind == "runs":
        entries = [(run["info"], run["data"].get("tags", [])) for run in found.get("runs", [])]
        place, name = "runs", "run_id"
    else:
        entries = [(m["info"], m["info"].get("tags", [])) for m in found.get("models", [])]
        place, name = "models", "model_id"
    ours = [info for info, tags in entries if {"key": "dragon.key", "value": key} in tags]
    for info in ours or [info for info, _ in entries]:
        where = f"{bare(mlflow)}/#/experiments/{_quoted(info['experiment_id'])}"
        return f"{where}/{place}/{_quoted(info[name])}?{TRAINING}"
    return None


def _experiments(mlflow: str) -> list[str]:
    """The ids of our experiments, the one with our name first."""
    found = _ask(mlflow, "experiments/search", {"max_results": 1000})
    ours = [
        known
        for known in found.get("experiments", [])
        if known["name"] == NAME or OURS in {tag["key"] for tag in known.get("tags", [])}
    ]
    return [str(k["experiment_id"]) for k in sorted(ours, key=lambda k: k["name"] != NAME)]


def _ask(mlflow: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """MLflow's answer. Raises OSError if it does not answer, or answers as no MLflow does."""
    headers = {"Content-Type": "application/json", **_credentials(mlflow)}
    address = f"{bare(mlflow)}/api/2.0/mlflow/{path}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with _opener(mlflow).open(request, timeout=SECONDS) as answer:
            found = json.load(answer)
    except (ValueError, http.client.HTTPException) as error:  # another program answers there
        raise OSError(f"it does not answer as MLflow does ({error})") from None
    if not isinstance(found, dict):
        raise OSError("it does not answer as MLflow does")
    return found


def _credentials(mlflow: str) -> dict[str, str]:
    """The header that proves who asks: from MLflow's own variables, or from the address."""
    parts, known = urllib.parse.urlsplit(mlflow), os.environ.get
    if token := known("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = known("MLFLOW_TRACKING_USERNAME") or urllib.parse.unquote(parts.username or "")
    password = known("MLFLOW_TRACKING_PASSWORD") or urllib.parse.unquote(parts.password or "")
    if not user:
        return {}
    coded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {coded}"}


def _opener(mlflow: str) -> urllib.request.OpenerDirector:
    """An opener that asks a server of this machine directly, without a proxy."""
    host = urllib.parse.urlsplit(mlflow).hostname
    local = host in ("127.0.0.1", "localhost", "::1")
    handlers = [urllib.request.ProxyHandler({})] if local else []
    return urllib.request.build_opener(*handlers)


def _quoted(part: Any) -> str:
    return urllib.parse.quote(str(part), safe="")
