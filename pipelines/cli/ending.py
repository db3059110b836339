"""Ends every process of ``dragon ui``, even if ``dragon ui`` itself is killed.

All processes that it starts, and all their children, carry a mark in their environment. The mark
finds them again even if they have another session or parent by then. A small guard process without
the mark waits for the end of ``dragon ui`` and kills the rest, which helps if ``dragon ui`` itself
was killed. (Marks are read from ``/proc``. A system without it ends only the processes that stayed
in their server's group, and none after ``dragon ui`` was killed.)

``python -m pipelines.cli.ending MARK`` is the guard process. Its standard input ends when
``dragon ui`` ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "DRAGON_UI"
PROC = Path("/proc")
LAST_SECONDS = 5.0  # wait for killed processes to go: one that waits for a disk takes a while


def guard(mark: str) -> subprocess.Popen[bytes]:
    """Start the process that kills all processes with ``mark`` after this process has ended."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.ending", mark],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and a closed terminal must not end it
    )


def marked(mark: str) -> list[int]:
    """The ids of the living processes with a mark, without this process."""
    entry = f"{MARK}={mark}".encode()
    pids = []
    for folder in PROC.glob("[0-9]*"):
        # Other users' processes cannot be read, and a process may have ended meanwhile.
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                pids.append(int(folder.name))
    return [pid for pid in pids if pid != os.getpid()]


def end(mark: str, servers: Iterable[subprocess.Popen[bytes]], grace: float) -> None:
    """End servers and all processes with their mark.

    They get SIGTERM first, and SIGKILL after ``grace`` seconds.
    """
    servers = list(servers)
    for server in servers:
        _signal_group(server, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and (_running(servers) or marked(mark)):
        time.sleep(0.1)
    for server in servers:
        _signal_group(server, signal.SIGKILL)
    kill(mark)
    for server in servers:
        server.wait()


def kill(mark: str) -> None:
    """Kill the processes with a mark until none is left: some may start others meanwhile."""
    deadline = time.monotonic() + LAST_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _running(servers: Iterable[subprocess.Popen[bytes]]) -> bool:
    return any(server.poll() is None for server in servers)


def _signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a server and the children in its group, whose id is the server's.

    After the server was waited for, its id may belong to another process, so nothing is sent.
    """
    if server.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill(sys.argv[1])


if __name__ == "__main__":
    _main()
