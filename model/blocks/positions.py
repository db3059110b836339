"""Where a token stands: rotations of queries and keys.

Letters: B batch, H heads, T positions, K d_head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.blocks.kernels import rotate


class Rotary(nn.Module):
    """Rotates each pair (x_i, x_{i + K/2}) by position / base^(2i / K) (Su et al. 2021).

    A dot product of two rotated vectors depends on their distance alone. The direction and the
    halves are Llama's. NanoChat turns the other way: to it, a head's two halves of query and key
    rows are exchanged, and every score is the same.

    ``scaling`` (factor, low, high, original context) stretches what was trained at the original
    context to a longer one, as Llama 3.1 does: a pair that turned more than ``high`` times in the
    original context tells near positions apart and keeps its speed, one that turned less than
    ``low`` times is slowed by the factor, and in between the two are mixed in proportion.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        d_head: int,
        context_length: int,
        base: float,
        scaling: tuple[float, float, float, int] | None = None,
    ) -> None:
        super().__init__()
        speed = base ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)  # (K/2,)
        if scaling is not None:
            factor, low, high, original = scaling
            turns = original * speed / (2 * math.pi)
            kept = ((turns - low) / (high - low)).clamp(0, 1)
            speed = speed * (kept + (1 - kept) / factor)
        angle = torch.arange(context_length, dtype=torch.float64)[:, None] * speed  # (T, K/2)
        # A table is no weight: it follows from the configuration and stays out of checkpoints.
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (..., T, K), its first position ``start`` -> the same shape and dtype"""
        rows = slice(start, start + x.shape[-2])
        return rotate(x, self.cosine[rows], self.sine[rows])

    def at(self, positions: Tensor) -> Callable[[Tensor], Tensor]:
        """The rotation of x (B, H, T, K) whose tokens stand at ``positions`` (B, T)."""
        cosine, sine = self.cosine[positions][:, None], self.sine[positions][:, None]
        return lambda x: rotate(x, cosine, sine)
