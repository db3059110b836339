"""Sampling: the choice of a token from logits. Book 5.3. Letters: V vocabulary."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The settings of sampling, in the order of use. Raises ValueError for one out of range.

    repetition_penalty above 1 makes tokens that occurred less likely; 1 has no effect. Tokens in
    ``forbid`` are never chosen. temperature 0 takes the likeliest token; a higher one makes the
    probabilities more equal. top_k, top_p and min_p keep only the likeliest tokens (see
    ``filtered``); None keeps all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    forbid: Collection[int] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature} must be 0 (greedy) or positive")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k={self.top_k} must be 1 or more, or None for all")
        for name in ("top_p", "min_p"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name}={share} must be above 0 and at most 1, or None for all")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(
                f"repetition_penalty={self.repetition_penalty} must be positive; 1 is none"
            )

    def choose(self, logits: Tensor, seen: Sequence[int], generator: torch.Generator) -> int:
        """A token drawn from logits (V,) after the tokens ``seen``."""
        logits = barred(penalised(logits, seen, self.repetition_penalty), self.forbid)
        if self.temperature == 0:
            return int(logits.argmax())
        logits = filtered(logits / self.temperature, self.top_k, self.top_p, self.min_p)
        # Draws one number, not V as ``torch.multinomial`` does: a tenth of the time.
        ends = logits.double().softmax(0).cumsum(0)
        chance = torch.rand(1, generator=generator, dtype=torch.float64, device=generator.device)
        share = 1 - chance  # never 0
        return int(torch.searchsorted(ends, share * ends[-1]))


def penalised(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """logits (V,) with lower ones for the tokens in ``seen`` (Keskar et al. 2019)."""
    if penalty == 1 or not seen:
        return logits
    index = torch.tensor(sorted(set(seen)), device=logits.device)
    old = logits[index]
    return logits.index_copy(0, index, torch.where(old > 0, old / penalty, old * penalty))


def barred(logits: Tensor, tokens: Collection[int]) -> Tensor:
    """logits (..., V) with those of ``tokens`` set to -inf."""
    if not tokens:
        return logits
    index = torch.tensor(sorted(tokens), dtype=torch.int64, device=logits.device)
    return logits.index_fill(-1, index, -math.inf)


def filtered(
    logits: Tensor,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """logits (V,) with all but the likeliest tokens set to -inf.

    top_k keeps that many tokens (Fan et al. 2018). top_p keeps the fewest tokens whose total
    probability reaches it (Holtzman et al. 2020). min_p keeps tokens with at least that share of
    the likeliest token's probability (Nguyen et al. 2024). The likeliest token always stays.
    """
    if top_k is not None and top_k < len(logits):
        lowest = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < lowest, -math.inf)
    if top_p is not None and top_p < 1:
        kept = (logits > -math.inf).nonzero()[:, 0]  # few after top_k: sorting all is slow
        ordered, order = logits[kept].sort(descending=True, stable=True)
        likelihood = ordered.softmax(0)
        above = likelihood.cumsum(0) - likelihood  # the total of the likelier tokens
        logits = logits.index_fill(0, kept[order[above >= top_p]], -math.inf)
    if min_p is not None:
        logits = logits.masked_fill(logits < logits.max() + math.log(min_p), -math.inf)
    return logits
