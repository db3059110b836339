"""The folders of a project. A folder never decides a result and is in no derivation."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

log = logging.getLogger("dragon")

CHECKOUT = Path(__file__).resolve().parents[2]
PORT = 3000  # of the pages of ``dragon ui``, unless a person chooses another
MLFLOW = "mlflow"  # the folder in ``home`` with MLflow's database and artefacts
PAGES = "pages"  # the file in ``home`` with the address at which the pages were served last
LOCAL = re.compile(r"http://127\.0\.0\.1:\d{1,5}")


@dataclass(frozen=True)
class Project:
    """The folders of one project.

    ``root`` holds ``recipes/``. ``home`` (``DRAGON_HOME``, else ``.dragon``) holds Dagster's and
    MLflow's databases and downloaded packages; lineage does not need them. ``store``
    (``DRAGON_STORE``, else ``assets_store``) holds the artefacts.
    """

    root: Path
    home: Path
    store: Path

    @classmethod
    def here(cls) -> Project:
        """The project in the working folder if it has ``recipes/``, else the code's checkout."""
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
        """The folder of downloaded packages and files that serve as data."""
        return self.home / "downloads"

    @property
    def workers(self) -> int:
        """Number of processes for parallel work (``DRAGON_WORKERS``); no result depends on it.

        The default is 1: the bulk encoder uses all cores from one process. Raises ValueError
        unless the variable is a number of 1 or more.
        """
        setting = os.environ.get("DRAGON_WORKERS", "1")
        if not setting.isdecimal() or int(setting) < 1:
            raise ValueError(
                f"DRAGON_WORKERS={setting}: set it to a number of processes, 1 or more"
            )
        return int(setting)

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artefacts."""
        return self.home / MLFLOW

    @property
    def spools(self) -> Path:
        """The tracking data that MLflow has not taken yet."""
        return self.home / "tracking"

    @property
    def pages(self) -> str:
        """The address of the pages of ``dragon ui``, without a slash at its end.

        It is the address at which they were served last, or else the default address. Links from
        other places, such as MLflow, begin with it.
        """
        try:
            served = (self.home / PAGES).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            served = ""
        return served if LOCAL.fullmatch(served) else f"http://127.0.0.1:{PORT}"

    def serve_at(self, port: int) -> str:
        """Remember that the pages are served at a port of this machine; returns their address."""
        self.home.mkdir(parents=True, exist_ok=True)
        address = f"http://127.0.0.1:{port}"
        (self.home / PAGES).write_text(address + "\n", encoding="utf-8")
        return address

    def prepare_dagster(self) -> Path:
        """Prepare the folder for DAGSTER_HOME and return it.

        It gets a copy of the project's ``dagster.yaml``, unless a person changed the copy there.
        Raises ValueError if ``home`` cannot hold the databases of Dagster and MLflow.
        """
        _require_an_address(self.home)
        folder = self.home / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        _renew(folder / "dagster.yaml", (CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
        os.environ["DAGSTER_HOME"] = str(folder)
        return folder


FROM = "# Copied from the dagster.yaml of the project, sha256 "
# The digests of the copies that earlier versions made without this line.
FORMER = {
    "addbac7c4cf80c2c557e13a8c4cc4a468986819699f36b7828a9d33f6db5f05c",
    "fb98a43d48a171bb5b1a068a662bae812fec68cafb30b83c6a6a35210d71dafb",
}


def _renew(copy: Path, settings: str) -> None:
    """Update a copy of the settings. If a person changed the copy, keep it and log a warning.

    The first line of the copy holds the digest of the settings that were copied.
    """
    now = hashlib.sha256(settings.encode()).hexdigest()
    first, body = "", ""
    if copy.exists():
        body = copy.read_text(encoding="utf-8")
        if body.startswith(FROM):
            first, _, body = body.partition("\n")
    source, state = first.removeprefix(FROM), hashlib.sha256(body.encode()).hexdigest()
    if source == now and body:
        return  # it is up to date, or a person changed it later
    if not body or state in {source, now, *FORMER}:
        partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
        partial.write_text(f"{FROM}{now}\n{settings}", encoding="utf-8")
        partial.replace(copy)
        return
    log.warning(
        "%s: was changed by hand, and the project's settings have changed since; remove the file to"
        " use the project's settings, or put the line '%s%s' at its top to keep it",
        copy, FROM, now,
    )  # fmt: skip


def _require_an_address(home: Path) -> None:
    """Raise ValueError for a folder whose path has characters that a database address cannot hold.

    Dagster and MLflow copy a database's path into an address without escaping it.
    """
    marks = sorted({mark for mark in str(home) if mark in "%?" or "\ud800" <= mark <= "\udfff"})
    if marks:
        raise ValueError(
            f"{str(home)!r}: Dagster and MLflow cannot keep a database in a folder with"
            f" {' or '.join(map(repr, marks))} in its path; move the project, or set DRAGON_HOME"
            " to another folder"
        )


@cache
def environment() -> dict[str, Any]:
    """Facts for the record that do not decide the result: commit, Python, processor, cores."""
    # The checkout may lie inside another project's repository, whose commit says nothing.
    ours = Path(_git("rev-parse", "--show-toplevel") or "/") == CHECKOUT
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
    """The output of a git command in the checkout; None without git or without a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
