"""Attention that remembers its weights is torch's fused attention, in value and in gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.blocks import causal
from model.blocks.attention import MultiHeadAttention
from model.blocks.causal import attend_causal, remembers


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_it_is_torchs_kernel(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    # The heads of one joined product, as attention hands them over.
    joined = torch.randn(2, length, 3, 3, 8, generator=generator)
    slope = torch.randn(2, 3, length, 8, generator=generator)
    found = []
    for form in (
        attend_causal,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    ):
        parts = joined.clone().requires_grad_()
        mixed = form(*(part.transpose(1, 2) for part in parts.unbind(2)))
        found.append((mixed, torch.autograd.grad(mixed, parts, slope)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_it_is_for_what_fits_and_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = torch.randn(2, 4, 64, 8, requires_grad=True), torch.randn(2, 4, 64, 8)
    assert remembers(queries, keys)
    assert not remembers(queries, keys[:, :2])  # grouped
    assert not remembers(queries.bfloat16(), keys.bfloat16())
    assert not remembers(queries.detach(), keys)
    with torch.no_grad():
        assert not remembers(queries, keys)
    monkeypatch.setattr(causal, "MOST", 2 * 4 * 64 * 128 * 2 - 1)
    assert not remembers(queries, keys)


def test_a_layer_takes_it_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = MultiHeadAttention(16, n_heads=2)
    x = torch.randn(2, 70, 16)
    taken = []
    monkeypatch.setattr(
        "model.blocks.attention.attend_causal",
        lambda *parts: taken.append(1) or attend_causal(*parts),
    )
    with_weights = layer(x)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), with_weights.detach(), rtol=1e-4, atol=1e-5)
    assert len(taken) == 1


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(1, 1, 4, 2, requires_grad=True)
    (first,) = torch.autograd.grad(attend_causal(x, x, x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
