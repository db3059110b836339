"""Changes an imported network's vocabulary size and context length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from model.architectures.gpt.config import GPTConfig

Network = tuple[GPTConfig, dict[str, Tensor]]


def widened(config: GPTConfig, tensors: Mapping[str, Tensor], vocab_size: int) -> Network:
    """The network with ``vocab_size`` rows of embedding and head; unchanged if it has as many.

    A new row is the mean of the others, so its logit is their mean: the probabilities of the other
    tokens hardly change (Hewitt 2021).
    """
    more = vocab_size - config.vocab_size
    if more <= 0:
        return config, dict(tensors)
    changed = dict(tensors)
    for name in {"embedding.weight", "head.weight"} & changed.keys():
        rows = changed[name]  # (V, D)
        # In double precision the order of the sum does not change the result.
        mean = rows.double().mean(0, keepdim=True).to(rows.dtype)
        changed[name] = torch.cat([rows, mean.expand(more, -1)])
    return replace(config, vocab_size=vocab_size), changed


def shortened(config: GPTConfig, tensors: Mapping[str, Tensor], context_length: int) -> Network:
    """The network with that ``context_length``. Raises ValueError if its own is shorter."""
    if context_length > config.context_length:
        raise ValueError(
            f"context_length={context_length}: the network was made for "
            f"{config.context_length} at most; give that or less"
        )
    changed = dict(tensors)
    if "positions.weight" in changed:
        changed["positions.weight"] = changed["positions.weight"][:context_length]
    return replace(config, context_length=context_length), changed
