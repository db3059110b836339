"""Written-out gradients equal autograd's of the plain forms, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED
from model.blocks import kernels
from model.blocks.elementwise import gelu, rms_norm, rotate, squared_relu
from model.blocks.kernels import capped_logits, head_nats, token_log_likelihoods

ANGLES = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
COSINE, SINE = ANGLES.cos(), ANGLES.sin()


def plain_rotate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * COSINE - second * SINE, second * COSINE + first * SINE], dim=-1)


FORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "rms_norm": (rms_norm, lambda x: F.rms_norm(x, (8,), eps=1e-6)),
    "gelu": (lambda x: gelu(x.contiguous()), lambda x: F.gelu(x, approximate="tanh")),
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


@pytest.mark.parametrize("cap", [None, 15.0])
def test_the_head_in_blocks_is_the_head_at_once(
    cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(50, 16, generator=generator)
    weight = torch.randn(70, 16, generator=generator)
    targets = torch.randint(70, (50,), generator=generator)
    found = []
    for size in (1 << 27, 7 * 128 * 4):  # one block, or eight of six or seven rows
        monkeypatch.setattr(kernels, "CPU_BLOCK", size)
        f, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
        head = kernels._Head(w, cap, torch.float32)
        assert len(head.blocks(f)) == (1 if size > 1 << 20 else 8)
        loss = head_nats(f, w, targets, cap)
        found.append((loss, *torch.autograd.grad(loss, (f, w))))
    torch.testing.assert_close(found[0], found[1])


def test_a_hopeless_target_has_its_exact_likelihood() -> None:
    features, weight = torch.tensor([[1.0, 0.0]]), torch.tensor([[400.0, 0.0], [0.0, 0.0]])
    nats = head_nats(features, weight, torch.tensor([1]), None)
    assert nats == 400.0  # its likelihood is 0 in fp32


def test_the_head_multiplies_counted_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    products = kernels._Head._products
    monkeypatch.setattr(
        kernels._Head, "_products", lambda head, x: rows.append(len(x)) or products(head, x)
    )
    features, weight = torch.randn(8, 4), torch.randn(10, 4)
    targets = torch.tensor([IGNORED, 1, IGNORED, 2, 3, IGNORED, IGNORED, IGNORED])
    head_nats(features, weight, targets, None)
    token_log_likelihoods(features, weight, targets, None)
    assert rows == [3, 3]


def test_an_evaluation_computes_no_gradient_of_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a gradient was computed")

    monkeypatch.setattr(kernels._Gradients, "add", refuse)
    features, weight = torch.randn(8, 4), torch.nn.Parameter(torch.randn(10, 4))
    with torch.inference_mode():
        head_nats(features, weight, torch.arange(8), None)
    with pytest.raises(AssertionError, match="a gradient was computed"):
        head_nats(features, weight, torch.arange(8), None)


@pytest.mark.parametrize("cap", [None, 15.0])
def test_the_head_under_autocast_is_near_the_head(cap: float | None) -> None:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(60, 32, generator=generator)
    weight = torch.randn(100, 32, generator=generator)
    targets = torch.randint(100, (60,), generator=generator)
    targets[::4] = IGNORED
    found = []
    for reduced in (False, True):
        f, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = head_nats(f, w, targets, cap)
            likelihoods = token_log_likelihoods(f, w, targets, cap)
        assert (loss.dtype, likelihoods.dtype) == (torch.float32, torch.float32)
        torch.testing.assert_close(-likelihoods.sum(), loss, rtol=1e-5, atol=1e-5)
        found.append((loss, *torch.autograd.grad(loss, (f, w))))
    assert not torch.equal(found[0][0], found[1][0])  # bf16 was used
    for exact, near in zip(*found, strict=True):
        assert (exact - near).norm() < 0.02 * exact.norm()


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {name: pair[0] for name, pair in FORMS.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reduced_precision_has_the_plain_forms_gradient(name: str) -> None:
    function, form = FORMS[name]
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 3, 5, 8, generator=generator)
    exact = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(form(exact).sum(), exact)
    reduced = x.bfloat16().requires_grad_()
    y = function(reduced)
    (gradient,) = torch.autograd.grad(y.sum(), reduced)
    if name != "rotate":  # which follows the dtype of its tables
        assert (y.dtype, gradient.dtype) == (torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(gradient.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", [*FUNCTIONS, "head_nats", "token_log_likelihoods"])
def test_second_derivatives_are_refused(name: str) -> None:
    targets = torch.arange(6)
    functions = FUNCTIONS | {
        "head_nats": lambda x: head_nats(x.view(-1, 8)[:6], torch.ones(9, 8), targets, 15.0),
        "token_log_likelihoods": lambda x: token_log_likelihoods(
            x.view(-1, 8)[:6], torch.ones(9, 8), targets, 15.0
        ),
    }
    x = torch.randn(2, 3, 5, 8, requires_grad=True)
    (first,) = torch.autograd.grad(functions[name](x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
