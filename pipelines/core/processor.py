"""How this process uses the processor and memory for training. Set this before torch is loaded.

Measured on two cores (docs/log.md): a process that keeps freed memory trains 1.2 to 1.6 times as
many tokens a second, because otherwise glibc returns a step's logits to the kernel and page-faults
them in again. Waiting threads that sleep instead of spin cost 7 % on an idle machine. On a busy
machine they are ten times as fast, because spinning makes every small operation wait for the other
program's time slice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1
# Variables that make torch's libraries use other instructions, or another order of additions.
TOLD = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG")


def prepare() -> None:
    """Keep freed memory (on glibc) and let waiting OpenMP threads sleep.

    A value of ``OMP_WAIT_POLICY`` that is already set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


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
