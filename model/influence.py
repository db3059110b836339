"""Influence: by how much a step of training on some rows changes the loss of an answer.

A small step along a row's gradient g changes the loss of an answer by about -rate (g a), with a the
gradient of the answer: TracIn, Pruthi et al. 2020. For one answer the products with many rows need
no gradient of any row: g a is also the slope of the row's own loss when the weights move along a.
It is measured from two networks that have moved a little way, one along a and one against it.

Letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from model.architectures.network import Network
from model.batches.batching import IGNORED, Batch

WAY = 1e-3
"""How far the weights move, as a share of their own length: the slope's error is its square."""


def nats(network: Network, batch: Batch) -> Tensor:
    """(B,) float64: the nats of each row's counted targets, for a network of the next token."""
    logits = network(batch.tokens)
    found = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return found.double().view_as(batch.targets).sum(1)


def gradient(network: Network, batch: Batch) -> dict[str, Tensor]:
    """The gradient of the batch's nats, all rows together, by the parameter's name."""
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    with torch.enable_grad():
        found = torch.autograd.grad(nats(network, batch).sum(), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


class Slopes:
    """The slope of rows' nats along a ``direction``, which has a tensor for each parameter."""

    def __init__(self, network: Network, direction: Mapping[str, Tensor]) -> None:
        """Raises ValueError for a direction that is 0 or not finite."""
        weights = dict(network.named_parameters())
        length = _length(direction)
        if not 0 < length < float("inf"):
            raise ValueError(f"the direction has the length {length}: give another answer")
        self.way = WAY * _length({name: weights[name] for name in direction}) / length
        self._along = _moved(network, direction, self.way)
        self._against = _moved(network, direction, -self.way)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Tensor:
        """(B,) float64: the product of each row's gradient with the direction."""
        return (nats(self._along, batch) - nats(self._against, batch)) / (2 * self.way)


def _length(tensors: Mapping[str, Tensor]) -> float:
    return sum(tensor.detach().double().square().sum().item() for tensor in tensors.values()) ** 0.5


@torch.no_grad()
def _moved(network: Network, direction: Mapping[str, Tensor], way: float) -> Network:
    moved = deepcopy(network)
    for name, parameter in moved.named_parameters():
        if name in direction:
            parameter.add_(direction[name], alpha=way)
    return moved.eval()
