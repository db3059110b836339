"""What the house may ask of any network, whatever its architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Network(nn.Module):
    """A network made from ``config``: its sizes, and how its weights are drawn.

    Each has ``features`` and a ``loss`` beside, whose arguments are what its objective reads
    (model/training/objectives.py).
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def vocab_size(self) -> int:
        """How many tokens it tells apart, V."""
        return int(self.config.vocab_size)

    @property
    def context_length(self) -> int:
        """The most tokens that it reads at once, T."""
        return int(self.config.context_length)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every parameter from ``generator`` alone."""
        raise NotImplementedError
