"""Where a project keeps its things. Places never decide a result; they stay out of identity."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

log = logging.getLogger("dragon")

CHECKOUT = Path(__file__).resolve().parents[2]


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
        """The folder for DAGSTER_HOME, with the project's ``dagster.yaml`` unless a person's.

        Raises ValueError for a home where Dagster's and MLflow's databases cannot be.
        """
        _require_an_address(self.home)
        folder = self.home / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        _renew(folder / "dagster.yaml", (CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
        os.environ["DAGSTER_HOME"] = str(folder)
        return folder


FROM = "# Copied from the dagster.yaml of the project, sha256 "
# Of the copies that were made before they said so themselves.
FORMER = {
    "addbac7c4cf80c2c557e13a8c4cc4a468986819699f36b7828a9d33f6db5f05c",
    "fb98a43d48a171bb5b1a068a662bae812fec68cafb30b83c6a6a35210d71dafb",
}


def _renew(copy: Path, settings: str) -> None:
    """Bring a copy of settings up to date, unless a person changed it: then say so.

    Its first line holds the digest of what it was copied from.
    """
    now = hashlib.sha256(settings.encode()).hexdigest()
    first, body = "", ""
    if copy.exists():
        body = copy.read_text(encoding="utf-8")
        if body.startswith(FROM):
            first, _, body = body.partition("\n")
    source, state = first.removeprefix(FROM), hashlib.sha256(body.encode()).hexdigest()
    if source == now and body:
        return  # as it is, or changed by a person since
    if not body or state in {source, now, *FORMER}:
        partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
        partial.write_text(f"{FROM}{now}\n{settings}", encoding="utf-8")
        partial.replace(copy)
        return
    log.warning(
        "%s: changed by hand, and the project's settings are others by now; remove it to take"
        " those, or begin it with the line '%s%s' to keep it",
        copy, FROM, now,
    )  # fmt: skip


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
