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
    fill_adapter,
    learned,
    merge_low_rank,
    set_dropout,
    without_low_rank,
)
from model.training.loop import snapshot, train
from model.training.objectives import classify
from model.training.optim import Optimizer, group_parameters

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


QUICK = {**GPT.presets["quick"], "pair_rows": 30}


@pytest.mark.parametrize("settings", [{}, {"tied_head": True}, {"n_kv_heads": 2}, QUICK], ids=str)
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


def with_targets(*targets: str, dropout: float = 0.0) -> Classifier:
    network = classifier()
    generator = torch.Generator().manual_seed(2)
    add_low_rank(network, 3, 6, generator, targets=targets, dropout=dropout)
    return network


def test_layers_are_chosen_by_the_last_part_of_their_name() -> None:
    names = learned(with_targets("values", "expand"))
    thin = {name.split(".")[-2] for name in names if name.endswith(".up")}
    assert thin == {"values", "expand"}
    assert len(names) == 2 * 2 * 2 + 2  # both matrices of both layers of both blocks, and the head
    assert {"head.weight", "head.bias"} <= names.keys()
    assert not {"head.weight", "head.bias"} & learned(with_targets("values", "head")).keys()
    with pytest.raises(ValueError, match="targets=querys: no linear layer of the network has this"):
        with_targets("querys")


def test_a_layer_beside_adapted_ones_is_still_in_the_joined_product() -> None:
    """Values alone are adapted: what is not, is the product with its own weight."""
    network, before = with_targets("values"), classifier()
    with torch.no_grad():
        for name, parameter in learned(network).items():
            if name.endswith(".up"):
                parameter.normal_(generator=torch.Generator().manual_seed(3))
    attention: Any = network.network.blocks[0].attention
    plain: Any = before.network.blocks[0].attention
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(4))
    for joined in (True, False):
        ours, theirs = (a._project(x, None, joined=joined) for a in (attention, plain))
        torch.testing.assert_close(ours[:2], theirs[:2])
        split = attention._split(attention.values.change(x), 4)
        torch.testing.assert_close(ours[2], theirs[2] + split)


def test_queries_keys_and_values_are_one_product_with_the_frozen_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attention: Any = adapted().network.blocks[0].attention
    shapes: list[tuple[int, ...]] = []
    real = torch.nn.functional.linear

    def spy(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        shapes.append(tuple(weight.shape))
        return real(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", spy)
    attention._project(torch.zeros(1, 2, 32), None, joined=True)
    assert shapes == [(96, 32), *[(3, 32), (32, 3)] * 3]


def test_dropout_hides_inputs_from_the_change_alone() -> None:
    network = with_targets("expand", dropout=0.5)
    layer: Any = network.network.blocks[0].feed_forward.expand
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        layer.up.normal_(generator=torch.Generator().manual_seed(3))
        network.eval()
        whole = layer(x)
        torch.testing.assert_close(whole, layer(x), rtol=0, atol=0)
        network.train()
        torch.manual_seed(0)
        hidden = layer(x)
        torch.manual_seed(0)
        read = torch.nn.functional.dropout(x, 0.5, True)
    base = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(hidden, base + 2.0 * (read @ layer.down.T) @ layer.up.T)
    assert not torch.allclose(hidden, whole, atol=1e-2)
    set_dropout(network, 0.0)
    torch.testing.assert_close(layer(x), whole)


def test_the_thin_matrices_are_a_group_of_their_own() -> None:
    """Muon would orthogonalise the factors of a product; and they have a rate of their own."""
    network = with_targets("values", "expand")
    groups = group_parameters(network)
    assert {name.rpartition(".")[2] for name in groups["adapters"]} == {"down", "up"}
    assert not groups["matrices"]
    assert set(groups["head"]) == {"head.weight"}
    rates = {}
    for rate in (0.0, 0.01):
        moved = with_targets("values", "expand")
        optimizer = Optimizer(
            moved, "muon", learning_rate=0.0, adapter_learning_rate=rate, weight_decay=0.5
        )
        batch = Batch(TOKENS, torch.tensor([0, 1, 2]), ("",) * 3, LAST)
        list(train(moved, classify, lambda _, b=batch: b, optimizer, steps=2))
        rates[rate] = {n: t.detach().clone() for n, t in learned(moved).items()}
    start = learned(network)
    for name, tensor in start.items():
        assert torch.equal(rates[0.0][name], tensor), "no decay, and no other rate"
        assert torch.equal(rates[0.01][name], tensor) == name.startswith("head"), name


def test_a_frozen_base_has_no_gradient_and_no_state() -> None:
    network = adapted()
    optimizer = Optimizer(network, learning_rate=0.01)
    states = {name.rpartition(".")[0] for name in optimizer.tensors()}
    assert states == set(learned(network))
    saved = snapshot(network, optimizer, 1)
    kinds = {name.rpartition(".")[2] for name in saved.tensors if name.startswith("network.")}
    assert kinds == {"down", "up"}
    assert len(saved.frozen) == 64


def test_the_tensors_of_an_adapter_are_loaded_strictly() -> None:
    network, other = adapted(), adapted()
    trained(network)
    held = {name: tensor.detach().clone() for name, tensor in learned(network).items()}
    fill_adapter(other, held)
    assert torch.equal(logits(other), logits(network))
    held.pop(next(iter(held)))
    with pytest.raises(ValueError, match="adapter state has faults=1: missing"):
        fill_adapter(adapted(), held)


def test_the_weights_without_the_thin_matrices_are_those_of_the_merged_network() -> None:
    network = adapted()
    names = without_low_rank(network).keys()
    merge_low_rank(network)
    assert names == network.state_dict().keys()


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
