"""Fine-tuning of a trained network: a classification head, frozen blocks, low-rank matrices.

Book chapter 6 and appendix E. Letters: B batch, T positions, D d_model, C classes, O and I the
outputs and inputs of a linear layer, R rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.network import Network
from model.batches.batching import Batch


class Classifier(Network):
    """Maps a network's features at the last token before the padding to C classes.

    Under a causal mask only that position has read the whole row. The head begins at zero, so that
    the first loss is ln C for every seed. The network's own head stays, frozen and unused, so that
    the tensors of the network inside are those of the foundation model.
    """

    def __init__(self, network: Any, n_classes: int) -> None:
        super().__init__(network.config)
        if n_classes < 2:
            raise ValueError(f"n_classes={n_classes} must be 2 or more")
        self.network, self.n_classes = network, n_classes
        if network.head is not None:
            network.head.requires_grad_(False)
        weight = network.embedding.weight
        self.head = nn.Linear(weight.shape[1], n_classes, device=weight.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, last: Tensor, labels: Tensor | None = None) -> Tensor:
        """tokens (B, T), last (B,) positions, labels (B,) -> logits (B, C), or the sum of nats."""
        features = self.network.features(tokens)  # (B, T, D)
        rows = torch.arange(len(last), device=last.device)
        logits: Tensor = self.head(features[rows, last]).float()
        return logits if labels is None else F.cross_entropy(logits, labels, reduction="sum")

    def check(self, batch: Batch) -> None:
        """Raises ValueError for a token or a label that the network does not know."""
        self.network.check(batch)
        highest, lowest = int(batch.targets.max()), int(batch.targets.min())
        if lowest < 0 or highest >= self.n_classes:
            wrong = lowest if lowest < 0 else highest
            raise ValueError(
                f"label={wrong} does not fit n_classes={self.n_classes}: "
                "build the head with one output per label"
            )


def freeze_all_but_last(network: Any, n_blocks: int) -> None:
    """Freezes all of the network except its last ``n_blocks`` blocks and its last norm.

    autograd records nothing before the first trainable parameter, so the frozen part costs one
    forward pass.
    """
    if not 0 <= n_blocks <= len(network.blocks):
        raise ValueError(f"n_blocks={n_blocks} must be from 0 to n_layers={len(network.blocks)}")
    network.requires_grad_(False)
    network.norm.requires_grad_(True)
    for block in network.blocks[len(network.blocks) - n_blocks :]:
        block.requires_grad_(True)


class LowRankLinear(nn.Linear):
    """A linear layer with a frozen weight (O, I) and a trained change beside it (Hu et al. 2022).

    The change is the product of two thin matrices, ``up`` (O, R) and ``down`` (R, I), which
    multiply the activations: a product with the whole weight would need a gradient of its size. As
    ``up`` begins at zero, the network begins exactly as it was. The change is scaled by alpha / R,
    so that one learning rate suits every rank.
    """

    def __init__(
        self, layer: nn.Linear, rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        if rank < 1:
            raise ValueError(f"rank={rank} must be 1 or more")
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.requires_grad_(False)
        self.scale, bound = alpha / rank, self.in_features**-0.5
        down = torch.empty(rank, self.in_features).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(self.weight))
        self.up = nn.Parameter(self.weight.new_zeros(self.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)"""
        return super().forward(x) + F.linear(F.linear(x, self.down), self.scale * self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer of the same function."""
        layer = nn.Linear(self.in_features, self.out_features, device="meta")
        layer.weight = nn.Parameter(self.weight + self.scale * (self.up @ self.down))
        layer.bias = self.bias
        return layer


def add_low_rank(network: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> None:
    """Replaces every trainable linear layer by a ``LowRankLinear``, and freezes everything else.

    A layer that was frozen before stays, such as the head that a ``Classifier`` does not use.
    """
    if any(isinstance(layer, LowRankLinear) for layer in network.modules()):
        raise ValueError("the network has low-rank matrices already: merge them first")
    layers = {n: layer for n, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    trained = {name: layer for name, layer in layers.items() if layer.weight.requires_grad}
    if not trained:
        raise ValueError(f"trainable linear layers=0 of {len(layers)}: unfreeze some")
    network.requires_grad_(False)
    for name, layer in trained.items():
        network.set_submodule(name, LowRankLinear(layer, rank, alpha, generator))


def merge_low_rank(network: nn.Module) -> None:
    """Adds the changes to the weights: the same function from plain layers."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, LowRankLinear):
            network.set_submodule(name, layer.merged())
