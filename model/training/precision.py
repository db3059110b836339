"""The number formats of a training, and which of them is the fastest on this machine."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def fastest_precision(device: torch.device | str = "cpu") -> Precision:
    """bf16 where the hardware multiplies it; else fp32, since emulated bf16 is far slower."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
    return "fp32"
