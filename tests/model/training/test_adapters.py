"""Thin matrices beside frozen weights. Book appendix E."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, find
from model.batches.batching import Batch
from model.inference.quantisation import quantise
from model.training.adapters import (
    Classifier,
    LowRankLinear,
    add_low_rank,
    merge_low_rank,
)
from model.training.loop import train
from model.training.objectives import classify
from model.training.optim import Optimizer

GPT = find("gpt")
TOKENS = torch.randint(64, (3, 9), generator=torch.Generator().manual_seed(0))
LAST = torch.tensor([8, 3, 5])


def classifier(**settings: Any) -> Classifier:
    """A classifier none of whose weights is zero."""
    sizes = {"vocab_size": 64, "context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 4}
    config = GPT.configure("modern", **{**sizes, **settings})
    network = Classifier(build("gpt", config, 0), 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def adapted(**settings: Any) -> Classifier:
    network = classifier(**settings)
    add_low_rank(network, rank=3, alpha=6, generator=torch.Generator().manual_seed(2))
    return network


def trained(network: nn.Module) -> list[float]:
    batch = Batch(TOKENS, torch.tensor([0, 1, 2]), ("",) * 3, LAST)
    optimizer = Optimizer(network, learning_rate=0.01)
    return [e.loss for e in train(network, classify, lambda _: batch, optimizer, steps=20)]  # type: ignore[union-attr]


def logits(network: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(TOKENS, LAST)
    return found


@pytest.mark.parametrize("settings", [{}, {"tied_head": True}, {"n_kv_heads": 2}], ids=str)
def test_it_begins_as_the_network_that_it_adapts(settings: dict[str, Any]) -> None:
    assert torch.equal(logits(adapted(**settings)), logits(classifier(**settings)))


def test_only_the_thin_matrices_learn() -> None:
    network, before = adapted(), dict(classifier().named_parameters())
    losses = trained(network)
    assert losses[-1] < 0.5 * losses[0]
    learned = set()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            learned.add(name.rpartition(".")[2])
        else:
            assert torch.equal(parameter, before[name]), name
            assert parameter.grad is None, name
    assert learned == {"up", "down"}


def test_the_change_is_the_scaled_product_beside_the_layer() -> None:
    network, before = adapted(), classifier()
    trained(network)
    layer: Any = network.network.blocks[0].feed_forward.expand
    plain = before.network.blocks[0].feed_forward.expand
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(3))
    expected = plain(x) + 6 / 3 * x @ (layer.up @ layer.down).T
    torch.testing.assert_close(layer(x), expected)
    assert not torch.allclose(layer(x), plain(x), atol=1e-3)


def test_no_gradient_of_a_whole_weight_is_computed() -> None:
    """Backward multiplies less: nothing has the size of the weight but the weight itself."""
    layer = nn.Linear(64, 48)
    x = torch.randn(32, 64, requires_grad=True)
    flops = []
    for adapted_layer in (False, True):
        y = (LowRankLinear(layer, 2, 2, torch.Generator()) if adapted_layer else layer)(x).sum()
        with FlopCounterMode(display=False) as counter:
            y.backward()
        flops.append(counter.get_total_flops())
    whole = 2 * 32 * 64 * 48
    assert flops[0] == 2 * whole  # before: into x and into the weight
    assert flops[1] == whole + 4 * 32 * 2 * (64 + 48)


def test_merged_it_gives_the_same_logits_from_plain_layers() -> None:
    network = adapted()
    trained(network)
    before = logits(network)
    merge_low_rank(network)
    torch.testing.assert_close(logits(network), before)
    assert not any(isinstance(layer, LowRankLinear) for layer in network.modules())
    assert network.state_dict().keys() == classifier().state_dict().keys()
    assert not torch.allclose(before, logits(classifier()), atol=1e-3)


def test_a_frozen_layer_gets_none() -> None:
    network = classifier()
    network.network.blocks[0].requires_grad_(False)
    add_low_rank(network, rank=2, alpha=2, generator=torch.Generator())
    names = network.state_dict()
    with_change = {name.removesuffix(".up") for name in names if name.endswith(".up")}
    assert "network.blocks.1.attention.queries" in with_change
    assert "head" in with_change
    assert not any(name.startswith(("network.blocks.0", "network.head")) for name in with_change)


def test_what_cannot_be_adapted_is_refused() -> None:
    generator = torch.Generator()
    with pytest.raises(ValueError, match="rank=0 must be 1 or more"):
        add_low_rank(classifier(), rank=0, alpha=1, generator=generator)
    with pytest.raises(ValueError, match="already: merge"):
        add_low_rank(adapted(), rank=2, alpha=2, generator=generator)
    network = classifier()
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="trainable linear layers=0"):
        add_low_rank(network, rank=2, alpha=2, generator=generator)


def test_rounding_to_eight_bits_refuses_what_is_not_merged() -> None:
    network = adapted().network
    with pytest.raises(ValueError, match=r"queries is a LowRankLinear: merge it before"):
        quantise(network)
    merge_low_rank(network)
    assert quantise(network).head is not None
