"""New ends for a trained network, and which of its parts stay as they are. Book chapter 6.

Letters: B batch, T positions, D d_model, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network's features at the last real token, mapped to C classes.

    Under a causal mask only that position has read the whole row. The head begins at zero, so that
    the first loss is ln C whatever the seed. The network's own head stays, frozen and unused: the
    network inside is still the foundation, tensor for tensor.
    """

    def __init__(self, network: Any, n_classes: int) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes={n_classes} must be 2 or more")
        self.network, self.n_classes = network, n_classes
        if network.head is not None:
            network.head.requires_grad_(False)
        weight = network.embedding.weight
        self.head = nn.Linear(weight.shape[1], n_classes, device=weight.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def vocab_size(self) -> int:
        return self.network.vocab_size

    @property
    def context_length(self) -> int:
        return self.network.context_length

    def forward(self, tokens: Tensor, last: Tensor) -> Tensor:
        """tokens (B, T), last (B,) positions -> logits (B, C)"""
        features = self.network.features(tokens)  # (B, T, D)
        rows = torch.arange(len(last), device=last.device)
        return self.head(features[rows, last]).float()


def freeze_all_but_last(network: Any, n_blocks: int) -> None:
    """Leaves the last ``n_blocks`` blocks and the last norm trainable, and nothing else of it.

    autograd records nothing before the first trainable parameter, so the frozen part costs one
    forward pass.
    """
    if not 0 <= n_blocks <= len(network.blocks):
        raise ValueError(f"n_blocks={n_blocks} must be from 0 to n_layers={len(network.blocks)}")
    network.requires_grad_(False)
    network.norm.requires_grad_(True)
    for block in network.blocks[len(network.blocks) - n_blocks :]:
        block.requires_grad_(True)
