"""Attention, rung by rung: simplified, with trained projections, causal, multi-head, fused.

Letters: B batch, T queries, S keys, D d_model, H heads, G key and value heads, K d_head. Masks are
True where a position may be read. Each rung adds one thing to the rung below it. All rungs take the
arguments of ``MultiHeadAttention.forward``, so that model/ladder.py can train the same network with
each. tests/model/test_ladder.py shows which rungs are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks.low_rank import LowRankLinear
from model.blocks.masks import Apart, causal
from model.blocks.norms import RMSNorm

# Keys and values of new tokens (B, G, T, K) -> keys and values of all tokens (B, G, S, K).
Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention: a weighted mean of ``values``.

    queries (..., T, K), keys and values (..., S, K) -> (..., T, K). ``visible`` broadcasts to
    (..., T, S); True marks a key that the query may read. Vaswani et al. 2017, eq. 1; book 3.4.
    """
    return shares(queries, keys, visible) @ values


def shares(queries: Tensor, keys: Tensor, visible: Tensor | Apart | None = None) -> Tensor:
    """The weights (..., T, S) of ``attend``'s mean: each row adds up to 1."""
    visible = visible.mask if isinstance(visible, Apart) else visible
    # The variance of a K-term dot product grows with K; unscaled, the softmax saturates.
    scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5  # (..., T, S)
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    return scores.softmax(dim=-1)


def attend_fused(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    visible: Tensor | None = None,
    *,
    is_causal: bool = False,
) -> Tensor:
    """``attend`` in one kernel that never holds the (T, S) scores (Dao et al. 2022).

    H / G neighbouring heads of queries (B, H, T, K) share one head of keys and values
    (B, G, S, K), without copies. ``is_causal`` has the effect of the mask ``causal``.
    """
    shared = queries.ndim > 2 and keys.shape[-3] < queries.shape[-3]
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=visible, is_causal=is_causal, enable_gqa=shared
    )


class SimplifiedAttention(nn.Module):
    """Each position becomes a mean of all positions, weighted by their dot products. Book 3.3.

    There are no trained weights and no mask, and the dot products are not scaled.
    """

    def forward(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
        remember: Remember | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). ``visible`` broadcasts to (B, 1, T, T)."""
        _refuse(remember)
        return (self.weights(x, visible, rotary) @ x[:, None])[:, 0]

    def weights(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, 1, T, T): the weight of each position in each position's mean."""
        read = x[:, None] if rotary is None else rotary(x[:, None])
        return shares(read * read.shape[-1] ** 0.5, read, visible)


