"""MLflow's folder for tests of the tracker."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from pipelines.core import tracking
from pipelines.core.tracking import Tracker


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """MLflow's folder with its tables and nothing in them; making them takes seconds."""
    folder = tmp_path_factory.mktemp("template") / "mlflow"
    Tracker(folder).initialise()
    return folder


@pytest.fixture(scope="session")
def copied(template):
    """Copies the template; files of runs then lie in the copy."""

    def copy(folder: Path) -> Path:
        shutil.copytree(template, folder)
        with sqlite3.connect(folder / "mlflow.db") as database:
            place = (folder / "artifacts").as_uri()
            database.execute("UPDATE experiments SET artifact_location = ?", [place])
        database.close()
        return folder

    return copy


@pytest.fixture
def folder(copied, tmp_path):
    return copied(tmp_path / "mlflow")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is no MLflow that does not answer."""
    monkeypatch.setattr(tracking, "PATIENCE", 120.0)
