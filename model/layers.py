"""What a block is made of: positions, feed-forwards, and the block.

Letters: B batch, T positions, D d_model, F d_feed_forward, H heads, K d_head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.gpt import GPTConfig
from model.attention import MultiHeadAttention, Remember
from model.kernels import rotate, squared_relu
from model.norms import make_norm


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


class FeedForward(nn.Module):
    """Expand, bend, contract: each position by itself. Book 4.3.

    gelu is GPT-2's (tanh form); squared_relu is So et al. 2021; swiglu is Shazeer 2020.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        d, hidden = config.d_model, config.hidden
        self.kind = config.feed_forward
        self.expand = nn.Linear(d, hidden, bias=config.bias)
        self.gate = nn.Linear(d, hidden, bias=config.bias) if self.kind == "swiglu" else None
        self.contract = nn.Linear(hidden, d, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        hidden = self.expand(x)  # (..., F)
        if self.gate is not None:
            hidden = F.silu(self.gate(x)) * hidden
        elif self.kind == "gelu":
            hidden = F.gelu(hidden, approximate="tanh")
        else:
            hidden = squared_relu(hidden)
        return self.contract(hidden)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): the norm comes first. Book 4.5."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = MultiHeadAttention(
            config.d_model,
            config.n_heads,
            config.n_kv_heads,
            config.d_head,
            bias=config.bias,
            qkv_bias=config.qkv_bias,
            qk_norm=config.qk_norm,
            qk_gain=config.qk_gain,
            epsilon=config.epsilon,
        )
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rotary: Callable[[Tensor], Tensor] | None = None,
        visible: Tensor | None = None,
        remember: Remember | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D). The rest is told to the attention."""
        x = x + self.dropout(self.attention(self.attention_norm(x), visible, rotary, remember))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
