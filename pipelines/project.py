"""Where a project keeps its things. Places never decide a result; they stay out of identity."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Project:
    """The folders of one project.

    ``root`` holds ``recipes/``; ``home`` (``DRAGON_HOME``, else ``.dragon``) holds what may be
    lost without losing lineage: Dagster's and MLflow's databases and downloaded packages;
    ``store`` (``DRAGON_STORE``, else ``assets_store``) holds the artefacts.
    """

    root: Path
    home: Path
    store: Path

    @classmethod
    def here(cls) -> Project:
        """The project of the working folder, else the checkout that this code lies in."""
        working = Path.cwd()
        root = working if (working / "recipes").is_dir() else CHECKOUT
        home = Path(os.environ.get("DRAGON_HOME") or root / ".dragon")
        store = Path(os.environ.get("DRAGON_STORE") or root / "assets_store")
        return cls(root, home.resolve(), store.resolve())

    @property
    def recipes(self) -> Path:
        """The folder of recipes."""
        return self.root / "recipes"

    @property
    def downloads(self) -> Path:
        """Where downloaded packages and files that serve as data are kept."""
        return self.home / "downloads"

    @property
    def workers(self) -> int:
        """Processes for work that can be shared out (``DRAGON_WORKERS``); no result depends on it.

        One by default: the bulk encoder uses all cores from within one process.
        """
        told = os.environ.get("DRAGON_WORKERS", "1")
        if not told.isdecimal() or int(told) < 1:
            raise ValueError(f"DRAGON_WORKERS={told}: give a number of processes, 1 or more")
        return int(told)

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artefacts."""
        return self.home / "mlflow"

    def prepare_dagster(self) -> Path:
        """The folder for DAGSTER_HOME, given the project's ``dagster.yaml`` the first time.

        Raises ValueError for a home where Dagster's and MLflow's databases cannot be.
        """
        _require_an_address(self.home)
        folder = self.home / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "dagster.yaml"
        if not settings.exists():
            shutil.copyfile(CHECKOUT / "dagster.yaml", settings)
        os.environ["DAGSTER_HOME"] = str(folder)
        return folder


def _require_an_address(home: Path) -> None:
    """Raise ValueError for a folder that no database address can name.

    Dagster and MLflow write a database's path into an address as it is, and read it as one.
    """
    found = sorted({mark for mark in str(home) if mark in "%?" or "\ud800" <= mark <= "\udfff"})
    if found:
        raise ValueError(
            f"{str(home)!r}: Dagster and MLflow keep no database in a folder with"
            f" {' or '.join(map(repr, found))} in its path; move the project, or set DRAGON_HOME"
            " to another folder"
        )


@cache
def environment() -> dict[str, Any]:
    """What surrounded the work but did not decide it: commit, Python, processor, cores."""
    ours = Path(_git("rev-parse", "--show-toplevel") or "/") == CHECKOUT  # not somebody else's
    commit = _git("rev-parse", "HEAD") if ours else None
    return {
        "git_commit": commit,
        "git_dirty": bool(_git("status", "--porcelain")) if commit else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


def _git(*arguments: str) -> str | None:
    """A git answer about the checkout, or None where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
