"""Written-out gradients equal autograd's of the plain forms, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED
from model.blocks.kernels import (
    capped_logits,
    head_nats,
    rms_norm,
    rotate,
    squared_relu,
    token_log_likelihoods,
)

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
def test_the_head_is_cross_entropy(cap: float | None, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    features = torch.randn(rows, 16, generator=generator)
    weight = torch.randn(40, 16, generator=generator) * 3
    targets = torch.randint(40, (rows,), generator=generator)
    targets[1::3] = IGNORED

    def plain_form(f: Tensor, w: Tensor, t: Tensor, c: float | None) -> Tensor:
        return -F.cross_entropy(capped_logits(f, w, c), t, ignore_index=IGNORED, reduction="none")

    shares = torch.randn(rows, generator=generator)
    forms: list[Callable[[Tensor, Tensor, Tensor, float | None], Tensor]]
    for forms, reduce in (
        ([head_nats, plain_form], lambda y: -3 * y.sum() if y.ndim else 3 * y),
        ([token_log_likelihoods, plain_form], lambda y: (y * shares).sum()),
    ):
        found = []
        for form in forms:
            f, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
            loss = reduce(form(f, w, targets, cap))
            found.append((loss, *torch.autograd.grad(loss, (f, w))))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_the_head_over_no_row_is_nothing() -> None:
    features, weight = torch.empty(0, 8), torch.randn(10, 8)
    targets = torch.empty(0, dtype=torch.int64)
    assert token_log_likelihoods(features, weight, targets, None).shape == (0,)
    assert head_nats(features, weight, targets, 15.0) == 0


def test_a_frozen_head_gets_no_gradient_and_its_features_do() -> None:
    features = torch.randn(4, 8, requires_grad=True)
    weight = torch.randn(10, 8)
    head_nats(features, weight, torch.tensor([1, 2, 3, 4]), 15.0).backward()
    assert features.grad is not None
    assert weight.grad is None


def test_reduced_precision_takes_the_plain_forms() -> None:
    x = torch.randn(2, 8, dtype=torch.bfloat16)
    assert rms_norm(x).dtype == torch.bfloat16
    assert squared_relu(x).dtype == torch.bfloat16
    assert rotate(x.view(2, 1, 8), torch.ones(1, 4), torch.zeros(1, 4)).dtype == torch.bfloat16
