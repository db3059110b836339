"""The loss after a long training, from three short ones of the same network and text.

Each short training is a whole one: its learning rate falls to 0. Between a quarter, a half and all
of its steps n the loss falls by s' and then by s bits per byte. With each further doubling of the
steps it falls by q times as much as with the one before, so that after n 2^k steps

    loss = loss(n) - s (q + q^2 + ... + q^k)        (a power law above a floor, if q is below 1)

q is not s / s' alone, which is noisy: it is a linear function of s / s' and of how far the loss
lies above what a compressor reaches on the text, fitted on trainings on several corpora
(benchmarks/plan_law.py). The band is what the forecasts miss on a corpus that was left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

FACTS = Path(__file__).with_name("law.json")
QUOTIENTS = (0.5, 1.15)  # the range of q in the trainings that the law was fitted on
FELL = (0.4, 1.3)  # the range of s / s' in them
LOWEST = 0.3  # of the compressor's bits per byte: about what the largest networks reach


@dataclass(frozen=True)
class Law:
    """The coefficients of q, and the deviation of the forecasts in units of s k.

    ``growth`` is the loss in bits per byte that a network of twice the arithmetic a token saves
    after as many steps; it is a mean over the corpora, and no more than a rule of thumb.
    """

    constant: float
    falling: float
    above: float
    deviation: float
    growth: float

    @classmethod
    def load(cls) -> Law:
        """The fitted law."""
        facts = json.loads(FACTS.read_text(encoding="utf-8"))
        return cls(**{field.name: facts[field.name] for field in fields(cls)})

    def quotient(self, falling: float, above: float) -> float:
        """q, from s / s' and from the bits per byte above the compressor's."""
        lowest, highest = FELL
        falling = min(max(falling, lowest), highest)
        q = self.constant + self.falling * falling + self.above * above
        return min(max(q, QUOTIENTS[0]), QUOTIENTS[1])

    def forecast(
        self, losses: Sequence[float], doublings: float, compressed: float
    ) -> tuple[float, float]:
        """The loss in bits per byte after so many doublings of the steps, and its deviation.

        ``losses`` are those after a quarter, a half and all of the steps; ``compressed`` are the
        bits per byte of a compressor.
        """
        quarter, half, whole = losses
        before, fall = quarter - half, max(half - whole, 0.0)
        falling = fall / before if before > 0 else FELL[1]
        q = self.quotient(falling, whole - compressed)
        told = max(whole - fall * total(q, doublings), LOWEST * min(compressed, whole))
        return told, self.deviation * fall * doublings


def total(q: float, doublings: float) -> float:
    """q + q^2 + ... + q^k, also for a k that is not whole."""
    if abs(1 - q) < 1e-9:
        return doublings
    return q * (1 - q**doublings) / (1 - q)


def quotient_of(fall: float, left: float, doublings: float) -> float:
    """The q for which the loss falls by ``left`` after a fall of ``fall``; the inverse of total."""
    low, high = 0.01, 3.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fall * total(middle, doublings) < left else (low, middle)
    return low
