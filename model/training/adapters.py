"""Fine-tuning of a trained network: a classification head, frozen blocks, low-rank matrices.

Book chapter 6 and appendix E. Letters: B batch, T positions, D d_model, C classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.network import Network
from model.batches.batching import Batch
from model.blocks.low_rank import LowRankLinear
from model.training.state import copy_exactly, weights


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

    def forward(
        self,
        tokens: Tensor,
        last: Tensor,
        labels: Tensor | None = None,
        begun: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, T), last (B,) positions, labels (B,) -> logits (B, C), or the sum of nats.

        ``begun`` is for the network inside (``Network.begin``).
        """
        features = self.network.features(tokens, begun=begun)  # (B, T, D)
        rows = torch.arange(len(last), device=last.device)
        logits: Tensor = self.head(features[rows, last]).float()
        return logits if labels is None else F.cross_entropy(logits, labels, reduction="sum")

    def parts(self) -> Iterable[nn.Module]:
        parts: Iterable[nn.Module] = self.network.parts()
        return parts

    def frozen_blocks(self) -> int:
        return int(self.network.frozen_blocks())

    def begin(self, tokens: Tensor) -> Tensor:
        begun: Tensor = self.network.begin(tokens)
        return begun

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

    The head of a ``Classifier`` is new and learns too. autograd records nothing before the first
    trainable parameter, so the frozen part costs one forward pass.
    """
    trunk = network.network if isinstance(network, Classifier) else network
    if not 0 <= n_blocks <= len(trunk.blocks):
        raise ValueError(f"n_blocks={n_blocks} must be from 0 to n_layers={len(trunk.blocks)}")
    network.requires_grad_(False)
    _train_head(network)
    trunk.norm.requires_grad_(True)
    for block in trunk.blocks[len(trunk.blocks) - n_blocks :]:
        block.requires_grad_(True)


def add_low_rank(
    network: nn.Module,
    rank: int,
    alpha: float,
    generator: torch.Generator,
    *,
    targets: Collection[str] | None = None,
    dropout: float = 0.0,
) -> None:
    """Replaces trainable linear layers by ``LowRankLinear``, and freezes everything else.

    ``targets`` are the last parts of their names, such as ``queries``; None for all of them. A
    layer that was frozen before stays, such as the head that a ``Classifier`` does not use; the
    head that it uses learns whole if it is no target.
    """
    if any(isinstance(layer, LowRankLinear) for layer in network.modules()):
        raise ValueError("the network has low-rank matrices already: merge them first")
    layers = linear_layers(network)
    if not layers:
        raise ValueError("trainable linear layers=0: unfreeze some")
    known = {_last_part(name) for name in layers}
    chosen = known if targets is None else set(targets)
    if unknown := sorted(chosen - known):
        raise ValueError(
            f"targets={unknown[0]}: no linear layer of the network has this name; it has"
            f" {', '.join(sorted(known))}"
        )
    network.requires_grad_(False)
    _train_head(network)
    for name, layer in layers.items():
        if _last_part(name) in chosen:
            adapted = LowRankLinear(layer, rank, alpha, generator, dropout)
            network.set_submodule(name, adapted)


def linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers whose weights take a gradient, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and layer.weight.requires_grad
    }


def learned(network: nn.Module) -> dict[str, Tensor]:
    """The parameters that take a gradient, by name: of an adapted network, its adapter."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def without_low_rank(network: nn.Module) -> dict[str, Tensor]:
    """The weights without the thin matrices: those of the network that merging leaves."""
    thin = {
        f"{name}.{matrix}"
        for name, layer in network.named_modules()
        if isinstance(layer, LowRankLinear)
        for matrix in ("down", "up")
    }
    return {name: tensor for name, tensor in weights(network).items() if name not in thin}


def fill_adapter(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies ``tensors`` into what ``learned`` returns.

    Raises ValueError for missing, extra or misshaped tensors.
    """
    copy_exactly(learned(network), tensors, "adapter")


def set_dropout(network: nn.Module, share: float) -> None:
    """Sets the share of inputs that the changes do not read in a step of training."""
    for layer in network.modules():
        if isinstance(layer, LowRankLinear):
            layer.dropout = share


def merge_low_rank(network: nn.Module) -> None:
    """Adds the changes to the weights: the same function from plain layers.

    What was frozen stays so, but for the layers that were adapted.
    """
    for name, layer in list(network.named_modules()):
        if isinstance(layer, LowRankLinear):
            network.set_submodule(name, layer.merged())


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _train_head(network: nn.Module) -> None:
    """The head of a classifier is new, so it learns whatever else is frozen."""
    if isinstance(network, Classifier):
        network.head.requires_grad_(True)
