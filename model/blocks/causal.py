"""Causal attention on a CPU that remembers its weights, for contexts that are short enough.

torch's fused kernel never holds the (T, T) weights and computes them again in its backward pass,
which takes 1.5 times as long as with the weights at hand. Where they fit into ``MOST`` bytes they
are kept.

Letters: B batch, H heads, T positions, K d_head, N = B H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.blocks.elementwise import eager_cpu

MOST = 1 << 25  # bytes of weights a layer
BLOCK = 64  # queries that are computed together: what comes after a block is not computed


class _Causal(torch.autograd.Function):
    """Block by block of queries, each with the keys up to its end."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        shape, length = queries.shape, queries.shape[-2]
        ctx.scale = shape[-1] ** -0.5
        queries = torch.mul(queries, ctx.scale).flatten(0, 1)  # (N, T, K)
        keys, values = (part.flatten(0, 1) for part in (keys, values))
        mixed, shares = torch.empty_like(values), []
        hidden = queries.new_full((BLOCK, BLOCK), -torch.inf).triu_(1)
        for start in range(0, length, BLOCK):
            end = min(start + BLOCK, length)
            scores = torch.bmm(queries[:, start:end], keys[:, :end].mT)  # (N, block, end)
            scores[:, :, start:] += hidden[: end - start, : end - start]
            shares.append(torch.softmax(scores, -1, out=scores))
            torch.bmm(scores, values[:, :end], out=mixed[:, start:end])
        ctx.save_for_backward(queries, keys, values, mixed, *shares)
        return mixed.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values, mixed, *shares = ctx.saved_tensors
        shape = gradient.shape
        gradient = gradient.flatten(0, 1)  # (N, T, K)
        along = torch.linalg.vecdot(gradient, mixed)[..., None]  # (N, T, 1)
        into_queries = torch.empty_like(queries)
        into_keys, into_values = torch.zeros_like(keys), torch.zeros_like(values)
        for number, share in enumerate(shares):
            start = number * BLOCK
            end = start + share.shape[1]
            block = gradient[:, start:end]
            into_values[:, :end].baddbmm_(share.mT, block)
            slope = torch.bmm(block, values[:, :end].mT).sub_(along[:, start:end]).mul_(share)
            torch.bmm(slope, keys[:, :end], out=into_queries[:, start:end])
            into_keys[:, :end].baddbmm_(slope.mT, queries[:, start:end])
        into_queries.mul_(ctx.scale)
        return into_queries.view(shape), into_keys.view(shape), into_values.view(shape)


def remembers(queries: Tensor, keys: Tensor) -> bool:
    """Whether ``attend_causal`` is for these queries and keys (B, H, T, K)."""
    rows, heads, length, _ = queries.shape
    return (
        torch.is_grad_enabled()
        and queries.requires_grad
        and queries.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and eager_cpu(queries)
        and queries.shape == keys.shape
        and rows * heads * length * (length + BLOCK) * 2 <= MOST
    )


def attend_causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """queries, keys and values (B, H, T, K) -> the same; a position reads those up to its own."""
    mixed: Tensor = _Causal.apply(queries, keys, values)
    return mixed
