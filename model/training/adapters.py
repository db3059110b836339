"""Fine-tuning of a trained network: a classification head, frozen blocks, low-rank matrices.

Book chapter 6 and appendix E. Letters: B batch, T positions, D d_model, C classes, O and I the
outputs and inputs of a linear layer, R rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

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

    def parts(self) -> Iterable[nn.Module]:
        parts: Iterable[nn.Module] = self.network.parts()
        return parts

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


class LowRank(nn.Module):
    """A change to a weight (O, I): the product of two thin matrices, up (O, R) and down (R, I).

    As up begins at zero, the network begins exactly as it was. The change is scaled by alpha / R,
    so that one learning rate suits every rank (Hu et al. 2022).
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        if rank < 1:
            raise ValueError(f"rank={rank} must be 1 or more")
        self.scale, bound = alpha / rank, inputs**-0.5
        down = torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight (O, I)."""
        return weight + self.scale * (self.up @ self.down)


def add_low_rank(network: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> None:
    """Adds a ``LowRank`` to every trainable linear layer, and freezes everything else.

    A layer that was frozen before gets none, such as the head that a ``Classifier`` does not use.
    The ``weight`` of a layer is from then on the changed one.
    """
    if any(map(parametrize.is_parametrized, network.modules())):
        raise ValueError("the network has low-rank matrices already: merge them first")
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    trained = [layer for layer in linear if layer.weight.requires_grad]
    if not trained:
        raise ValueError(f"trainable linear layers=0 of {len(linear)}: unfreeze some")
    changes = [LowRank(layer.weight, rank, alpha, generator) for layer in trained]
    network.requires_grad_(False)
    for layer, change in zip(trained, changes, strict=True):
        parametrize.register_parametrization(layer, "weight", change)


def merge_low_rank(network: nn.Module) -> None:
    """Adds the changes to the weights: the same function, as fast as without ``LowRank``."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
