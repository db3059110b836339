"""A token out of logits. Book 5.3. Letters: V vocabulary."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen, in this order. ValueError for settings out of range.

    repetition_penalty above 1 makes tokens already seen less likely, 1 is none; ``forbid`` are
    never chosen; temperature 0 takes the likeliest, and a higher one evens the shares; top_k, top_p
    and min_p then keep the likeliest alone (see ``filtered``), None keeps all.
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
        # One number drawn, not V of them as ``torch.multinomial`` does: a tenth of the time.
        ends = logits.double().softmax(0).cumsum(0)
        chance = torch.rand(1, generator=generator, dtype=torch.float64, device=generator.device)
        drawn = 1 - chance  # never 0
        return int(torch.searchsorted(ends, drawn * ends[-1]))


def penalised(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """logits (V,) with those of tokens already seen made less likely (Keskar et al. 2019)."""
    if penalty == 1 or not seen:
        return logits
    index = torch.tensor(sorted(set(seen)), device=logits.device)
    old = logits[index]
    return logits.index_copy(0, index, torch.where(old > 0, old / penalty, old * penalty))


def barred(logits: Tensor, tokens: Collection[int]) -> Tensor:
    """logits (..., V) with those of ``tokens`` at -inf."""
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
    """logits (V,) with all but the likeliest tokens at -inf.

    top_k keeps that many (Fan et al. 2018); top_p the fewest whose probability together reaches it
    (Holtzman et al. 2020); min_p those at least that share of the likeliest's probability (Nguyen
    et al. 2024). The likeliest always stays.
    """
    if top_k is not None and top_k < len(logits):
        lowest = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < lowest, -math.inf)
    if top_p is not None and top_p < 1:
        left = (logits > -math.inf).nonzero()[:, 0]  # few, behind top_k: sorting all takes longest
        ordered, order = logits[left].sort(descending=True, stable=True)
        likelihood = ordered.softmax(0)
        above = likelihood.cumsum(0) - likelihood  # what the likelier ones hold together
        logits = logits.index_fill(0, left[order[above >= top_p]], -math.inf)
    if min_p is not None:
        logits = logits.masked_fill(logits < logits.max() + math.log(min_p), -math.inf)
    return logits
