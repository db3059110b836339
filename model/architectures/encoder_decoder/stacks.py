"""The two sides of the original Transformer: the stacks of blocks of encoder and decoder.

Vaswani et al. 2017. Letters: B batch, S source positions, T target positions, D d_model, F
d_feed_forward, H heads, K d_head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.encoder_decoder.config import EncoderDecoderConfig
from model.blocks.attention import MultiHeadAttention, Remember, attend_fused, shares
from model.blocks.cache import Cache
from model.blocks.elementwise import squared_relu
from model.blocks.norms import RMSNorm
from model.blocks.positions import Rotary

ROTARY_BASE = 10_000.0
BENDS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "squared_relu": squared_relu}

Rotation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Memory:
    """The sources as the decoder reads them, computed once for all tokens of the targets.

    ``layers`` holds keys and values (B, H, S, K) for each block's cross-attention. ``visible``
    (B, 1, 1, S) is True where a source has a token.
    """

    layers: list[tuple[Tensor, Tensor]]
    visible: Tensor

    def select(self, rows: Tensor) -> Memory:
        """A memory whose row i is row ``rows[i]``; ``rows`` (B',) may omit, reorder or repeat."""
        layers = [(keys[rows], values[rows]) for keys, values in self.layers]
        return Memory(layers, self.visible[rows])


class CrossAttention(nn.Module):
    """Queries of the target read keys and values of the source; H heads of K = D / H dimensions.

    Vaswani et al. 2017, 3.2.3. Keys and values depend on the source alone: ``read`` computes them
    once.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        d, self.d_head = config.d_model, config.d_head
        self.queries = nn.Linear(d, d, bias=config.bias)
        self.keys = nn.Linear(d, d, bias=config.bias)
        self.values = nn.Linear(d, d, bias=config.bias)
        self.output = nn.Linear(d, d, bias=config.bias)
        self.queries_norm = RMSNorm(self.d_head) if config.qk_norm else nn.Identity()
        self.keys_norm = RMSNorm(self.d_head) if config.qk_norm else nn.Identity()

    def read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S, D) -> keys and values (B, H, S, K)"""
        return self.keys_norm(self._split(self.keys(source))), self._split(self.values(source))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        """x (B, T, D); visible broadcasts to (B, H, T, S) -> (B, T, D)"""
        mixed = attend_fused(self._split_queries(x), keys, values, visible)  # (B, H, T, K)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, keys: Tensor, visible: Tensor) -> Tensor:
        """(B, H, T, S): the weight of each source position in the mean of a target position."""
        return shares(self._split_queries(x), keys, visible)

    def _split_queries(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> queries (B, H, T, K)"""
        return self.queries_norm(self._split(self.queries(x)))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, K)"""
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, cross-attention (in the decoder) and feed-forward, each with sum and norm.

    The norm follows the sum, norm(x + part(x)), as in the original, or precedes the part,
    x + part(norm(x)) (Xiong et al. 2020).
    """

    def __init__(self, config: EncoderDecoderConfig, *, decodes: bool) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention_norm = make_norm(config)
        self.attention = MultiHeadAttention(
            config.d_model,
            config.n_heads,
            causal=decodes,
            bias=config.bias,
            qkv_bias=config.bias,
            qk_norm=config.qk_norm,
        )
        self.cross_norm = make_norm(config) if decodes else nn.Identity()
        self.cross = CrossAttention(config) if decodes else None
        self.feed_forward_norm = make_norm(config)
        self.expand = nn.Linear(config.d_model, config.hidden, bias=config.bias)
        self.bend = BENDS[config.feed_forward]
        self.contract = nn.Linear(config.hidden, config.d_model, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        visible: Tensor | None,
        rotary: Rotation | None,
        memory: Sequence[Tensor] = (),
        remember: Remember | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        In the decoder ``memory`` holds the keys and values of the sources and their mask. The other
        arguments go to the self-attention.
        """
        attention, cross = self.attention, self.cross
        x = self._around(x, self.attention_norm, lambda x: attention(x, visible, rotary, remember))
        if cross is not None:
            x = self._around(x, self.cross_norm, lambda x: cross(x, *memory))
        return self._around(x, self.feed_forward_norm, self._feed_forward)

    def _feed_forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), each position by itself"""
        return self.contract(self.bend(self.expand(x)))

    def _around(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))


class Stack(nn.Module):
    """One side of the network: positions, blocks, and a norm at the end where norms come first."""

    waves: Tensor | None

    def __init__(self, config: EncoderDecoderConfig, n_layers: int, *, decodes: bool) -> None:
        super().__init__()
        self.scale = 1.0 if config.embedding_norm else config.d_model**0.5
        length, d = config.context_length, config.d_model
        self.positions = nn.Embedding(length, d) if config.positions == "learned" else None
        waves = sinusoids(length, d) if config.positions == "sinusoidal" else None
        self.register_buffer("waves", waves, persistent=False)
        rotary = config.positions == "rotary"
        self.rotary = Rotary(config.d_head, length, ROTARY_BASE) if rotary else None
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, decodes=decodes) for _ in range(n_layers))
        self.norm = make_norm(config) if config.norm_first else nn.Identity()

    def forward(
        self,
        x: Tensor,
        visible: Tensor | None,
        memory: Memory | None = None,
        place: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Embedded tokens x (B, T, D) -> (B, T, D); ``place`` (B, T): positions, if not from 0."""
        rotary: Rotation | None = self.rotary
        if self.rotary is not None and place is not None:
            rotary = self.rotary.at(place)
        table = self.waves if self.positions is None else self.positions.weight
        x = x * self.scale
        if table is not None:
            x = x + table[slice(x.shape[1]) if place is None else place]
        x = self.dropout(self.embedding_norm(x))
        for layer, block in enumerate(self.blocks):
            read = () if memory is None else (*memory.layers[layer], memory.visible)
            remember = None if cache is None else partial(cache.remember, layer)
            x = block(x, visible, rotary, read, remember)
        return self.norm(x)


def make_norm(config: EncoderDecoderConfig) -> nn.Module:
    """A norm of the kind that the configuration names."""
    if config.norm == "rms":
        return RMSNorm(config.d_model)
    return nn.LayerNorm(config.d_model, eps=1e-5, bias=config.bias)


def sinusoids(length: int, d_model: int) -> Tensor:
    """(T, D): sines, then cosines, of position / 10000^(2i / D). Vaswani et al. 2017, 3.5.

    The paper alternates sines and cosines: the same dimensions in another order.
    """
    # On the CPU also where the network around it is built without memory.
    pairs = torch.arange(0, d_model, 2, dtype=torch.float64, device="cpu")
    places = torch.arange(length, dtype=torch.float64, device="cpu")
    angle = places[:, None] * ROTARY_BASE ** (-pairs / d_model)
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()
