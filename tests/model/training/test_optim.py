import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.architectures import build, find
from model.training.adapters import Classifier, freeze_all_but_last
from model.training.optim import Optimizer, group_parameters, learning_rate_factor, orthogonalised

TINY = find("gpt").tiny
GPT2 = find("gpt").configure("gpt2", vocab_size=64, d_model=32, n_layers=1, n_heads=2)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (32, 8), (8, 32)])
def test_orthogonalised_keeps_the_directions_and_evens_their_sizes(shape):
    matrices = random(5, *shape)
    sizes = torch.linalg.svdvals(orthogonalised(matrices))
    assert sizes.min() > 0.3
    assert sizes.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    exact = left @ right
    cosine = (orthogonalised(matrices) * exact).sum((1, 2)) / exact.square().sum((1, 2))
    assert cosine.min() > 0.7


def test_matrices_go_through_together_as_they_do_alone():
    matrices = random(4, 12, 20)
    alone = torch.stack([orthogonalised(matrix) for matrix in matrices])
    torch.testing.assert_close(orthogonalised(matrices), alone)


@pytest.mark.parametrize("shape", [(24, 24), (48, 12), (12, 48)])
def test_muon_steps_where_torchs_own_does(shape):
    ours, theirs = nn.Linear(shape[1], shape[0], bias=False), nn.Parameter(torch.empty(shape))
    start = random(*shape)
    with torch.no_grad():
        ours.weight.copy_(start)
        theirs.copy_(start)
    mine = Optimizer(ours, "muon", learning_rate=0.1, weight_decay=0.2)
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.2, momentum=0.95)
    for step in range(3):
        ours.weight.grad, theirs.grad = (random(*shape, seed=step) for _ in range(2))
        mine.step()
        reference.step()
    moved, expected = ours.weight - start, theirs - start
    # torch works in bf16: the direction agrees to its precision.
    assert (moved - expected).norm() / expected.norm() < 0.02


def test_adamw_equals_its_formula():
    layer = nn.Linear(3, 2, bias=False)
    weight = layer.weight.detach().clone()
    optimizer = Optimizer(
        layer, "adamw", learning_rate=0.1, weight_decay=0.5, betas=(0.9, 0.95), epsilon=1e-8
    )
    optimizer.set_scale(0.5)
    first, second = torch.zeros(2, 3), torch.zeros(2, 3)
    for step in range(1, 4):
        gradient = random(2, 3, seed=step)
        layer.weight.grad = gradient.clone()
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        weight = weight * (1 - 0.05 * 0.5)
        corrected = (second / (1 - 0.95**step)).sqrt() + 1e-8
        weight = weight - 0.05 * (first / (1 - 0.9**step)) / corrected
    torch.testing.assert_close(layer.weight.detach(), weight)


def test_each_parameter_is_in_the_group_that_it_says():
    groups = group_parameters(build("gpt", GPT2, 0))
    assert set(groups["embeddings"]) == {"embedding.weight", "positions.weight"}
    assert "blocks.0.attention.queries.weight" in groups["matrices"]
    assert all(parameter.ndim == 2 for parameter in groups["matrices"].values())
    assert len(groups["matrices"]) == 6
    assert "norm.weight" in groups["vectors"]
    assert "blocks.0.attention.queries.bias" in groups["vectors"]
    assert not groups["head"]
    assert set(group_parameters(build("gpt", TINY, 0))["head"]) == {"head.weight"}
    classifier = Classifier(build("gpt", TINY, 0), 3)
    assert set(group_parameters(classifier)["head"]) == {"head.weight"}


