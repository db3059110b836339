"""A linear layer with a frozen weight and a trained change beside it. Book appendix E.

Letters: N rows, O and I the outputs and inputs of the layer, R rank.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRankLinear(nn.Linear):
    """A linear layer with a frozen weight (O, I) and a trained change beside it (Hu et al. 2022).

    The change is the product of two thin matrices, ``up`` (O, R) and ``down`` (R, I), which
    multiply the activations: a product with the whole weight would need a gradient of its size. As
    ``up`` begins at zero, the network begins exactly as it was. The change is scaled by alpha / R,
    so that one learning rate suits every rank. ``dropout`` is the share of its inputs that the
    change does not read in a step of training.
    """

    def __init__(
        self,
        layer: nn.Linear,
        rank: int,
        alpha: float,
        generator: torch.Generator,
        dropout: float = 0.0,
    ) -> None:
        if rank < 1:
            raise ValueError(f"rank={rank} must be 1 or more")
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.requires_grad_(False)
        self.scale, self.dropout, bound = alpha / rank, dropout, self.in_features**-0.5
        down = torch.empty(rank, self.in_features).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(self.weight))
        self.up = nn.Parameter(self.weight.new_zeros(self.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)"""
        return super().forward(x) + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O): what is added to the product with the frozen weight."""
        read = F.dropout(x, self.dropout, self.training)
        return F.linear(F.linear(read, self.down), self.scale * self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer of the same function."""
        layer = nn.Linear(self.in_features, self.out_features, device="meta")
        layer.weight = nn.Parameter(self.weight + self.scale * (self.up @ self.down))
        layer.bias = self.bias
        return layer
