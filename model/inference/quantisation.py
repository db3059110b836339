"""Weights in eight bits, for inference: one token costs the time of reading all weights.

Each row of a weight, which makes one output, is stored as whole numbers from -127 to 127 and a
scale of its own (Dettmers et al. 2022). Activations are not rounded to eight bits: outliers in a
few dimensions would cost too much accuracy. The processor multiplies whole numbers, so an
activation is written as two digits of seven bits; both are multiplied with weights that are read
once.

Letters: N rows, D inputs, V outputs.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 127
# A digit from -63 to 63, stored as 1 to 127. Two products with a weight then fit into 16 bits, in
# which the kernel adds them without AVX512.
DIGIT, ZERO = 63, 64
FINER = 2 * DIGIT  # the remainder is at most half a step of the first digit


class Int8Linear(nn.Module):
    """x (..., D) -> (..., V), like ``nn.Linear`` but with rounded weights.

    The weights are ``numbers`` (V, D) int8 times ``scale`` (V,). fp32 on an x86 processor uses
    FBGEMM, bf16 torch's own kernel. Elsewhere the weights are computed for every product, which
    saves memory but no time.
    """

    numbers: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Rounds a weight (V, D); copies a bias (V,). It changes neither."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        scale = torch.linalg.vector_norm(weight.detach().float(), torch.inf, dim=1) / LARGEST
        scale = scale.masked_fill(scale == 0, 1.0)
        numbers = (weight.detach().float() / scale[:, None]).round()
        self.register_buffer("numbers", numbers.to(torch.int8))
        self.register_buffer("scale", scale.to(weight.dtype))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._packed = _packed(self.numbers, scale) if weight.dtype == torch.float32 else None

    @property
    def weight(self) -> Tensor:
        """The rounded weights (V, D), in the dtype of the original ones."""
        return self.numbers.to(self.scale.dtype) * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        rows = x.reshape(-1, self.in_features)
        if self._packed is not None and x.device.type == "cpu" and x.dtype == torch.float32:
            y = self._by_digits(rows)
        elif x.dtype == torch.bfloat16:
            y = torch._weight_int8pack_mm(rows, self.numbers, self.scale)
            y = y if self.bias is None else y.add_(self.bias)
        else:
            y = F.linear(rows, self.weight.to(x.dtype), self.bias)
        return y.view(*x.shape[:-1], self.out_features)

    def _by_digits(self, x: Tensor) -> Tensor:
        """x (N, D) -> (N, V). Integer sums are exact, so a row does not depend on the batch."""
        step = torch.linalg.vector_norm(x, torch.inf, dim=1, keepdim=True).clamp_min_(1e-30)
        x = x / step.div_(DIGIT)
        digits = torch.cat([x, (x - x.round()).mul_(FINER)])  # rounded by the kernel
        y = _multiply(digits, 1.0, ZERO, self._packed)
        first, second = y.chunk(2)
        y = first.add_(second, alpha=1 / FINER)
        return y.mul_(step) if self.bias is None else torch.addcmul(self.bias, y, step)


def quantise(network: Any) -> Any:
    """A copy of a network for inference, with its linear layers and its head in eight bits.

    Embeddings, norms and biases are not rounded. A tied head becomes a rounded copy of the
    embedding. The original network does not change. Raises ValueError for a linear layer of another
    class, which has more than a weight and a bias.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and type(layer) is not nn.Linear:
            raise ValueError(f"{name} is a {type(layer).__name__}: merge it before it is rounded")
    replacements: dict[int, Any] = {
        id(layer): Int8Linear(layer.weight, layer.bias)
        for layer in network.modules()
        if type(layer) is nn.Linear
    }
    rounded = copy.deepcopy(network, replacements).requires_grad_(False)  # not copied
    if rounded.head is None:
        rounded.head = Int8Linear(network.embedding.weight)
    return rounded.eval()


def _packed(numbers: Tensor, scale: Tensor) -> Any:
    """The weights in FBGEMM's own layout; None where torch has no FBGEMM."""
    quantized = torch.backends.quantized
    if numbers.device.type != "cpu" or "fbgemm" not in quantized.supported_engines:
        return None
    zeros = torch.zeros(len(numbers), dtype=torch.int64)
    before = quantized.engine
    with warnings.catch_warnings():
        # FBGEMM's layout still needs torch's quantised tensors, which are deprecated.
        warnings.simplefilter("ignore", UserWarning)
        try:
            quantized.engine = "fbgemm"
            weight = torch._make_per_channel_quantized_tensor(numbers, scale.double(), zeros, 0)
            return torch.ops.quantized.linear_prepack(weight, None)
        finally:
            quantized.engine = before


def _multiply(x: Tensor, scale: float, zero: int, packed: Any) -> Tensor:
    """x / scale, rounded to whole numbers from -zero to 255 - zero, times the packed weights."""
    y: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
        x, scale, zero, packed
    )
    return y
