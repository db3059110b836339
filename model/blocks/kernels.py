"""The head of a network as likelihoods: its logits are never held for all rows at once.

A few rows at a time are multiplied, their likelihoods and the gradients are computed, and the
logits are forgotten. ``token_log_likelihoods`` is the primitive; ``head_nats`` is its sum, in one
pass less. Both equal the plain form that their docstring names, in value and in gradient.

Letters: N rows, D d_model, V vocabulary, W at least V.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.batches.batching import IGNORED
from model.blocks.elementwise import eager_cpu

# Bytes of logits that are held at a time, on a CPU or elsewhere. Each block adds to the gradient of
# the whole weight: on two cores the head took 1.07 times as long with blocks of a quarter of the
# size at 50,257 tokens, and 0.98 times with blocks of twice the size.
CPU_BLOCK, BLOCK = 1 << 28, 1 << 30
TINY = 1e-30  # of a smaller likelihood the logarithm is not exact


class _Head:
    """A head's weight as its products take it.

    In fp32 they take the weight (V, D) itself. In a narrower ``dtype`` they take a copy with rows
    of zeros up to a multiple of 64, which an accelerator's products need to be fast.
    """

    def __init__(self, weight: Tensor, cap: float | None, dtype: torch.dtype) -> None:
        self.cap, self.vocab_size = cap, len(weight)
        self.width = -(-self.vocab_size // 64) * 64
        if dtype != weight.dtype:
            weight = F.pad(weight, (0, 0, 0, self.width - self.vocab_size)).to(dtype)
        self.weight = weight
        # cap tanh(x / cap) = 2 cap sigmoid(2 x / cap) - cap. The sigmoid is four times as fast on a
        # CPU, and a constant does not change a softmax.
        self.scaled = weight if cap is None else weight * (2 / cap)
        self.slope_of_cap = 1.0 if cap is None else 4.0

    def blocks(self, features: Tensor) -> list[slice]:
        """Cuts the rows into blocks of nearly equal size, whose logits have ``BLOCK`` bytes."""
        size = CPU_BLOCK if features.device.type == "cpu" else BLOCK
        count = -(-len(features) * self.width * 4 // size)
        cuts = [number * len(features) // count for number in range(count + 1)] if count else []
        return [slice(a, b) for a, b in itertools.pairwise(cuts)]

    def read(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """rows (N, D), targets (N,) -> the log-likelihood (N,) of each target, the likelihoods
        (N, W) of all tokens, 0 from V on, and the sigmoids (N, W) of the cap."""
        bent = logits = self._products(rows)
        if self.cap is not None:
            bent = logits.sigmoid_()
            logits = bent * (2 * self.cap)
        logits[:, self.vocab_size :] = -math.inf
        if not eager_cpu(rows):
            logs = logits.log_softmax(1)
            return logs.gather(1, targets[:, None])[:, 0], logs.exp(), bent
        # The exponential is computed once and not twice; the logarithm of few is cheap.
        likelihoods = torch.softmax(logits, 1, out=logits)
        found = likelihoods.gather(1, targets[:, None])[:, 0]
        if bool((found < TINY).any()):
            logs = capped_logits(rows.float(), self.weight[: self.vocab_size].float(), self.cap)
            return logs.log_softmax(1).gather(1, targets[:, None])[:, 0], likelihoods, bent
        return found.log_(), likelihoods, bent

    def _products(self, rows: Tensor) -> Tensor:
        """(N, W): rows times the scaled weight, in fp32."""
        if not eager_cpu(rows) or self.scaled.dtype != torch.float32:
            return (rows.to(self.scaled.dtype) @ self.scaled.T).float()
        # The product takes 1.3 times as long if rows of logits do not begin at whole cache lines.
        logits = rows.new_empty((len(rows), self.width), dtype=torch.float32)
        torch.mm(rows.float(), self.scaled.T, out=logits[:, : self.vocab_size])
        return logits

    def slope(self, likelihoods: Tensor, bent: Tensor, targets: Tensor) -> Tensor:
        """The gradient of each row's nats in its products, by ``slope_of_cap``; one a weight row.

        It overwrites ``likelihoods``.
        """
        slope = likelihoods.scatter_add_(
            1, targets[:, None], likelihoods.new_full((len(targets), 1), -1.0)
        )
        if self.cap is not None:
            slope = torch.ops.aten.sigmoid_backward(slope, bent)  # slope s (1 - s)
        return slope[:, : len(self.weight)].to(self.weight.dtype)


class _Gradients:
    """The gradients of features and weight, block by block; None for one that is not needed."""

    def __init__(self, features: Tensor, weight: Tensor, needed: Sequence[bool]) -> None:
        self.features = torch.empty_like(features) if needed[0] else None
        self.weight = torch.zeros_like(weight) if needed[1] else None

    def add(
        self, block: slice, rows: Tensor, head: _Head, slope: Tensor, shares: Tensor | None
    ) -> None:
        """Adds a block's. ``shares`` (N,): the gradient in each row's nats; None for 1."""
        factor = head.slope_of_cap if shares is None else shares[:, None] * head.slope_of_cap
        if self.weight is not None:
            scaled = (rows * factor).to(slope.dtype)
            if eager_cpu(slope) and slope.dtype == self.weight.dtype:
                torch.addmm(self.weight, slope.T, scaled, out=self.weight)
            else:
                self.weight += (slope.T @ scaled)[: head.vocab_size]
        if self.features is not None:
            self.features[block] = (slope @ head.weight) * factor


def _places(targets: Tensor) -> tuple[Tensor, Tensor | None]:
    """The targets, 0 where ignored, and 1.0 for each that counts, 0.0 else; None if all count."""
    if eager_cpu(targets):  # ``counted`` has left the others out
        return targets, None
    kept = targets != IGNORED
    return targets.where(kept, 0), kept.float()


class _HeadNats(torch.autograd.Function):
    """The sum of all nats. The gradients are computed forward, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        targets: Tensor,
        cap: float | None,
        dtype: torch.dtype,
    ) -> Tensor:
        head = _Head(weight, cap, dtype)
        gradients = _Gradients(features, weight, ctx.needs_input_grad)
        total = features.new_zeros((), dtype=torch.float64)
        places, counts = _places(targets)
        for block in head.blocks(features):
            rows, place = features[block], places[block]
            shares = None if counts is None else counts[block]
            logs, likelihoods, bent = head.read(rows, place)
            total -= (logs if shares is None else logs * shares).sum()
            gradients.add(block, rows, head, head.slope(likelihoods, bent, place), shares)
        ctx.save_for_backward(gradients.features, gradients.weight)
        return total.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        into = [None if saved is None else saved * gradient for saved in ctx.saved_tensors]
        return *into, None, None, None


