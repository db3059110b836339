"""What a block is made of: norms, positions, feed-forwards, and the block.

Letters: B batch, T positions, D d_model, F d_feed_forward, H heads, K d_head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.gpt import GPTConfig
from model.attention import MultiHeadAttention, Remember
from model.kernels import rms_norm, rotate, squared_relu


class RMSNorm(nn.Module):
    """x / rms(x) over the last dimension, without parameters (Zhang & Sennrich 2019).

    A gain would be absorbed by the matrix that follows; leaving it out costs no quality.
    """

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


def make_norm(config: GPTConfig) -> nn.Module:
    if config.norm == "rms":
        return RMSNorm()
    return nn.LayerNorm(config.d_model, eps=1e-5, bias=config.bias)


class Rotary(nn.Module):
    """Rotates each pair (x_i, x_{i + K/2}) by position / base^(2i / K) (Su et al. 2021).

    A dot product of two rotated vectors depends on their distance alone. The direction and the
    halves are Llama's. NanoChat turns the other way: to it, a head's two halves of query and key
    rows are exchanged, and every score is the same.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, d_head: int, context_length: int, base: float) -> None:
        super().__init__()
        speed = base ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)  # (K/2,)
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
            bias=config.bias,
            qkv_bias=config.qkv_bias,
            qk_norm=config.qk_norm,
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