def test_tables_gates_and_scalars_of_quick_are_in_groups_that_are_there():
    quick = group_parameters(build("gpt", replace(TINY, **find("gpt").presets["quick"]), 0))
    values, gates = (
        [f"value_embeddings.{n}.{p}.weight" for n in (0, 1)] for p in ("vectors", "gate")
    )
    assert set(quick["embeddings"]) == {"embedding.weight", "pairs.vectors.weight", *values}
    assert {"previous.gate.weight", *gates} < set(quick["matrices"])
    assert set(quick["vectors"]) == {"kept", "skipped", "previous.scale"}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_group_moves_at_its_own_rate_and_only_some_decay(kind):
    network = build("gpt", find("gpt").configure("gpt2", vocab_size=64, tied_head=False), 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    rates = {"matrix": 0.1, "embedding": 0.2, "head": 0.3}
    optimizer = Optimizer(
        network,
        kind,
        learning_rate=0.4,
        weight_decay=0.5,
        **{f"{name}_learning_rate": rate for name, rate in rates.items()},
    )
    optimizer.set_scale(0.5)
    optimizer.step()  # no gradient: only the decay moves anything
    assert network.blocks[0].attention.output.weight[0, 0].item() == pytest.approx(1 - 0.05 * 0.5)
    assert network.head.weight[0, 0].item() == pytest.approx(1 - 0.15 * 0.5)
    assert network.embedding.weight[0, 0].item() == 1
    assert network.blocks[0].attention.output.bias[0].item() == 1
    assert network.norm.weight[0].item() == 1


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_goes_into_a_new_optimizer(kind):
    def stepped(optimizer: Optimizer, network: nn.Module, seeds: range) -> None:
        for seed in seeds:
            for parameter in network.parameters():
                parameter.grad = random(*parameter.shape, seed=seed)
            optimizer.step()
            optimizer.zero_grad()

    one, other = build("gpt", GPT2, 0), build("gpt", GPT2, 1)
    first = Optimizer(one, kind, learning_rate=0.01)
    stepped(first, one, range(3))
    assert all(parameter.grad is None for parameter in one.parameters())
    other.load_state_dict(one.state_dict())
    second = Optimizer(other, kind, learning_rate=0.01)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    stepped(first, one, range(3, 5))
    stepped(second, other, range(3, 5))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_a_state_that_does_not_fit_is_named_and_changes_nothing():
    optimizer = Optimizer(build("gpt", TINY, 0), "muon", learning_rate=0.01)
    state = {name: torch.ones_like(tensor) for name, tensor in optimizer.tensors().items()}
    name = "blocks.0.attention.keys.weight.momentum"
    for broken, message in [
        ({k: v for k, v in state.items() if k != name}, f"missing {name}"),
        ({**state, "ghost": torch.ones(1)}, "extra ghost"),
        ({**state, name: torch.ones(2, 2)}, r"keys.weight.momentum is \(2, 2\)"),
        ({**state, name: state[name].double()}, "float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load(broken)
    assert not any(tensor.any() for tensor in optimizer.tensors().values())


def test_frozen_parameters_are_not_the_optimizers():
    network = build("gpt", TINY, 0)
    freeze_all_but_last(network, 1)
    names = Optimizer(network, "muon", learning_rate=0.01).tensors()
    assert names
    assert all(name.startswith("blocks.1.") for name in names)
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="trainable parameters=0"):
        Optimizer(network, "muon", learning_rate=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sgd"}, "kind='sgd' is unknown: use adamw or muon"),
        ({"learning_rate": -1.0}, "matrices=-1.0 must be a finite number from 0"),
        ({"weight_decay": float("inf")}, "weight_decay=inf must be a finite number from 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Optimizer(build("gpt", TINY, 0), **{"learning_rate": 0.1, **settings})


def test_the_schedule_rises_stays_and_falls():
    factors = [learning_rate_factor(step, 10, warmup=4, decay=3, floor=0.2) for step in range(10)]
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.8, 0.6, 0.4]  # 0.2 would come next
    assert factors == pytest.approx(expected)
    assert all(learning_rate_factor(step, 5) == 1 for step in range(5))


def test_the_cosine_is_half_way_down_half_way():
    factors = [
        learning_rate_factor(step, 99, decay=99, floor=0.1, shape="cosine") for step in range(99)
    ]
    assert factors == sorted(factors, reverse=True)
    assert factors[49] == pytest.approx(0.55)
    assert factors[98] == pytest.approx(0.1, abs=0.001)
    middle = 0.1 + 0.9 * (1 + math.cos(math.pi * 0.25)) / 2
    assert factors[24] == pytest.approx(middle)


def test_a_schedule_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="warmup=6 decay=5 must fit into steps=10"):
        learning_rate_factor(0, 10, warmup=6, decay=5)
    with pytest.raises(ValueError, match="step=10"):
        learning_rate_factor(10, 10)
    with pytest.raises(ValueError, match="shape='square'"):
        learning_rate_factor(0, 10, shape="square")


def test_orthogonalised_in_bf16_is_near_enough():
    matrices = torch.randn(3, 24, 60, generator=torch.Generator().manual_seed(0))
    exact, reduced = orthogonalised(matrices), orthogonalised(matrices, dtype=torch.bfloat16)
    assert reduced.dtype == torch.float32
    assert not torch.equal(exact, reduced)
    assert (exact - reduced).norm() < 0.05 * exact.norm()
