"""Tokens out of a network, one after another. Book 5.3.

Choosing (``filtered``, ``choose``) is apart from feeding (``stream``): a cache of keys and values
changes only the feeding. Letters: T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from model.evaluation import evaluating


def filtered(logits: Tensor, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """logits (V,) with all but the likeliest tokens at -inf.

    top_k keeps that many (Fan et al. 2018); top_p the fewest whose probability together reaches it
    (Holtzman et al. 2020). The likeliest always stays.
    """
    if top_k is not None and top_k < len(logits):
        lowest = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < lowest, float("-inf"))
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(descending=True, stable=True)
        likelihood = ordered.softmax(0)
        above = likelihood.cumsum(0) - likelihood  # what the likelier ones hold together
        logits = logits.masked_fill((above >= top_p)[order.argsort()], float("-inf"))
    return logits


def choose(
    logits: Tensor,
    generator: torch.Generator,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """A token drawn from logits (V,); at temperature 0 the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    logits = filtered(logits / temperature, top_k, top_p)
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))


def penalised(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """logits (V,) with those of tokens already seen made less likely (Keskar et al. 2019)."""
    if penalty == 1 or not seen:
        return logits
    index = torch.tensor(sorted(set(seen)))
    old = logits[index]
    return logits.index_copy(0, index, torch.where(old > 0, old / penalty, old * penalty))


def stream(
    network: Any,
    prompt_tokens: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop: Collection[int] = (),
    forbid: Collection[int] = (),
    seed: int = 0,
) -> Iterator[int]:
    """New tokens as they come: up to ``max_new_tokens``, or until one of ``stop``, not yielded.

    A text longer than the context is continued from its last context_length tokens. ``forbid`` are
    never drawn. Same arguments, same tokens; torch's global generator is left alone. ValueError for
    settings out of range or an empty prompt.
    """
    _check(network, prompt_tokens, temperature, top_k, top_p, repetition_penalty, forbid)
    generator = torch.Generator().manual_seed(seed)
    barred = torch.tensor(sorted(forbid), dtype=torch.int64)
    tokens = list(prompt_tokens)
    for _ in range(max_new_tokens):
        window = tokens[-network.context_length :]
        logits = penalised(_next_logits(network, window), window, repetition_penalty)
        logits = logits.index_fill(0, barred, float("-inf"))
        token = choose(logits, generator, temperature, top_k, top_p)
        if token in stop:
            return
        tokens.append(token)
        yield token


def generate(network: Any, prompt_tokens: Sequence[int], **settings: Any) -> list[int]:
    """``stream`` to its end: the new tokens alone."""
    return list(stream(network, prompt_tokens, **settings))


def _next_logits(network: Any, tokens: Sequence[int]) -> Tensor:
    """Logits (V,) of what follows, on the CPU: the same draws wherever the network lives."""
    device = next(network.parameters()).device
    with evaluating(network), torch.inference_mode():
        features = network.features(torch.tensor([tokens], device=device))
        return network.logits(features[0, -1]).cpu()


def _check(
    network: Any,
    prompt_tokens: Sequence[int],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float,
    forbid: Collection[int],
) -> None:
    if not prompt_tokens:
        raise ValueError("prompt_tokens=[]: begin with a token, such as the end of text")
    for name, tokens in (("prompt token", prompt_tokens), ("forbid", forbid)):
        for token in tokens:
            if not 0 <= token < network.vocab_size:
                raise ValueError(f"{name}={token} is outside vocab_size={network.vocab_size}")
    if len(set(forbid)) == network.vocab_size:
        raise ValueError("forbid holds every token: leave one")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature={temperature} must be 0 (greedy) or positive")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} must be 1 or more, or None for all")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1, or None for all")
    if not repetition_penalty > 0:
        raise ValueError(f"repetition_penalty={repetition_penalty} must be positive; 1 is none")
