"""Written-out gradients equal autograd's of the plain forms, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED
from model.blocks.kernels import capped_logits, head_loss, rms_norm, rotate, squared_relu

ANGLES = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
COSINE, SINE = ANGLES.cos(), ANGLES.sin()


def plain_rotate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * COSINE - second * SINE, second * COSINE + first * SINE], dim=-1)


FORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "rms_norm": (rms_norm, lambda x: F.rms_norm(x, (8,), eps=1e-6)),
    "squared_relu": (squared_relu, lambda x: F.relu(x).square()),
    "rotate": (lambda x: rotate(x, COSINE, SINE), plain_rotate),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_kernel_is_its_plain_form(name: str) -> None:
    kernel, form = FORMS[name]
    generator = torch.Generator().manual_seed(1)
    # A view with gaps, as attention hands it over, and rows of very different size.
    base = torch.randn(2, 5, 3, 8, generator=generator) * torch.tensor([1e-3, 1.0, 30.0])[:, None]
    slope = torch.randn(2, 3, 5, 8, generator=generator)
    found = []
    for function in (kernel, form):
        x = base.clone().transpose(1, 2).requires_grad_()
        y = function(x)
        found.append((y, torch.autograd.grad(y, x, slope)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cap", [None, 15.0, 0.7])
@pytest.mark.parametrize("rows", [1, 255, 256, 600])
def test_the_head_loss_is_cross_entropy(cap: float | None, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    features = torch.randn(rows, 16, generator=generator)
    weight = torch.randn(40, 16, generator=generator) * 3
    targets = torch.randint(40, (rows,), generator=generator)
    targets[1::3] = IGNORED
    found = []
    for fused in (True, False):
        f, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
        if fused:
            loss = head_loss(f, w, targets, cap)
        else:
            loss = F.cross_entropy(capped_logits(f, w, cap), targets, ignore_index=IGNORED)
        found.append((loss, *torch.autograd.grad(loss * 3, (f, w))))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_a_frozen_head_gets_no_gradient_and_its_features_do() -> None:
    features = torch.randn(4, 8, requires_grad=True)
    weight = torch.randn(10, 8)
    head_loss(features, weight, torch.tensor([1, 2, 3, 4]), 15.0).backward()
    assert features.grad is not None
    assert weight.grad is None


def test_reduced_precision_takes_the_plain_forms() -> None:
    x = torch.randn(2, 8, dtype=torch.bfloat16)
    assert rms_norm(x).dtype == torch.bfloat16
    assert squared_relu(x).dtype == torch.bfloat16
    assert rotate(x.view(2, 1, 8), torch.ones(1, 4), torch.zeros(1, 4)).dtype == torch.bfloat16
