"""Rotary positions: rotations of queries and keys.

Letters: B batch, H heads, T positions, K d_head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.blocks.elementwise import rotate


class Rotary(nn.Module):
    """Rotates each pair (x_i, x_{i + K/2}) by position / base^(2i / K) (Su et al. 2021).

    Of the positions, a dot product of two rotated vectors depends on their distance alone. The
    direction and the halves are Llama's. NanoChat rotates the other way: with the two halves of
    each head's query and key rows exchanged, every score is the same.

    ``scaling`` (factor, low, high, original context) stretches a network that was trained at the
    original context to a longer one, as Llama 3.1 does. A pair that turns more than ``high`` times
    in the original context distinguishes near positions and keeps its speed. A pair that turns less
    than ``low`` times is slowed by the factor. In between the two speeds are mixed in proportion.
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
        # On the CPU also where the network around it is built without memory.
        pairs = torch.arange(0, d_head, 2, dtype=torch.float64, device="cpu")
        speed = base ** (-pairs / d_head)  # (K/2,)
        if scaling is not None:
            factor, low, high, original = scaling
            turns = original * speed / (2 * math.pi)
            kept = ((turns - low) / (high - low)).clamp(0, 1)
            speed = speed * (kept + (1 - kept) / factor)
        places = torch.arange(context_length, dtype=torch.float64, device="cpu")
        angle = places[:, None] * speed  # (T, K/2)
        # The tables follow from the configuration, so they stay out of checkpoints.
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (..., T, K), whose first position is ``start`` -> the same shape and dtype"""
        rows = slice(start, start + x.shape[-2])
        return rotate(x, self.cosine[rows], self.sine[rows])

    def at(self, positions: Tensor) -> Callable[[Tensor], Tensor]:
        """The rotation of x (B, H, T, K) whose tokens are at ``positions`` (B, T)."""
        cosine, sine = self.cosine[positions][:, None], self.sine[positions][:, None]
        return lambda x: rotate(x, cosine, sine)
