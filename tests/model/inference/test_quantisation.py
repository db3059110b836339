"""Eight bits a weight: what is rounded, what is not, and that generation knows no other difference.

Letters: N rows, D inputs, V outputs.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.architectures import build, find
from model.inference import quantisation
from model.inference.beam import beam_search
from model.inference.generation import generate, generate_batch
from model.inference.quantisation import Int8Linear, quantise

N, D, V = 5, 48, 33
SMALL = {"vocab_size": 40, "context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 4}
SETTINGS = {"max_new_tokens": 20, "temperature": 1.5, "top_k": 20, "repetition_penalty": 1.1}
FBGEMM = "fbgemm" in torch.backends.quantized.supported_engines


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["packed", "plain"])
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Int8Linear:
    if request.param == "plain":
        monkeypatch.setattr(quantisation, "_packed", lambda *_: None)
    elif not FBGEMM:
        pytest.skip("torch comes without FBGEMM here")
    weight = drawn(V, D)
    weight[3] *= 1000  # each row has a scale of its own
    weight[4] = 0
    return Int8Linear(weight, drawn(V, seed=1))


@pytest.fixture(scope="module", params=["gpt2", "modern", "quick"])
def network(request: pytest.FixtureRequest) -> Any:
    """With a tied head and without; no output at zero, so that every block has an effect."""
    network = build("gpt", find("gpt").configure(request.param, **SMALL), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.15)
    return network


def test_a_weight_moves_by_half_a_step_at_most(layer: Int8Linear) -> None:
    weight = drawn(V, D)
    weight[3] *= 1000
    weight[4] = 0
    step = weight.abs().amax(1) / 127
    assert layer.numbers.dtype == torch.int8
    assert (layer.scale > 0).all()
    assert layer.numbers.abs().amax(1).tolist() == [0 if row == 4 else 127 for row in range(V)]
    assert ((layer.weight - weight).abs() <= step[:, None] * 0.5001).all()


def test_the_product_is_that_of_the_rounded_weights(layer: Int8Linear) -> None:
    x = drawn(2, N, D, seed=2)
    x[0, 1] *= 1e4
    x[1, 2] = 0
    x[0, 0, 7] = 30.0  # an outlier takes the first digit, and the others keep their second
    wanted = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    found = layer(x)
    assert found.shape == (2, N, V)
    bound = x.abs().amax(-1, keepdim=True) * layer.weight.abs().sum(1) / 1.5e4 + 1e-5
    assert ((found - wanted).abs() <= bound).all()
    assert torch.equal(found[1, 2], layer.bias)


@pytest.mark.skipif(not FBGEMM, reason="torch comes without FBGEMM here")
def test_no_row_depends_on_its_company() -> None:
    layer, x = Int8Linear(drawn(V, D)), drawn(N, D, seed=2)
    x[2] *= 1e3
    alone = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(layer(x), alone)


def test_half_precision_takes_the_same_numbers() -> None:
    weight, x = drawn(V, D).bfloat16(), drawn(N, D, seed=2).bfloat16()
    layer = Int8Linear(weight)
    found = layer(x)
    assert found.dtype == torch.bfloat16
    wanted = F.linear(x.double(), layer.numbers.double()) * layer.scale.double()
    torch.testing.assert_close(found.double(), wanted, atol=0.2, rtol=0.01)


def test_the_engine_is_left_as_it_was() -> None:
    before = torch.backends.quantized.engine
    Int8Linear(drawn(V, D))
    assert torch.backends.quantized.engine == before


def test_a_network_is_copied_and_its_products_rounded(network: Any) -> None:
    before = copy.deepcopy(network.state_dict())
    network.train()
    rounded = quantise(network)
    assert network.training
    assert not rounded.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(isinstance(module, nn.Linear) for module in rounded.modules())
    assert isinstance(rounded.head, Int8Linear)
    assert not any(parameter.requires_grad for parameter in rounded.parameters())
    rounded.embedding.weight.add_(1.0)
    assert torch.equal(network.embedding.weight, before["embedding.weight"])


def test_logits_and_loss_are_nearly_the_network_s(network: Any) -> None:
    rounded = quantise(network)
    tokens = torch.randint(40, (4, 16), generator=torch.Generator().manual_seed(3))
    network.eval()
    with torch.inference_mode():
        exact, found = network(tokens), rounded(tokens)
        error = (found - exact).norm() / exact.norm()
        assert 1e-4 < error < 0.03
        loss = network(tokens[:, :-1], tokens[:, 1:])
        difference = (rounded(tokens[:, :-1], tokens[:, 1:]) - loss).abs()
        assert difference / tokens[:, 1:].numel() < 0.02


@pytest.mark.parametrize("length", [1, 3, 16])
def test_cached_and_uncached_give_the_same_tokens(network: Any, length: int) -> None:
    rounded, prompt = quantise(network), list(range(length))
    cached = generate(rounded, prompt, **SETTINGS)
    assert cached == generate(rounded, prompt, cached=False, **SETTINGS)
    assert len(set(cached)) > 3


def test_many_prompts_and_a_search_with_beams_too(network: Any) -> None:
    rounded, prompts = quantise(network), [[1, 2, 3], [7], list(range(12)), [9] * 20]
    together = generate_batch(rounded, prompts, **SETTINGS)
    alone = [generate(rounded, p, seed=seed, **SETTINGS) for seed, p in enumerate(prompts)]
    assert together == alone
    found = beam_search(rounded, [1, 2], beams=3, max_new_tokens=6)
    slow = beam_search(rounded, [1, 2], beams=3, max_new_tokens=6, cached=False)
    assert [one.tokens for one in found] == [one.tokens for one in slow]
    assert found[0].likelihood == pytest.approx(slow[0].likelihood, abs=1e-3)
