"""A network that is built without memory and then filled is the network that was saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model.architectures import build, catalogue, unfilled
from model.training.state import fill, weights


@pytest.mark.parametrize("name", list(catalogue()))
def test_a_filled_network_is_the_saved_one(name: str) -> None:
    architecture = catalogue()[name]
    saved = build(name, architecture.tiny, seed=3)
    state = torch.get_rng_state()
    network = unfilled(architecture, architecture.tiny)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.is_meta for parameter in network.parameters())
    fill(network, weights(saved))
    held = dict(network.named_buffers()) | dict(network.named_parameters())
    for known, tensor in (dict(saved.named_buffers()) | dict(saved.named_parameters())).items():
        assert torch.equal(held[known], tensor)
        assert held[known].requires_grad == tensor.requires_grad
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    assert not torch.equal(next(network.parameters()), next(saved.parameters()))  # it is a copy


def test_weights_of_another_network_fill_none() -> None:
    architecture = catalogue()["gpt"]
    network = unfilled(architecture, architecture.tiny)
    with pytest.raises(ValueError, match="network state has faults=1: missing"):
        fill(network, dict(list(weights(build("gpt", architecture.tiny, 0)).items())[1:]))
    assert all(parameter.is_meta for parameter in network.parameters())


def test_a_buffer_that_no_file_holds_is_refused() -> None:
    with torch.device("meta"):
        network = nn.Linear(2, 2)
        network.register_buffer("table", torch.arange(3), persistent=False)
    with pytest.raises(ValueError, match="buffers without values=table"):
        fill(network, {"weight": torch.ones(2, 2), "bias": torch.ones(2)})
