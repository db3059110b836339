"""Forecasts of where the choices of a sweep end, and which of them are hopeless.

Everything here is a pure function of curves and settings. A forecast says where a choice ends if it
gains from now on what the choices of this sweep gain in the middle. Its band holds how much gains
differ between choices, and how much seeds differ. An error of the middle gain moves all forecasts
alike, so it changes no decision; the page of a sweep shows it beside the true ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance

from pipelines.sweeps.artefacts import Curve

WIDTH = 1.282
"""Half of a band in standard deviations: eight of ten ends lie in it."""
GAINS_DIFFER = 0.25
"""The standard deviation of the gains of one sweep's choices, as a share of their middle.

Measured on three sweeps of six choices after 17 to 50 % of the steps: 0.13 to 0.32 (docs/adr/0018).
"""
SEEDS_DIFFER = 0.005
"""The standard deviation of the losses of one choice's seeds, as a share, where one seed is run."""


@dataclass(frozen=True)
class Start:
    """A point up to a comparison: its curves up to ``step``, of ``steps`` in all."""

    validation: Curve
    train: Curve
    step: int
    steps: int

    @property
    def loss(self) -> float:
        """The last validation loss up to the comparison."""
        return self.validation[-1][1]

    def slope(self) -> float:
        """The exponent of a power law through the training losses: loss ~ step ** -slope.

        It compares the means of the second and the last quarter of the steps in a doubling.
        """
        early = [loss for step, loss in self.train if self.step / 4 < step <= self.step / 2]
        late = [loss for step, loss in self.train if self.step / 2 < step <= self.step]
        if not early or not late:
            return 0.0
        return max(0.0, math.log(fmean(early) / fmean(late)) / math.log(2))


@dataclass(frozen=True)
class Forecast:
    """The loss at the end, and the band in which it lies in eight of ten cases, in nats."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A comparison: a forecast for each choice that went so far, and the choices it stops."""

    forecasts: Mapping[str, Forecast]
    stopped: tuple[str, ...]


def compared(starts: Mapping[str, Sequence[Start]], keep: int) -> Comparison:
    """Compare choices, each with a start for every seed.

    The best ``keep`` go on. Another choice is stopped if its band lies wholly above the band of the
    best.
    """
    forecasts = forecast(starts)
    order = sorted(forecasts, key=lambda choice: (forecasts[choice].loss, choice))
    best = forecasts[order[0]]
    hopeless = [choice for choice in order[keep:] if forecasts[choice].low > best.high]
    return Comparison(forecasts, tuple(hopeless))


def forecast(starts: Mapping[str, Sequence[Start]]) -> dict[str, Forecast]:
    """Where each choice ends: the mean over its seeds."""
    slope = median(fmean(start.slope() for start in seeds) for seeds in starts.values())
    noise = _noise(starts)
    forecasts = {}
    for choice, seeds in starts.items():
        gain = slope * math.log(seeds[0].steps / seeds[0].step)
        loss = fmean(start.loss for start in seeds) * math.exp(-gain)
        half = WIDTH * math.hypot(GAINS_DIFFER * gain, noise / math.sqrt(len(seeds)))
        forecasts[choice] = Forecast(loss, loss * math.exp(-half), loss * math.exp(half))
    return forecasts


def _noise(starts: Mapping[str, Sequence[Start]]) -> float:
    """The standard deviation over seeds as a share of the loss, pooled over all choices."""
    spreads = [
        variance(math.log(start.loss) for start in seeds)
        for seeds in starts.values()
        if len(seeds) > 1
    ]
    return max(math.sqrt(fmean(spreads)) if spreads else 0.0, SEEDS_DIFFER)
