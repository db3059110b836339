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

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
NEVER = 2**31 - 1


def prepare() -> None:
    """Keep freed memory (on glibc) and let waiting OpenMP threads sleep, unless told otherwise."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
