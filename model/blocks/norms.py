"""Norms, which keep the size of activations from growing over the layers.

Letters: D d_model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.blocks.config import BlockConfig
from model.blocks.elementwise import rms_norm


class RMSNorm(nn.Module):
    """x / rms(x) over the last dimension, times an optional gain (Zhang & Sennrich 2019).

    The matrix that follows could absorb the gain, so leaving it out costs no quality. Llama and its
    successors have a gain.
    """

    weight: nn.Parameter | None

    def __init__(self, size: int, *, gain: bool = False, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.register_parameter("weight", nn.Parameter(torch.ones(size)) if gain else None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        return rms_norm(x, self.weight, self.epsilon)


def make_norm(config: BlockConfig) -> nn.Module:
    """A norm of the kind that the configuration names."""
    if config.norm == "rms":
        return RMSNorm(config.d_model, gain=config.norm_gain, epsilon=config.epsilon)
    return nn.LayerNorm(config.d_model, eps=config.epsilon, bias=config.bias)
