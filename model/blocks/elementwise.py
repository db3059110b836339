"""Operations on each row or number, with hand-written gradients on a CPU.

On a CPU a small network spends as long on moving activations as on multiplying them, and autograd's
forms take too many passes over memory. Each function here equals the plain form that its docstring
names, in value and in gradient (tests/model/blocks/test_kernels.py). On an accelerator and in a
compiler's graph the plain form runs: there the compiler joins the passes.

Letters: D d_model, K d_head, T positions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 1 << 17  # so many numbers stay in the processor's cache over several passes
_CUBIC, _TWICE = 0.044715, 2 * (2 / math.pi) ** 0.5  # of the tanh form of GELU


def eager_cpu(x: Tensor) -> bool:
    """Whether each operation on ``x`` runs by itself, on a CPU."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def written_out(x: Tensor) -> bool:
    """Whether the hand-written gradients run on ``x``; else the plain forms do."""
    return x.dtype in (torch.float32, torch.bfloat16) and eager_cpu(x)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        y = torch.mul(x, scale).to(x.dtype)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient.float(), y.float()).div_(y.shape[-1]).unsqueeze_(-1)
        # The norm removes a change of length, so the gradient has no part along y.
        into = torch.addcmul(gradient.float(), y.float(), along, value=-1).mul_(scale)
        return into.to(gradient.dtype), None


def rms_norm(x: Tensor, gain: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """``F.rms_norm(x, x.shape[-1:], gain, eps)``: x (..., D), gain (D,) -> (..., D)."""
    if not written_out(x):
        # In fp32 at least, whatever autocast does: torch's kernel needs x and gain of one dtype.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.rms_norm(wide, x.shape[-1:], gain, eps).to(x.dtype)
    y: Tensor = _RMSNorm.apply(x, eps)
    return y if gain is None else (y * gain).to(x.dtype)


class _SquaredReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return (gradient * positive).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """``F.relu(x).square()``."""
    return _SquaredReLU.apply(x) if written_out(x) else F.relu(x).square()


class _GELU(torch.autograd.Function):
    """x s(2u) with the sigmoid s: torch's own form, with a hyperbolic tangent, takes twice as long.

    It also computes the gradient in the forward pass, while its terms are in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, slope = torch.empty_like(x), torch.empty_like(x)
        rows = max(1, CHUNK // x.shape[-1])
        flat = (part.flatten(0, -2).split(rows) for part in (x, y, slope))
        for a, into_y, into_slope in zip(*flat, strict=True):
            u = torch.addcmul(a, a, a * a, value=_CUBIC)
            s = (u * _TWICE).sigmoid_()
            torch.mul(a, s, out=into_y)
            inner = torch.lerp(a, u, 3.0)  # a times the slope of u: 3 u - 2 a
            torch.add(s, torch.ops.aten.sigmoid_backward(inner, s), alpha=_TWICE, out=into_slope)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return gradient * slope


def gelu(x: Tensor) -> Tensor:
    """``F.gelu(x, approximate="tanh")``, GPT-2's: x (..., D) -> the same shape."""
    if written_out(x) and x.requires_grad and x.is_contiguous():
        return _GELU.apply(x)
    return F.gelu(x, approximate="tanh")


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _rotated(x, cosine, sine)

    @staticmethod
    @once_differentiable
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
    if written_out(x):
        return _Rotate.apply(x, cosine, sine)
    first, second = x.chunk(2, dim=-1)
    rotated = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(rotated, dim=-1).to(x.dtype)
