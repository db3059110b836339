"""``dragon doctor``: whether this machine and this project can run, and how to mend what cannot."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import socket
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.terminal import columns, is_terminal, painted
from pipelines.core.project import CHECKOUT, PORT, Project

PYTHONS = (3, 11), (3, 14)  # the first that serves, and the first that no longer does
FEW_BYTES, LITTLE_BYTES = 1e9, 5e9  # free on a disk: too few, and few
LITTLE_MEMORY = 4e9
PORTS = {PORT: "--port", 5000: "--mlflow-port"}
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Finding(NamedTuple):
    """``state`` is ok, warn or fail; ``mend`` says what to do about it, empty if nothing."""

    state: str
    what: str
    fact: str
    mend: str = ""


Check = Callable[[Project], Iterator[Finding]]


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine and project, with the mend of each fault.

    Prints one line for each check: ok, warn or fail, the fact and its mend. The exit code is 1 if
    one fails.
    """
    project, found = Project.here(), []
    for check in CHECKS:
        for finding in _held(check, project):
            found.append(finding)
            if not as_json:
                _show(finding)
    worst = "fail" if any(finding.state == "fail" for finding in found) else "ok"
    if as_json:
        print_json({"state": worst, "findings": [finding._asdict() for finding in found]})
    else:
        counts = {state: sum(f.state == state for f in found) for state in COLOURS}
        click.echo(f"\n{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} to mend")
    if worst == "fail":
        sys.exit(1)


def _held(check: Check, project: Project) -> Iterator[Finding]:
    """The findings of a check; a check that fails itself is a finding."""
    try:
        yield from check(project)
    except Exception as error:  # the other checks still count
        what = check.__name__.strip("_").replace("_", " ")
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        yield Finding("fail", what, reason, "run again with DRAGON_DEBUG=1, and report it")


def _show(finding: Finding) -> None:
    import textwrap

    head = f"{finding.state:<4}  {finding.what}: "
    text = finding.fact + (f"; {finding.mend}" if finding.mend else "")
    if is_terminal():
        room = max(columns() - 1, 40)
        lines = textwrap.wrap(head + text, room, subsequent_indent=" " * 6) or [head]
    else:
        lines = [head + text]
    lines[0] = painted(lines[0][:4], COLOURS[finding.state]) + lines[0][4:]
    click.echo("\n".join(lines))


def _python(_: Project) -> Iterator[Finding]:
    serves = PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]
    mend = "" if serves else "make the environment again: make PYTHON=python3.12"
    fact = f"{platform.python_version()} in {sys.prefix}"
    yield Finding("ok" if serves else "fail", "Python", fact, mend)


def _libraries(_: Project) -> Iterator[Finding]:
    """The installed versions against constraints.txt, for the libraries that the project names."""
    listed = CHECKOUT / "constraints.txt"
    if not listed.is_file():
        mend = "run dragon from a checkout, or ignore this"
        yield Finding("warn", "libraries", f"{listed}: absent", mend)
        return
    wanted = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", listed.read_text(), re.MULTILINE))
    ours = {re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in _requirements()}
    missing, other = [], []
    for name in sorted(ours):
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed != wanted.get(name, installed).split("+")[0]:
            other.append(f"{name} {installed} instead of {wanted[name]}")
    mend = "run make setup"
    if missing:
        yield Finding("fail", "libraries", f"not installed: {', '.join(missing)}", mend)
    if other:
        yield Finding("warn", "libraries", f"other than tested: {', '.join(other)}", mend)
    if not missing and not other:
        yield Finding("ok", "libraries", f"{len(ours)} as in constraints.txt")


