"""The interface that all networks share, whatever their architecture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from model.batches.batching import Batch


class Network(nn.Module):
    """A network made from ``config``: its sizes, and how its weights are drawn.

    Each subclass has ``features`` and ``forward``. Their arguments are the fields of a batch that
    its objective passes on (model/training/objectives.py). With targets, ``forward`` returns the
    loss: one number, the sum of the nats of the counted targets. So what torch puts around a
    network (a compiler, DDP, FSDP2) holds for the loss too.
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

    def check(self, batch: Batch) -> None:
        """Raises ValueError for a batch with a token that the network does not know.

        It is called before the batch is moved to an accelerator, which would have to be waited for.
        """
        batch.check(self.vocab_size)

    def parts(self) -> Iterable[nn.Module]:
        """The parts whose parameters nothing but their own ``forward`` reads, in order: the blocks.

        A process that holds shards gathers these one after the other (model/training/distributed).
        """
        blocks: Iterable[nn.Module] = getattr(self, "blocks", ())
        return blocks

    def frozen_blocks(self) -> int:
        """How many of its first blocks take no gradient, and nothing before them does.

        0 for a network without ``begin``.
        """
        return 0

    def begin(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> (B, T, D), what the frozen blocks make of them, without gradients.

        Given to ``features`` and to ``forward`` as ``begun``, it takes the place of these blocks.
        """
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every parameter from ``generator`` alone."""
        raise NotImplementedError
