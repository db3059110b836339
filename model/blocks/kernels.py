"""Operations with hand-written gradients: autograd's take too many passes over memory.

On a CPU a small network spends as long on moving activations as on multiplying them. Each function
here equals the plain form that its docstring names, in value and in gradient. It runs where
autocast is off; under autocast the plain form runs (tests/model/blocks/test_kernels.py).

Letters: N rows, D d_model, V vocabulary, K d_head, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED

ROWS = 256  # so few that their logits stay in the processor's cache until the gradient is computed


def plain(x: Tensor) -> bool:
    """Whether the plain form runs: in reduced precision, or on a device with its own kernels."""
    return x.dtype != torch.float32 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu")


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient, y).div_(y.shape[-1]).unsqueeze_(-1)
        # The norm removes a change of length, so the gradient has no part along y.
        return torch.addcmul(gradient, y, along, value=-1).mul_(scale), None


def rms_norm(x: Tensor, gain: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """``F.rms_norm(x, x.shape[-1:], gain, eps)``: x (..., D), gain (D,) -> (..., D)."""
    if plain(x):
        # Under autocast x may have a narrower dtype than the gain; torch's kernel needs the same.
        gain = None if gain is None else gain.to(x.dtype)
        return F.rms_norm(x, x.shape[-1:], gain, eps)
    y: Tensor = _RMSNorm.apply(x, eps)
    return y if gain is None else y * gain


class _SquaredReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return (gradient * positive).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """``F.relu(x).square()``."""
    return F.relu(x).square() if plain(x) else _SquaredReLU.apply(x)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _rotated(x, cosine, sine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _rotated(gradient, cosine, -sine), None, None  # the transpose rotates back


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first, second, y = x[..., :half], x[..., half:], torch.empty_like(x)
    torch.mul(first, cosine, out=y[..., :half]).addcmul_(second, sine, value=-1)
    torch.mul(second, cosine, out=y[..., half:]).addcmul_(first, sine)
    return y


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotates each pair (x_i, x_{i + K/2}) by its angle: x (..., T, K), tables (T, K/2).

    The plain form is [x1 c - x2 s, x2 c + x1 s].
    """
    if not plain(x):
        return _Rotate.apply(x, cosine, sine)
    first, second = x.chunk(2, dim=-1)
    rotated = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(rotated, dim=-1).to(x.dtype)


class _Rows:
    """A few rows of a head: their logits, log-likelihoods and gradients.

    ``scaled`` is the weight (V, D) times 2 / cap.
    """

    def __init__(self, rows: Tensor, scaled: Tensor, targets: Tensor, cap: float | None) -> None:
        logits = rows @ scaled.T  # (N, V)
        # cap tanh(x / cap) = 2 cap sigmoid(2 x / cap) - cap. The sigmoid is four times as fast
        # here, and a constant does not change a softmax.
        self.bent = logits if cap is None else logits.sigmoid_()
        self.likelihoods = (self.bent if cap is None else self.bent * (2 * cap)).log_softmax(-1)
        self.kept, self.cap = targets != IGNORED, cap
        self.place = targets.where(self.kept, 0)[:, None]

    def at_targets(self) -> Tensor:
        """(N,): the log-likelihood of each target, 0 where it does not count."""
        return self.likelihoods.gather(1, self.place)[:, 0].where(self.kept, 0.0)

    def slope(self, gradient: Tensor | float = 1.0) -> Tensor:
        """(N, V): the gradient of the nats in the products of rows and weight; changes the object.

        ``gradient`` (N,) is that of each row's nats.
        """
        share = self.kept * gradient
        slope = self.likelihoods.exp_().mul_(share[:, None])
        slope.scatter_add_(1, self.place, -share[:, None])
        if self.cap is not None:
            bend = torch.addcmul(self.bent, self.bent, self.bent, value=-1, out=self.bent)
            slope.mul_(bend).mul_(4)
        return slope


def _scaled(weight: Tensor, cap: float | None) -> Tensor:
    return weight if cap is None else weight * (2 / cap)


def _blocks(features: Tensor) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, len(features), ROWS))


class _HeadNats(torch.autograd.Function):
    """Logits, cap, cross-entropy and their gradients, a few rows at a time, in one pass."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, cap: float | None
    ) -> Tensor:
        needs_gradient = any(ctx.needs_input_grad)
        scaled = _scaled(weight, cap)
        into_features = torch.empty_like(features) if needs_gradient else features
        into_weight = torch.zeros_like(weight) if needs_gradient else weight
        total = features.new_zeros((), dtype=torch.float64)
        for block in _blocks(features):
            rows = _Rows(features[block], scaled, targets[block], cap)
            total -= rows.at_targets().sum()
            if needs_gradient:
                slope = rows.slope()
                into_weight.addmm_(slope.T, features[block])
                torch.mm(slope, weight, out=into_features[block])
        if needs_gradient:
            ctx.save_for_backward(into_features, into_weight)
        return total.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        into_features, into_weight = ctx.saved_tensors
        return into_features * gradient, into_weight * gradient, None, None


class _TokenLogLikelihoods(torch.autograd.Function):
    """Logits, cap and log-softmax at the targets, a few rows at a time; computed again backward."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, cap: float | None
    ) -> Tensor:
        scaled = _scaled(weight, cap)
        ctx.save_for_backward(features, weight, targets)
        ctx.cap = cap
        likelihoods = [
            _Rows(features[block], scaled, targets[block], cap).at_targets()
            for block in _blocks(features)
        ]
        return torch.cat(likelihoods) if likelihoods else features.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        features, weight, targets = ctx.saved_tensors
        scaled = _scaled(weight, ctx.cap)
        into_features, into_weight = torch.empty_like(features), torch.zeros_like(weight)
        for block in _blocks(features):
            rows = _Rows(features[block], scaled, targets[block], ctx.cap)
            slope = rows.slope(-gradient[block])
            into_weight.addmm_(slope.T, features[block])
            torch.mm(slope, weight, out=into_features[block])
        return into_features, into_weight, None, None


def token_log_likelihoods(
    features: Tensor, weight: Tensor, targets: Tensor, cap: float | None
) -> Tensor:
    """(N,): the log-likelihood of each target under cap tanh(features weight^T / cap), in nats.

    features (N, D), weight (V, D), targets (N,) int64; 0 where a target is IGNORED. It never holds
    the logits of all rows. The plain form is ``-F.cross_entropy`` of ``capped_logits``.
    """
    if plain(features):
        logits = capped_logits(features, weight, cap)
        return -F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return _TokenLogLikelihoods.apply(features, weight, targets, cap)


def head_nats(features: Tensor, weight: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    """``-token_log_likelihoods(features, weight, targets, cap).sum()``, in one pass less.

    Where all targets have the same weight, the gradients are known before the backward pass.
    """
    if plain(features):
        logits = capped_logits(features, weight, cap)
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return _HeadNats.apply(features, weight, targets, cap)


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
