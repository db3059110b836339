"""How this process uses the processor and memory for training. Set this before torch is loaded.

Measured on two cores (docs/log.md, benchmarks/engine.py): a process that keeps freed memory does
not get a step's logits from the kernel anew, page by page. That is worth the more, the larger the
logits are: nothing with the chat recipe's, a third with 50,257 tokens held at once. Waiting threads
that sleep at once take 2.3 times as long on an idle machine as threads that spin for a moment: to
wake a thread costs as much as a small operation. Beside one busy program they take 0.6 of the time,
because spinning makes every small operation wait for the other program's time slice.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1
SPINS = "2000"  # some microseconds
LOOK_SECONDS = 0.1  # ten ticks of the system's clock
# Variables that make torch's libraries use other instructions, or another order of additions.
TOLD = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG")


def prepare() -> None:
    """Keeps freed memory, and chooses how many threads compute and how they wait.

    ``DRAGON_THREADS`` is the number of threads; without it, variables of OpenMP that are set stay.
    """
    keep_freed_memory()
    choose_threads()
    choose_waiting()


def keep_freed_memory() -> None:
    """Tells glibc, where it is there, to keep freed memory."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def choose_threads() -> None:
    """As many threads as this process has cores: a container may have fewer than the machine."""
    told = os.environ.get("DRAGON_THREADS")
    if told is not None:
        if not told.isdecimal() or int(told) < 1:
            raise ValueError(f"DRAGON_THREADS={told!r} must be a whole number from 1")
        os.environ["OMP_NUM_THREADS"] = told
    elif cores() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def choose_waiting() -> None:
    """Lets waiting threads sleep: after a short spin if their cores are idle now, else at once."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        if idle_cores() > cores() - 0.5:
            os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def idle_cores() -> float:
    """How many cores of the machine have nothing to do, during a look of ``LOOK_SECONDS``.

    The load average will not do: it still counts what this run did in the minute before. Infinity
    where the system does not tell.
    """
    try:
        before = _idle_seconds()
        time.sleep(LOOK_SECONDS)
        return (_idle_seconds() - before) / LOOK_SECONDS
    except (OSError, ValueError, IndexError):
        return math.inf


def _idle_seconds() -> float:
    """The seconds that all cores together have been idle, or have waited for a disk."""
    _, *spent = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(spent[3]) + int(spent[4])) / os.sysconf("SC_CLK_TCK")


def waiting() -> dict[str, str | None]:
    """How this process's threads wait, for the record. It decides the time and not the result."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    return {name.lower(): os.environ.get(name) for name in names}


def cores() -> int:
    """How many cores this process may use: those it may run on, or its containers' quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = min(_quotas(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")), default=math.inf)
    return max(1, int(min(allowed or 1, quota)))


def _quotas(groups: Path, mounted: Path) -> Iterator[float]:
    """The limits, in cores, of the control groups of this process (version 2 and 1).

    ``groups`` is a file with lines ``number:controllers:path``. A group's own limit and those of
    the groups above it hold together; inside a container the path may begin above what is mounted.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = mounted / "cpu" if controllers else mounted
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(top):
                    yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """The limit of one group, if it has one: microseconds of processor time in a period."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        yield float(quota) / float(period)  # ValueError: max, no limit
    with contextlib.suppress(OSError, ValueError):
        quota, period = (
            (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
        if int(quota) > 0:
            yield int(quota) / int(period)


def abilities() -> dict[str, Any]:
    """The facts of this machine and process that may change the last bits of torch's results.

    They are the processor and the instructions that torch picks for it, the GPU and its libraries,
    and the switches that trade exactness for speed. Loads torch.
    """
    import torch

    facts: dict[str, Any] = {
        "cpu": _name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **{name.lower(): os.environ[name] for name in TOLD if name in os.environ},
    }
    if torch.cuda.is_available():
        cudnn = torch.backends.cudnn
        facts |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),
            "cudnn_tf32": cudnn.allow_tf32,
            "cudnn_benchmark": cudnn.benchmark,
            "cudnn_deterministic": cudnn.deterministic,
        }
    return facts


def _name() -> str | None:
    """The processor's name, or None where ``/proc/cpuinfo`` does not have it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return None


def lacked_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch has no class for this error on a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
