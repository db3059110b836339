"""A network from elsewhere under a tokenizer and a length of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from model.architectures.gpt.config import GPTConfig

Network = tuple[GPTConfig, dict[str, Tensor]]


def widened(config: GPTConfig, tensors: Mapping[str, Tensor], vocab_size: int) -> Network:
    """With a row of embedding and head for each of ``vocab_size`` ids; what has more is unchanged.

    A new row is the mean of the others, so its logit is their mean: what was foretold before is
    hardly less likely (Hewitt 2021).
    """
    more = vocab_size - config.vocab_size
    if more <= 0:
        return config, dict(tensors)
    found = dict(tensors)
    for name in {"embedding.weight", "head.weight"} & found.keys():
        rows = found[name]  # (V, D)
        # In double precision: the sum is then the same in whatever order it is taken.
        mean = rows.double().mean(0, keepdim=True).to(rows.dtype)
        found[name] = torch.cat([rows, mean.expand(more, -1)])
    return replace(config, vocab_size=vocab_size), found


def shortened(config: GPTConfig, tensors: Mapping[str, Tensor], context_length: int) -> Network:
    """With a context of ``context_length``; ValueError if it was made for a shorter one."""
    if context_length > config.context_length:
        raise ValueError(
            f"context_length={context_length}: the network was made for "
            f"{config.context_length} at most; give that or less"
        )
    found = dict(tensors)
    if "positions.weight" in found:
        found["positions.weight"] = found["positions.weight"][:context_length]
    return replace(config, context_length=context_length), found