class SelfAttention(nn.Module):
    """Attention between trained projections: queries, keys and values. Book 3.4 and 3.5.

    One head of K dimensions. ``causal`` is the next rung: a position reads itself and the positions
    before it alone, even where ``visible`` allows more.
    """

    def __init__(self, d_model: int, d_head: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.queries = nn.Linear(d_model, d_head, bias=False)
        self.keys = nn.Linear(d_model, d_head, bias=False)
        self.values = nn.Linear(d_model, d_head, bias=False)

    def forward(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
        remember: Remember | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, K). ``visible`` broadcasts to (B, 1, T, T)."""
        _refuse(remember)
        return self.weights(x, visible, rotary)[:, 0] @ self.values(x)

    def weights(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, 1, T, T): the weight of each position's value in each position's mean."""
        queries, keys = self.queries(x)[:, None], self.keys(x)[:, None]
        if rotary is not None:
            queries, keys = rotary(queries), rotary(keys)
        return shares(queries, keys, _past(x.shape[1], visible, x.device, self.causal))


def _past(
    length: int, visible: Tensor | Apart | None, device: torch.device, is_causal: bool
) -> Tensor | None:
    """``visible`` as a mask, limited to the past if ``is_causal``."""
    visible = visible.mask if isinstance(visible, Apart) else visible
    if not is_causal:
        return visible
    past = causal(length, device)
    return past if visible is None else visible & past


def _refuse(remember: Remember | None) -> None:
    if remember is not None:
        raise ValueError("this rung of attention has no cache: generate with cached=False")


class MultiHeadAttention(nn.Module):
    """H heads attend side by side in K dimensions each: ``d_head``, or else D / H. Book 3.6.

    With ``n_kv_heads`` G below H, H / G neighbouring query heads share one key and value head
    (Ainslie et al. 2023). ``qk_norm`` normalises queries and keys before the rotation, which bounds
    the scores (Henry et al. 2020), and ``qk_gain`` adds a trained weight for each dimension
    of both (Qwen3). ``fused`` chooses the kernel; both give the same numbers.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        *,
        causal: bool = True,
        bias: bool = False,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        qk_gain: bool = False,
        epsilon: float = 1e-6,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads or n_heads
        if (d_head is None and d_model % n_heads) or n_heads % self.n_kv_heads:
            raise ValueError(
                f"d_model={d_model}, n_heads={n_heads}, n_kv_heads={self.n_kv_heads}: "
                "n_heads must be a multiple of n_kv_heads, and d_model of n_heads (or give d_head)"
            )
        self.d_head = d_head or d_model // n_heads
        self.causal, self.fused = causal, fused
        d_heads, d_shared = n_heads * self.d_head, self.n_kv_heads * self.d_head
        self.queries = nn.Linear(d_model, d_heads, bias=qkv_bias)
        self.keys = nn.Linear(d_model, d_shared, bias=qkv_bias)
        self.values = nn.Linear(d_model, d_shared, bias=qkv_bias)
        self.output = nn.Linear(d_heads, d_model, bias=bias)
        norm = partial(RMSNorm, self.d_head, gain=qk_gain, epsilon=epsilon)
        self.queries_norm = norm() if qk_norm else nn.Identity()
        self.keys_norm = norm() if qk_norm else nn.Identity()

    def forward(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
        remember: Remember | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). ``visible`` broadcasts to (B, H, T, T); a causal layer
        also applies its causal mask. With ``remember``, x follows S - T tokens, and ``visible``
        (B, H, T, S) contains the causal mask. ``added`` (B, T, G K) is added to the values."""
        queries, keys, values = self._project(x, rotary, joined=remember is None)
        if added is not None:
            values = values + self._split(added, self.n_kv_heads)
        if remember is not None:
            keys, values = remember(keys, values)
        if self.n_kv_heads < self.n_heads and not self.fused:  # the kernel needs no copies
            share = self.n_heads // self.n_kv_heads
            keys, values = (t.repeat_interleave(share, dim=1) for t in (keys, values))
        mixed = self._attend(queries, keys, values, visible)  # (B, H, T, K)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(
        self,
        x: Tensor,
        visible: Tensor | Apart | None = None,
        rotary: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, H, T, T): the weight of each position's value in each position's mean; to display."""
        queries, keys, _ = self._project(x, rotary, joined=False)
        keys = keys.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)
        return shares(queries, keys, _past(x.shape[1], visible, x.device, self.causal))

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | Apart | None
    ) -> Tensor:
        if self.fused and isinstance(visible, Apart):
            return self._attend_apart(queries, keys, values, visible.lengths)
        if self.fused and self.causal and visible is None:
            # With the causal flag instead of a mask, the kernel skips the blocks that are hidden.
            return attend_fused(queries, keys, values, is_causal=True)
        # With a cache there are more keys than queries, and ``visible`` contains the causal mask.
        is_causal = self.causal and queries.shape[-2] == keys.shape[-2]
        visible = _past(queries.shape[-2], visible, queries.device, is_causal)
        return (attend_fused if self.fused else attend)(queries, keys, values, visible)

    def _attend_apart(
        self, queries: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int]
    ) -> Tensor:
        """(B, H, T, K), each stretch of so many tokens by itself."""
        rows = queries.shape[0]
        stretches = [
            part.transpose(1, 2).flatten(0, 1).split(lengths) for part in (queries, keys, values)
        ]
        mixed = [
            attend_fused(*(part.transpose(0, 1)[None] for part in parts), is_causal=self.causal)
            for parts in zip(*stretches, strict=True)
        ]  # each (1, H, length, K)
        return torch.cat(mixed, dim=2)[0].unflatten(1, (rows, -1)).transpose(0, 1)

    def _project(
        self, x: Tensor, rotary: Callable[[Tensor], Tensor] | None, *, joined: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head, ready to attend; from one matrix product if ``joined``.

        Three small products leave the processor idle. For a single token they still take less time
        than joining the weights.
        """
        layers = (self.queries, self.keys, self.values)
        # Layers of another class multiply themselves.
        joined = joined and all(type(layer) in (nn.Linear, LowRankLinear) for layer in layers)
        parts = self._joined(x, layers) if joined else [layer(x) for layer in layers]
        heads = (self.n_heads, self.n_kv_heads, self.n_kv_heads)
        queries, keys, values = map(self._split, parts, heads)
        queries, keys = self.queries_norm(queries), self.keys_norm(keys)
        if rotary is not None:
            queries, keys = rotary(queries), rotary(keys)
        return queries, keys, values

    def _joined(self, x: Tensor, layers: Sequence[nn.Linear]) -> Sequence[Tensor]:
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if self.queries.bias is None else torch.cat([layer.bias for layer in layers])
        parts = F.linear(x, weight, bias).split([layer.out_features for layer in layers], dim=-1)
        return [
            part + layer.change(x) if isinstance(layer, LowRankLinear) else part
            for layer, part in zip(layers, parts, strict=True)
        ]

    def _split(self, x: Tensor, heads: int) -> Tensor:
        """(B, T, heads K) -> (B, heads, T, K)"""
        return x.unflatten(-1, (heads, self.d_head)).transpose(1, 2)
