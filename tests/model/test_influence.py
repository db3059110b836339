"""Influence: slopes along an answer's gradient are the products of the gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.architectures import build
from model.architectures.gpt.config import GPTConfig
from model.architectures.network import Network
from model.batches.batching import IGNORED, Batch
from model.influence import Slopes, gradient, nats
from model.training.objectives import next_token

V, T = 31, 12


@pytest.fixture(scope="module", params=["rotary", "learned"])
def network(request: pytest.FixtureRequest) -> Network:
    config = GPTConfig(
        vocab_size=V, context_length=T, d_model=16, n_layers=2, n_heads=2, positions=request.param
    )
    made = build("gpt", config, seed=1).eval()
    with torch.no_grad():  # a new network's last layers are 0, and most gradients too
        for n, parameter in enumerate(made.parameters()):
            parameter.add_(
                0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
            )
    return made


def batch(rows: int, seed: int) -> Batch:
    tokens = torch.randint(V, (rows, T + 1), generator=torch.Generator().manual_seed(seed))
    targets = tokens[:, 1:].clone()
    targets[:, : seed % T] = IGNORED
    return Batch(tokens[:, :-1], targets, ["row"] * rows)


def product(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return sum((one[name].double() * other[name].double()).sum().item() for name in one)


def test_the_nats_of_rows_add_up_to_the_objective(network: Network) -> None:
    rows = batch(5, 3)
    found = nats(network, rows)
    assert found.shape == (5,)
    assert found.sum().item() == pytest.approx(next_token(network, rows).item(), rel=1e-5)
    one = nats(network, rows.rows(slice(2, 3)))
    assert one.item() == pytest.approx(found[2].item(), rel=1e-5)


def test_slopes_are_the_products_of_gradients(network: Network) -> None:
    asked, rows = batch(2, 7), batch(9, 4)
    answer = gradient(network, asked)
    slopes = Slopes(network, answer)(rows)
    exact = [product(answer, gradient(network, rows.rows(slice(n, n + 1)))) for n in range(9)]
    scale = max(abs(value) for value in exact)
    assert slopes.tolist() == pytest.approx(exact, rel=5e-3, abs=2e-3 * scale)
    # Against itself it is the square of the gradient's length, the highest of all of that length.
    own = Slopes(network, answer)(asked).sum().item()
    assert own == pytest.approx(product(answer, answer), rel=5e-3)


def test_the_network_itself_does_not_move(network: Network) -> None:
    before = {name: p.clone() for name, p in network.named_parameters()}
    Slopes(network, gradient(network, batch(1, 2)))(batch(2, 3))
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_direction_without_a_length_is_refused(network: Network, value: float) -> None:
    direction = {name: torch.full_like(p, value) for name, p in network.named_parameters()}
    with pytest.raises(ValueError, match="the direction has the length"):
        Slopes(network, direction)
