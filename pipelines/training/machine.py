"""What this machine can do: its peak of matrix products, and the memory that a process took."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import sys
import time
from pathlib import Path

import torch

from model.training.precision import Precision
from pipelines.core import processor

PEAKS = "peaks.json"  # the file in the project's home with the measured peaks
MEASURED_SECONDS = 0.4
SIZE = 1024  # of the square matrices that are multiplied
SHORTEST = 1e-5  # seconds of a product; less means that the clock was set back
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

# Dense bf16 products a second, by words of the device's name, as its maker publishes them.
# The first that fit count.
PUBLISHED = {
    "B200": 2250e12,
    "H200": 989.4e12,
    "H100 PCIe": 756e12,
    "H100": 989.4e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}


def peak_flops(home: Path, device: torch.device, precision: Precision) -> float:
    """The floating-point operations a second that matrix products reach here, at most.

    Of a known GPU in bf16 it is the published peak. Otherwise it is measured for half a second and
    kept in the project's home: a file has one peak for each processor, thread count and precision.
    """
    if device.type == "cuda" and precision == "bf16":
        name = torch.cuda.get_device_name(device)
        for words, peak in PUBLISHED.items():
            if re.search(rf"\b{words}\b", name):
                return peak
    known, name = _known(home), _name(device, precision)
    if name not in known:
        known[name] = measured_peak(device, precision)
        with contextlib.suppress(OSError):  # it is measured again the next time
            home.mkdir(parents=True, exist_ok=True)
            # It needs no care: a file that is torn or lost is measured again.
            (home / PEAKS).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    return known[name]


def measured_peak(device: torch.device, precision: Precision) -> float:
    """Floating-point operations a second of the fastest of several products of square matrices."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = SIZE if device.type == "cpu" else 8 * SIZE
    left = torch.ones(size, size, dtype=dtype, device=device)
    result = torch.empty_like(left)
    seconds: list[float] = []
    while sum(seconds) < MEASURED_SECONDS:
        began = time.perf_counter()
        torch.mm(left, left, out=result)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(max(time.perf_counter() - began, SHORTEST))
    return 2 * size**3 / min(seconds)


def _known(home: Path) -> dict[str, float]:
    try:
        peaks = json.loads((home / PEAKS).read_text(encoding="utf-8"))
        return {str(name): float(peak) for name, peak in peaks.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _name(device: torch.device, precision: Precision) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    abilities = processor.abilities()
    machine = f"{abilities['cpu']}, {abilities['cpu_capability']}"
    return f"{machine}, {torch.get_num_threads()} threads, {precision}, torch {torch.__version__}"


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure the peak of memory anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")  # resets the process's peak (man 5 proc)


def peak_memory(device: torch.device) -> int:
    """The most bytes that tensors took on the GPU, or that the process took on a CPU.

    On a CPU it counts from ``forget_peak_memory`` on, or from the start of the process where the
    system cannot reset it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        lines = STATUS.read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
