"""How this process uses the processor and memory for training; must be set before torch is loaded.

Measured on two cores (docs/log.md): keeping freed memory brings 1.2 to 1.6 times the tokens a
second, because glibc else returns a step's logits to the kernel and faults them in anew. Waiting
threads that sleep instead of spinning cost 7 % on an idle machine and save a factor of ten on one
that does anything else, where every small operation would wait for the other's time slice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1
# What tells torch's libraries to use other instructions than the processor has, or other sums.
TOLD = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG")


def prepare() -> None:
    """Keep freed memory (on glibc) and let waiting OpenMP threads sleep, unless told otherwise."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def abilities() -> dict[str, Any]:
    """What of this machine and process may move the last bits of what torch computes.

    The processor and the instructions that torch picks for it, the GPU and its libraries, and the
    switches that trade exactness for speed. Loads torch.
    """
    import torch

    found: dict[str, Any] = {
        "cpu": _name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **{name.lower(): os.environ[name] for name in TOLD if name in os.environ},
    }
    if torch.cuda.is_available():
        cudnn = torch.backends.cudnn
        found |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),
            "cudnn_tf32": cudnn.allow_tf32,
            "cudnn_benchmark": cudnn.benchmark,
            "cudnn_deterministic": cudnn.deterministic,
        }
    return found


def _name() -> str | None:
    """The processor's name, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return None


def lacked_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory; torch's on a CPU has no class of its own."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
