"""``python -m pipelines.training.torchrun ORDER.json``: a making by several processes.

Called by ``launching``, it becomes torchrun, which calls it again in each of the processes (ranks).
The ranks talk to each other over the loopback interface. They end when one of them dies, and when
the process that gave the order does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.core import processor, progress
from pipelines.core.declaration import found
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.core.tracking import TrackedRun
from pipelines.core.work import Work

MODULE = "pipelines.training.torchrun"
PATIENCE = timedelta(minutes=10)  # of a process for the others; rank 0 may save a large state
PEER = ("gloo", "NCCL", "Connection closed by peer", "Connection reset")


class Voice:
    """Says lines to the process that gave the order."""

    def __init__(self, path: Path) -> None:
        # One write of a line, at the file's end: the lines of two processes do not mix.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def say(self, what: str, value: Any) -> None:
        """Say one thing; ``launching`` repeats it."""
        os.write(self._file, (json.dumps({"what": what, "value": value}) + "\n").encode())


class Curves(TrackedRun):
    """Curves that another process tracks."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice

    def curve(self, step: int, values: Any) -> None:
        """Say the points."""
        self._voice.say("curve", [step, dict(values)])

    def event(self, step: int, event: str, text: str = "") -> None:
        """Say what happened."""
        self._voice.say("event", [step, event, text])


class Repeated(logging.Handler):
    """Log records that another process logs."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        """Say the record."""
        extra = {name: True for name in ("progress", "fleeting") if getattr(record, name, False)}
        self._voice.say("log", [record.name, record.levelno, record.getMessage(), extra])


def become_torchrun(path: Path, order: dict[str, Any]) -> None:
    """Replace this process by torchrun, in a session of its own and silent."""
    os.setsid()  # Ctrl-C in a terminal reaches the giver of the order, which ends this process
    log = os.open(path.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    count = int(order["processes"])
    share = max(1, int(os.environ.pop("DRAGON_THREADS", processor.cores())) // count)
    # The giver of the order may have set all cores for itself.
    set_before = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(share, int(set_before)) if set_before.isdigit() else share
    os.environ["OMP_NUM_THREADS"] = str(threads)
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
        os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback[0])
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    ranks = ["--nproc-per-node", str(count), "--max-restarts", "0", "-m", MODULE, str(path)]
    os.execv(sys.executable, [sys.executable, *torchrun, *ranks])


def as_rank(path: Path, order: dict[str, Any]) -> int:
    """Execute an order as one of its processes; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # at once, whatever a collective waits for
    end_with(path.with_name("lock"))
    voice = Voice(path.with_name("told"))
    try:
        _execute(path, order, voice)
    except BaseException as error:
        voice.say("fault", _fault(error))
        return 1
    return 0


def end_with(lock: Path) -> None:
    """End this process when the process that holds the lock ends."""

    def wait() -> None:
        with contextlib.suppress(OSError), lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_SH)
        os._exit(1)

    threading.Thread(target=wait, name="end with the order", daemon=True).start()


def _execute(path: Path, order: dict[str, Any], voice: Voice) -> None:
    rank = int(os.environ["RANK"])
    _speak(voice if rank == 0 else None)
    _join(int(order["processes"]))
    project = Project(*map(Path, order["project"]))
    folder = Path(order["folder"]) if rank == 0 else path.with_name(f"files of rank {rank}")
    folder.mkdir(exist_ok=True)  # the files of the other ranks are thrown away
    making = Making(
        order["key"],
        folder,
        project,
        Work(Path(order["work"])),
        Curves(voice) if rank == 0 else TrackedRun(),
        decides=order["decides"],
    )
    arguments = _arguments(order)
    found(order["making"])(making, **arguments)
    if rank == 0:
        voice.say("made", making.made)
        voice.say("beside", {name: text.decode() for name, text in making.beside.items()})
        voice.say("end", True)


def _speak(voice: Voice | None) -> None:
    """Rank 0 alone says how it goes on."""
    log = logging.getLogger("dragon")
    log.propagate = False
    log.addHandler(Repeated(voice) if voice else logging.NullHandler())
    if voice:
        log.setLevel(logging.INFO)
        progress.watch(lambda label, state: voice.say("progress", [label, state]))


def _join(count: int) -> None:
    """Join the group of processes, each with a device of its own. Raises ValueError for too few."""
    processor.prepare()
    import torch
    import torch.distributed

    device = None
    if torch.cuda.is_available():
        present = torch.cuda.device_count()
        if present < count:
            raise ValueError(
                f"processes={count} exceeds the GPUs of this machine, {present}: each process"
                " needs one"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device else "gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE, device_id=device)


def _arguments(order: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the making. Raises ValueError if the settings are not read as written."""

    def opened(placed: dict[str, str]) -> Any:
        view: Any = found(placed["view"])
        store = Store(Path(placed["store"]))
        return store.open(placed["key"], placed["version"], view, placed["derivation"])

    inputs: dict[str, Any] = {
        name: opened(value)
        if isinstance(value, dict)
        else {inner: opened(placed) for inner, placed in value}
        for name, value in order["inputs"].items()
    }
    if order["settings"] is None:
        return inputs
    kind: Any = found(order["settings"]["class"])
    settings = kind.model_validate(order["settings"]["values"])
    if settings.decides() != order["decides"]["recipe"]:
        raise ValueError(f"{order['key']}: its settings are read otherwise than they were written")
    return {"settings": settings, **inputs}


def _fault(error: BaseException) -> dict[str, str]:
    """An error for ``launching``: what kind it is, and its words or its traceback."""
    text = " ".join(str(error).split())
    if processor.lacked_memory(error):
        return {"kind": "memory", "text": text}
    if isinstance(error, ValueError | OSError):
        return {"kind": "value", "text": text or type(error).__name__}
    if isinstance(error, RuntimeError) and any(word in text for word in PEER):
        return {"kind": "peer", "text": text}
    return {"kind": "bug", "text": "".join(traceback.format_exception(error))}


def main() -> None:
    """Become torchrun, or one of the processes that it starts."""
    path = Path(sys.argv[1])
    order = json.loads(path.read_text(encoding="utf-8"))
    if "RANK" not in os.environ:
        become_torchrun(path, order)
    code = as_rank(path, order)
    sys.stderr.flush()
    os._exit(code)  # the threads of a group that lost a process may never end


if __name__ == "__main__":
    main()
