"""How ``dragon ui`` leaves no process behind, however it ends.

All that it starts, and all that these start, carry a mark in their environment: by it they are
found again, in whatever session and under whatever parent they are by then. A small process that
carries none waits for the end of ``dragon ui`` and kills what is left: it serves where ``dragon
ui`` itself was killed. (Marks are read from ``/proc``. Where there is none, the processes that
stayed in their server's group are ended, and nothing ends those of a killed ``dragon ui``.)

As a program: ``python -m pipelines.cli.ending MARK`` is that small process; its standard input
ends with ``dragon ui``.
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
LAST_SECONDS = 5.0  # for what is killed to be gone: a process deep in a disk may take a while


def guard(mark: str) -> subprocess.Popen[bytes]:
    """Start the process that kills what bears ``mark`` once this process is gone."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.ending", mark],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and a closed terminal are not for it
    )


def marked(mark: str) -> list[int]:
    """The living processes that bear a mark, this one apart."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in PROC.glob("[0-9]*"):
        # Processes of others cannot be read; those that ended meanwhile are no more.
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end(mark: str, servers: Iterable[subprocess.Popen[bytes]], grace: float) -> None:
    """End servers and all that bears their mark: asked first, killed after ``grace`` seconds."""
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
    """Kill what bears a mark, until none is left: some may just be starting others."""
    deadline = time.monotonic() + LAST_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _running(servers: Iterable[subprocess.Popen[bytes]]) -> bool:
    return any(server.poll() is None for server in servers)


def _signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    """A signal to a server and the children that stayed in its group, which bears its number.

    Once a server was waited for its number may be another's: then its group is left alone.
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
