"""Beam search for the likeliest texts. Letters: B texts, V vocabulary.

This is the reference: one prompt, any network that generates, every hypothesis with its score. The
fast one is the encoder-decoder's (its search.py): many sources side by side, all their beams in one
pass, and only the best target of each source.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.blocks.cache import Reader
from model.inference.generation import check
from model.inference.sampling import barred


@dataclass(frozen=True)
class Hypothesis:
    """New ``tokens``, without the stop. ``likelihood`` is their log-probability in nats, with the
    stop's. The search ranks by ``score``."""

    tokens: list[int]
    likelihood: float
    score: float


def beam_search(
    network: Any,
    prompt_tokens: Sequence[int],
    *,
    beams: int,
    max_new_tokens: int,
    length_penalty: float = 0.0,
    stop: Collection[int] = (),
    forbid: Collection[int] = (),
    cached: bool = True,
) -> list[Hypothesis]:
    """Up to ``beams`` finished texts, best first: with a stop or ``max_new_tokens`` tokens.

    At each step the search keeps the ``beams`` likeliest unfinished texts, and the ``beams``
    finished ones of the best score: log-probability / n^length_penalty, where n counts the stop. A
    penalty above 0 favours long texts (Wu et al. 2016, in the plainer form without constants). With
    enough beams it finds the best of all texts. It accepts the arguments that ``stream`` accepts
    and raises the same errors.
    """
    check(network, prompt_tokens, forbid)
    if beams < 1 or max_new_tokens < 1 or not math.isfinite(length_penalty):
        raise ValueError(
            f"beams={beams} max_new_tokens={max_new_tokens} length_penalty={length_penalty}: "
            "counts must be at least 1 and the penalty a finite number"
        )
    start = len(prompt_tokens)
    ends = sorted({token for token in stop if 0 <= token < network.vocab_size})
    reader = Reader(network, beams, start + max_new_tokens, cached=cached)
    texts, likelihoods = [list(prompt_tokens)], torch.zeros(1, dtype=torch.float64)
    finished: list[Hypothesis] = []
    for n in range(1, max_new_tokens + 1):
        logits = torch.stack(list(reader.read(dict(enumerate(texts))).values()))
        total = likelihoods[:, None] + barred(logits, forbid).double().log_softmax(-1)  # (B, V)
        for token in ends:
            finished += _hypotheses(texts, total[:, token], start, n**length_penalty)
        parents, tokens, likelihoods = _likeliest(barred(total, ends), beams)
        texts = [[*texts[row], token] for row, token in zip(parents, tokens, strict=True)]
        if n == max_new_tokens:
            finished += _hypotheses(texts, likelihoods, start, n**length_penalty)
        finished = sorted(finished, key=lambda hypothesis: -hypothesis.score)[:beams]
        # The best score that a text can still reach: if it ends next, or if it ends last.
        reachable = [likelihoods / m**length_penalty for m in (n + 1, max_new_tokens)]
        full = len(finished) == beams
        if not texts or (full and finished[-1].score >= torch.cat(reachable).max()):
            break
        reader.fork(parents)
    return finished


def _hypotheses(
    texts: list[list[int]], likelihoods: Tensor, start: int, divisor: float
) -> list[Hypothesis]:
    return [
        Hypothesis(text[start:], likelihood, likelihood / divisor)
        for text, likelihood in zip(texts, likelihoods.tolist(), strict=True)
        if likelihood > -math.inf
    ]


def _likeliest(total: Tensor, beams: int) -> tuple[list[int], list[int], Tensor]:
    """total (B, V) -> rows, tokens and values of the highest, best first, without -inf."""
    values, index = total.flatten().topk(min(beams, total.numel()))
    values = values[values > -math.inf]
    index = index[: len(values)]
    width = total.shape[1]
    return (index // width).tolist(), (index % width).tolist(), values