class _TokenLogLikelihoods(torch.autograd.Function):
    """The log-likelihood of each target. Backward the logits are computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        targets: Tensor,
        cap: float | None,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(features, weight, targets)
        ctx.cap, ctx.dtype = cap, dtype
        return _log_likelihoods(features, weight, targets, cap, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, targets = ctx.saved_tensors
        head = _Head(weight, ctx.cap, ctx.dtype)
        gradients = _Gradients(features, weight, ctx.needs_input_grad)
        places, counts = _places(targets)
        shares = -gradient if counts is None else -gradient * counts
        for block in head.blocks(features):
            rows, place = features[block], places[block]
            _, likelihoods, bent = head.read(rows, place)
            slope = head.slope(likelihoods, bent, place)
            gradients.add(block, rows, head, slope, shares[block])
        return gradients.features, gradients.weight, None, None, None


def _log_likelihoods(
    features: Tensor, weight: Tensor, targets: Tensor, cap: float | None, dtype: torch.dtype
) -> Tensor:
    head = _Head(weight, cap, dtype)
    places, counts = _places(targets)
    blocks = head.blocks(features)
    logs = [head.read(features[block], places[block])[0] for block in blocks]
    found = torch.cat(logs) if logs else features.new_zeros(0, dtype=torch.float32)
    return found if counts is None else found * counts


def counted(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """features (N, D), targets (N,) -> the rows whose target counts.

    All rows on an accelerator, which would have to be waited for to know how many there are, and in
    a compiler's graph, whose shapes are fixed.
    """
    if not eager_cpu(targets):
        return features, targets
    kept = targets != IGNORED
    return (features, targets) if bool(kept.all()) else (features[kept], targets[kept])


def _product_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of products with the weight: autocast's, where it is on."""
    device = weight.device.type
    on = torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else weight.dtype


def token_log_likelihoods(
    features: Tensor, weight: Tensor, targets: Tensor, cap: float | None
) -> Tensor:
    """(N,): the log-likelihood of each target under cap tanh(features weight^T / cap), in nats.

    features (N, D), weight (V, D), targets (N,) int64; 0 where a target is IGNORED. The plain form
    is ``-F.cross_entropy`` of ``capped_logits``.
    """
    rows, found = counted(features, targets)
    dtype = _product_dtype(weight)
    with torch.autocast(features.device.type, enabled=False):
        # Where no gradient is wanted, an autograd.Function would still be told of one.
        form = _TokenLogLikelihoods.apply if torch.is_grad_enabled() else _log_likelihoods
        logs: Tensor = form(rows, weight, found, cap, dtype)
    if len(rows) == len(features):
        return logs
    return logs.new_zeros(len(targets)).masked_scatter(targets != IGNORED, logs)


def head_nats(features: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    """``-token_log_likelihoods(features, weight, targets, cap).sum()``, in one pass less.

    Where all targets have the same weight, the gradients are known before the backward pass.
    """
    features, targets = counted(features, targets)
    dtype = _product_dtype(weight)
    with torch.autocast(features.device.type, enabled=False):
        if torch.is_grad_enabled():
            nats: Tensor = _HeadNats.apply(features, weight, targets, cap, dtype)
            return nats
        return -_log_likelihoods(features, weight, targets, cap, dtype).double().sum().float()


def capped_logits(
    features: Tensor, head: Tensor | Callable[[Tensor], Tensor], cap: float | None
) -> Tensor:
    """features (..., D) -> logits (..., V) in fp32, softly capped (Gemma 2).

    ``head`` is a weight (V, D), or a layer that multiplies by one.
    """
    if cap is not None:
        features = features / cap  # cheaper here than on V logits
    logits = F.linear(features, head) if isinstance(head, Tensor) else head(features)
    # tanh works in place: a copy with V columns costs a further pass through memory.
    return logits.float() if cap is None else logits.float().tanh_() * cap
