"""A making in several processes of this machine, which train one network together.

The process that makes the asset derives, locks and publishes. It writes the making down as JSON, an
order, and starts torchrun, whose processes each execute the order (``training/torchrun.py``). Rank
0 writes the files of the artefact and its checkpoints. What it says, line by line, becomes what
this process would have said: log, progress, curves, record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core import progress
from pipelines.core.artefact import Artefact
from pipelines.core.disk import make_folder
from pipelines.training.turn import one_at_a_time

if TYPE_CHECKING:
    from pipelines.core.declaration import Declaration
    from pipelines.core.making import Making

Hearing = contextlib.AbstractContextManager[None]
Start = Callable[[list[str], Hearing], int]
"""Runs a command inside a block and returns its exit code."""

LOOK_SECONDS = 0.1  # between two looks for new lines
DIED = (
    "one of its {} processes died (something killed it, perhaps because memory ran out), and the"
    " others ended with it; run the same command again: it continues from the last checkpoint"
)


def processes_of(declared: Declaration) -> int:
    """How many processes make an asset."""
    training = getattr(declared.settings, "training", None)
    return int(getattr(training, "processes", 1)) if declared.together else 1


def start_here(command: list[str], hearing: Hearing) -> int:
    """Run a command as a plain child of this process."""
    with hearing:
        child = subprocess.Popen(command)
        try:
            return child.wait()
        finally:
            child.terminate()
            child.wait()


def make_together(
    declared: Declaration,
    making: Making,
    loaded: Mapping[str, Artefact],
    start: Start = start_here,
) -> None:
    """Make an asset in as many processes as its settings say; ``loaded`` has its inputs by key.

    Raises what the making raised, as ValueError or MemoryError with its words, or as RuntimeError
    with its traceback; ValueError if a process died.
    """
    assert making.work is not None
    count, folder = processes_of(declared), making.work.folder / "ranks"
    with one_at_a_time(making), _meeting(folder):
        told, order = folder / "told", folder / "order.json"
        order.write_text(json.dumps(_order(declared, making, loaded, count)), encoding="utf-8")
        heard = _Heard()
        command = [sys.executable, "-m", "pipelines.training.torchrun", str(order)]
        code = start(command, _hearing(told, making, heard))
        if code or heard.faults or not heard.is_whole:
            _raise(heard.faults, count)


@contextlib.contextmanager
def _meeting(folder: Path) -> Iterator[None]:
    """A folder for the processes, with a lock that they watch: they end when its owner does."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _order(
    declared: Declaration, making: Making, loaded: Mapping[str, Artefact], count: int
) -> dict[str, Any]:
    """All that a process needs to execute the making, as JSON."""
    settings, project = declared.settings, making.project
    return {
        "key": making.key,
        "making": declared.making,
        "settings": settings and {"class": _name(type(settings)), "values": settings.written()},
        "inputs": {
            name: _placed(loaded[value])
            if isinstance(value, str)
            else [[inner, _placed(loaded[key])] for inner, key in value.items()]
            for name, value in declared.inputs.items()
        },
        "decides": making.decides,
        "project": [str(project.root), str(project.home), str(project.store)],
        "folder": str(making.folder),
        "work": str(making.work.folder) if making.work else None,
        "processes": count,
    }


def _placed(artefact: Artefact) -> dict[str, str]:
    return {
        "key": artefact.key,
        "version": artefact.version,
        "derivation": artefact.derivation,
        "view": _name(type(artefact)),
        "store": str(artefact.folder.parents[1]),  # inputs may be of another store than the result
    }


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


@dataclass
class _Heard:
    """What the processes said of their end. It ``is_whole`` with the last line of rank 0."""

    faults: list[Mapping[str, str]] = field(default_factory=list)
    is_whole: bool = False


@contextlib.contextmanager
def _hearing(path: Path, making: Making, heard: _Heard) -> Iterator[None]:
    """A block in which a thread repeats, in this process, what the processes say in a file."""
    path.touch()
    ended = threading.Event()

    def repeat() -> None:
        with path.open(encoding="utf-8") as lines:
            rest, last = "", False
            while not last:
                last = ended.wait(LOOK_SECONDS)
                *whole, rest = (rest + lines.read()).split("\n")
                for line in whole:
                    _say(json.loads(line), making, heard)

    def repeat_or_tell() -> None:
        try:
            repeat()
        except Exception:  # in a thread nobody would see it
            heard.faults.append({"kind": "bug", "text": traceback.format_exc()})

    thread = threading.Thread(target=repeat_or_tell, name="hearing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _say(said: Mapping[str, Any], making: Making, heard: _Heard) -> None:
    """Repeat one line of a process."""
    what, value = said["what"], said["value"]
    if what == "curve":
        making.curve(*value)
    elif what == "progress":
        progress.show(*value)
    elif what == "log":
        name, level, message, extra = value
        logging.getLogger(name).log(level, "%s", message, extra=extra)
    elif what == "event":
        making.event(*value)
    elif what == "made":
        making.made.update(value)
    elif what == "beside":
        making.beside.update({name: text.encode() for name, text in value.items()})
    elif what == "end":
        heard.is_whole = True
    else:
        heard.faults.append(value)


def _raise(faults: list[Mapping[str, str]], count: int) -> None:
    """Raise the first fault that is more than the loss of another process."""
    for fault in faults:
        if fault["kind"] == "value":
            raise ValueError(fault["text"])
        if fault["kind"] == "memory":
            raise MemoryError(fault["text"])
        if fault["kind"] == "bug":
            raise RuntimeError(fault["text"])
    raise ValueError(DIED.format(count))