def _requirements() -> list[str]:
    """What the project needs to run, from its own metadata, or from nothing where it has none."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return [need for need in metadata.requires("dragon") or [] if "extra ==" not in need]
    return ["dagster", "mlflow", "torch", "pyarrow", "pydantic", "click"]


def _folders(project: Project) -> Iterator[Finding]:
    """Write access and room where runs write."""
    import tempfile

    places = {"store": (project.store, "DRAGON_STORE"), "home": (project.home, "DRAGON_HOME"),
              "temporary files": (Path(tempfile.gettempdir()), "TMPDIR")}  # fmt: skip
    for name, (folder, variable) in places.items():
        near = next(place for place in (folder, *folder.parents) if place.exists())
        other = f"choose another folder with {variable}"
        try:
            probe = near / f".{uuid.uuid4().hex}.probe"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            mend = f"make it writable, or {other}"
            yield Finding("fail", name, f"{near}: cannot be written ({error.strerror})", mend)
            continue
        free = shutil.disk_usage(near).free
        state = "fail" if free < FEW_BYTES else "warn" if free < LITTLE_BYTES else "ok"
        mend = "" if state == "ok" else f"make room, or {other}"
        yield Finding(state, name, f"{folder}: writable, {_size(free)} free", mend)


def _ports(_: Project) -> Iterator[Finding]:
    for port, option in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                mend = f"another dragon ui may run; else choose another: dragon ui {option} NUMBER"
                fact = f"cannot be used ({error.strerror})"
                yield Finding("warn", f"port {port}", fact, mend)
            else:
                yield Finding("ok", f"port {port}", "free")


def _databases(project: Project) -> Iterator[Finding]:
    """Whether the databases of Dagster and MLflow can be read, and the versions of their tables."""
    places = {
        "Dagster's runs": project.home / "dagster" / "history" / "runs.db",
        "Dagster's events": project.home / "dagster" / "history" / "runs" / "index.db",
        "MLflow's database": project.mlflow / "mlflow.db",
    }
    for name, path in places.items():
        if not path.exists():
            yield Finding("ok", name, "not there yet; the first run makes it")
            continue
        mend = f"move {path} away: it holds no lineage, and the next run makes a new one"
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                sound = database.execute("PRAGMA quick_check(1)").fetchone()[0]
                version = database.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            yield Finding("fail", name, f"{path}: {error}", mend)
            continue
        if sound != "ok":
            yield Finding("fail", name, f"{path}: {sound}", mend)
        else:
            tables = f"tables of version {version[0]}" if version else "tables without a version"
            yield Finding("ok", name, f"{tables}, {_size(path.stat().st_size)}")


def _cores(_: Project) -> Iterator[Finding]:
    """Cores, the share of them that a container may use, and the threads that are set."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota()
    fact = f"{usable} usable of {os.cpu_count()}" + (f", quota {quota:.1f}" if quota else "")
    threads = os.environ.get("OMP_NUM_THREADS")
    fact += f", OMP_NUM_THREADS={threads}" if threads else ""
    if quota and usable and quota < usable and not threads:
        mend = f"set OMP_NUM_THREADS={max(int(quota), 1)}: more threads than quota wait"
        yield Finding("warn", "cores", fact, mend)
    elif threads and threads.isdecimal() and int(threads) > (usable or 1):
        yield Finding("warn", "cores", fact, f"set OMP_NUM_THREADS to {usable} or fewer")
    else:
        yield Finding("ok", "cores", fact)


def _quota() -> float | None:
    """The cores that the control group of this process may use; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup/cpu")
        most, period = ((group / f"cpu.cfs_{n}_us").read_text() for n in ("quota", "period"))
        return int(most) / int(period) if int(most) > 0 else None
    return None


def _memory(_: Project) -> Iterator[Finding]:
    with contextlib.suppress(OSError):
        rows = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M))
        free, whole = (1024 * int(rows[name]) for name in ("MemAvailable", "MemTotal"))
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free, whole = min(free, limit - used), min(whole, limit)
        state, mend = "ok", ""
        if free < LITTLE_MEMORY:
            state, mend = "warn", "end other programs, or choose a small recipe (tiny, ladder)"
        yield Finding(state, "memory", f"{_size(free)} free of {_size(whole)}", mend)


def _processor(_: Project) -> Iterator[Finding]:
    from pipelines.core import processor

    processor.prepare()
    facts = processor.abilities()
    able = str(facts["cpu_capability"])
    fact = f"{facts['cpu'] or platform.machine()}, {able}"
    if "gpu" in facts:
        fact += f"; GPU {facts['gpu']}, CUDA {facts['cuda']}"
    mend = "" if able.upper() != "DEFAULT" else "training is slow without AVX2 or NEON"
    yield Finding("warn" if mend else "ok", "processor", fact, mend)


def _code(_: Project) -> Iterator[Finding]:
    from pipelines.core.project import environment

    facts = environment()
    if facts["git_commit"] is None:
        mend = "a record then cannot say which commit made a version; run from a git checkout"
        yield Finding("warn", "code", f"{CHECKOUT}: no commit known", mend)
    elif facts["git_dirty"]:
        mend = "commit them before a run that others are to repeat"
        yield Finding("warn", "code", f"commit {facts['git_commit'][:12]} with changes", mend)
    else:
        yield Finding("ok", "code", f"commit {facts['git_commit'][:12]}")


def _recipes(project: Project) -> Iterator[Finding]:
    from pipelines.recipe.loading import disagreements, read_recipes

    recipes, faults = read_recipes(project.recipes)
    faults |= disagreements(recipes)
    for name, fault in faults.items():
        yield Finding("fail", f"recipe {name}", str(fault), "the other recipes can be run")
    sound = [name for name in recipes if name not in faults]
    if sound:
        yield Finding("ok", "recipes", ", ".join(sound))


def _versions(project: Project) -> Iterator[Finding]:
    """Whether the store can be read, and what it holds."""
    from pipelines.core.store import Store

    if not project.store.is_dir():
        yield Finding("ok", "versions", "none yet; dragon run chat makes the first")
        return
    try:
        keys = Store(project.store).keys()
    except ValueError as error:
        yield Finding("fail", "versions", str(error))
        return
    yield Finding("ok", "versions", f"{len(keys)} assets; dragon ls lists them")


def _size(count: float) -> str:
    from pipelines.report.card import Bytes

    return str(Bytes(count))


CHECKS: tuple[Check, ...] = (
    *(_python, _libraries, _code, _folders, _ports, _databases, _cores, _memory, _processor),
    *(_recipes, _versions),
)
