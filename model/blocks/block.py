"""A block: attention and a feed-forward, with a norm before each.

Letters: B batch, T positions, D d_model, F d_feed_forward, H heads, G key and value
heads, K d_head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks.attention import MultiHeadAttention, Remember
from model.blocks.config import BlockConfig
from model.blocks.elementwise import gelu, squared_relu
from model.blocks.masks import Apart
from model.blocks.norms import make_norm


class FeedForward(nn.Module):
    """Expand, apply a nonlinearity, contract: each position by itself. Book 4.3.

    gelu is GPT-2's (tanh form); squared_relu is So et al. 2021; swiglu is Shazeer 2020.
    """

    def __init__(self, config: BlockConfig) -> None:
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
            hidden = gelu(hidden)
        else:
            hidden = squared_relu(hidden)
        return self.contract(hidden)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): the norm comes first. Book 4.5."""

    def __init__(self, config: BlockConfig) -> None:
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
        visible: Tensor | Apart | None = None,
        remember: Remember | None = None,
        added: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D). The other arguments go to the attention.

        ``added`` maps the input of the attention to what is added to its values (B, T, G K).
        """
        normed = self.attention_norm(x)
        told = {} if added is None else {"added": added(normed)}
        x = x + self.dropout(self.attention(normed, visible, rotary, remember, **told))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
