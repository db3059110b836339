"""The network and the number of steps that promise the lowest loss in a number of minutes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from model.architectures import find

WIDTHS, DEPTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0), (0.5, 1.0, 1.5, 2.0, 3.0)
MARGIN = 0.95  # of the minutes, since no forecast is exact
NEAREST = 2.5  # doublings of the arithmetic, up or down, in which the forecast is believed


@dataclass(frozen=True)
class Proposal:
    """Sizes of a network with the steps of its training, and the loss that they promise."""

    sizes: dict[str, int]
    steps: int
    loss: float

    def stanza(self) -> str:
        """The lines to write into a recipe."""
        sizes = "".join(f"  {name}: {size}\n" for name, size in self.sizes.items())
        return f"model:\n{sizes}training:\n  steps: {self.steps}\n"


def propose(
    architecture: str,
    config: Any,
    seconds: float,
    step_seconds: float,
    forecast: Callable[[float], float],
    growth: float,
) -> Proposal | None:
    """The best of several sizes around the recipe's own; None if the arithmetic is not counted.

    ``seconds`` may be spent on steps, of which one takes ``step_seconds`` with the recipe's own
    ``config``; other sizes take as much more as they multiply more. ``forecast`` gives the loss of
    the own size after so many steps. ``growth`` is the loss that a doubling of the arithmetic a
    token saves at equal steps.
    """
    flops = find(architecture).flops
    if flops is None or not hasattr(config, "n_layers"):
        return None
    own, found = flops(config, 1.0), []
    for other in _around(config):
        doublings = math.log2(flops(other, 1.0) / own)
        steps = int(seconds * MARGIN / (step_seconds * 2**doublings))
        if steps >= 1 and abs(doublings) <= NEAREST:
            loss = forecast(steps) - growth * doublings
            names = ("d_model", "n_layers", "n_heads")
            found.append(Proposal({n: getattr(other, n) for n in names}, steps, loss))
    return min(found, key=lambda proposal: proposal.loss, default=None)


def _around(config: Any) -> Iterator[Any]:
    """Configurations of other widths and depths, with heads as wide as the recipe's own."""
    head = config.d_model // config.n_heads
    for width in WIDTHS:
        heads = max(1, round(width * config.n_heads))
        for depth in DEPTHS:
            change = {"d_model": heads * head, "n_heads": heads}
            change["n_layers"] = max(1, round(depth * config.n_layers))
            if getattr(config, "n_kv_heads", None) is None and not config.d_feed_forward:
                yield replace(config, **change)
