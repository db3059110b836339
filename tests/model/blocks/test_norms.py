"""Norms against torch's own, in value and gradient. Letters: B batch, T positions, D width."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.gpt.config import GPTConfig
from model.blocks.norms import RMSNorm, make_norm

B, T, D = 2, 5, 8


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
def test_rms_norm_is_torchs(gain: bool, epsilon: float) -> None:
    # Rows of very different size, the smallest of which the epsilon decides.
    base, slope = drawn(B, T, D, seed=1) * torch.logspace(-3, 2, T)[:, None], drawn(B, T, D, seed=2)
    found = []
    for plain in (False, True):
        x, norm = base.clone().requires_grad_(), RMSNorm(D, gain=gain, epsilon=epsilon)
        leaves = [x]
        if norm.weight is not None:
            norm.weight.data = drawn(D, seed=3)
            leaves.append(norm.weight)
        y = F.rms_norm(x, (D,), norm.weight, epsilon) if plain else norm(x)
        found.append((y, *torch.autograd.grad(y, leaves, slope)))
    assert len(found[0]) == 2 + gain
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_rms_norm_keeps_the_dtype(dtype: torch.dtype) -> None:
    norm = RMSNorm(D, gain=True).to(dtype)
    y = norm(drawn(T, D, seed=1).to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.square().mean(-1), torch.ones(T, dtype=dtype), atol=0.02, rtol=0)


def test_autocast_hands_on_what_it_gets() -> None:
    """Queries come out of a product in bf16, and have to meet values of the same dtype."""
    norm, x = RMSNorm(D, gain=True), drawn(T, D, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert norm.weight is not None
    assert norm.weight.grad is not None
    assert norm.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "kind", "names", "epsilon"),
    [
        ({"norm": "rms"}, RMSNorm, set(), 1e-6),
        ({"norm": "rms", "norm_gain": True}, RMSNorm, {"weight"}, 1e-6),
        ({"norm": "rms", "norm_epsilon": 1e-5}, RMSNorm, set(), 1e-5),
        ({"norm": "layer"}, nn.LayerNorm, {"weight"}, 1e-5),
        ({"norm": "layer", "bias": True}, nn.LayerNorm, {"weight", "bias"}, 1e-5),
    ],
)
def test_the_configuration_decides_the_norm(
    values: dict[str, object], kind: type[nn.Module], names: set[str], epsilon: float
) -> None:
    config = GPTConfig(vocab_size=8, d_model=D, **values)  # type: ignore[arg-type]
    norm = make_norm(config)
    assert type(norm) is kind
    assert set(norm.state_dict()) == names
    assert config.epsilon == epsilon
    nearly_zero = torch.full((1, D), 1e-3)
    nearly_zero[0, ::2] *= -1
    expected = 1e-3 / (1e-6 + epsilon) ** 0.5
    assert norm(nearly_zero).abs().max().item() == pytest.approx(expected, rel=1e-4)
