"""The rungs of the attention ladder, and the same small GPT with each. Book chapter 3.

Letters: B batch, T positions, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures import build
from model.architectures.gpt.config import GPTConfig
from model.architectures.network import Network
from model.batches.batching import IGNORED, Batch
from model.blocks.attention import MultiHeadAttention, SelfAttention, SimplifiedAttention
from model.evaluation import evaluating
from model.training.state import weights


@dataclass(frozen=True)
class Rung:
    """A kind of attention, what is new in it, and whether a position reads those after it."""

    name: str
    new: str
    attention: Callable[[GPTConfig], nn.Module]
    looks_ahead: bool = False


def _simplified(_: GPTConfig) -> nn.Module:
    return SimplifiedAttention()


def _single(config: GPTConfig, *, causal: bool) -> nn.Module:
    return SelfAttention(config.d_model, config.d_model, causal=causal)


def _multi_head(config: GPTConfig, *, grouped: bool = False, fused: bool = False) -> nn.Module:
    return MultiHeadAttention(
        config.d_model,
        config.n_heads,
        config.groups if grouped else config.n_heads,
        bias=config.bias,
        qkv_bias=config.qkv_bias,
        fused=fused,
    )


RUNGS = (
    Rung("simplified", "means weighted by dot products; no weights", _simplified, looks_ahead=True),
    Rung(
        "self-attention",
        "trained queries, keys and values",
        partial(_single, causal=False),
        looks_ahead=True,
    ),
    Rung("causal", "a mask over what comes after", partial(_single, causal=True)),
    Rung("multi-head", "narrow heads side by side, mixed by an output layer", _multi_head),
    Rung(
        "grouped-query",
        "heads share keys and values: a smaller cache",
        partial(_multi_head, grouped=True),
    ),
    Rung(
        "fused",
        "multi-head in one kernel that never holds the scores",
        partial(_multi_head, fused=True),
    ),
)


def on_rung(rung: Rung, config: GPTConfig, seed: int) -> Network:
    """The GPT of (config, seed) with this rung's attention in every block.

    All other weights begin with the same numbers on every rung.
    """
    network: Any = build("gpt", config, seed)
    shared = {n: t.clone() for n, t in weights(network).items() if ".attention." not in n}
    with torch.random.fork_rng(devices=[]):  # torch.nn draws too; overwritten
        for block in network.blocks:
            block.attention = rung.attention(config)
    network.initialise(torch.Generator().manual_seed(seed))
    network.load_state_dict(shared, strict=False)
    return network


def honest_loss(network: Any, batches: Iterable[Batch]) -> float:
    """Nats a token, if no token after the predicting position is there yet, as in generation.

    It takes T passes for T positions. For a network that cannot look ahead this equals the plain
    loss. For one that can, it is the loss without looking ahead.
    """
    total, count = 0.0, 0
    device = next(network.parameters()).device
    with evaluating(network), torch.inference_mode():
        for batch in (batch.to(device) for batch in batches):
            count += batch.counted
            for place in range(batch.tokens.shape[1]):
                features = network.features(batch.tokens[:, : place + 1])[:, -1]
                targets = batch.targets[:, place]
                logits = network.logits(features)
                loss = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
                total += loss.item()
    if not count:
        raise ValueError("counted targets=0: a mean loss needs at least one, add data")
    return total / count


def attention_maps(network: Any, tokens: Tensor) -> list[Tensor]:
    """tokens (1, T) -> the attention weights (H, T, T) of each block."""
    maps: list[Tensor] = []

    def look(attention: Any, arguments: tuple[Any, ...], _: Tensor) -> None:
        maps.append(attention.weights(*arguments[:3])[0])  # x, visible, rotary

    hooks = [block.attention.register_forward_hook(look) for block in network.blocks]
    try:
        with evaluating(network), torch.inference_mode():
            network.features(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return maps
