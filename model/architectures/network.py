"""The interface that all networks share, whatever their architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Network(nn.Module):
    """A network made from ``config``: its sizes, and how its weights are drawn.

    Each subclass also has ``features`` and ``loss``. Their arguments are the fields of a batch that
    its objective passes on (model/training/objectives.py).
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def vocab_size(self) -> int:
        """How many different tokens it knows, V."""
        return int(self.config.vocab_size)

    @property
    def context_length(self) -> int:
        """How many tokens it reads at once, at most, T."""
        return int(self.config.context_length)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every parameter from ``generator`` alone."""
        raise NotImplementedError
