"""How fast a training is: the time of its steps alone, and its tokens without padding.

Validations, saves and what a caller does between two events are no steps. So the speed compares
between recipes that validate seldom and recipes that validate often.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import torch

from model.architectures import catalogue
from model.architectures.network import Network
from model.batches.batching import Batch
from model.training.loop import Step
from pipelines.training.machine import forget_peak_memory, peak_memory

Event = TypeVar("Event")
KEPT = 0.9  # of the recent speed, with each step
COUNTED_EVERY = 100  # steps; the cost of a token hangs on the mean length of the rows


class Speed:
    """Counts the tokens and the seconds of a training's steps.

    ``peak`` is what the device multiplies at most, in floating-point operations a second. The first
    step is left out if there are others, because it also prepares threads and memory.
    """

    def __init__(
        self, network: Network, objective: str, device: torch.device, peak: Callable[[], float]
    ) -> None:
        architectures = {a.config: a for a in catalogue().values()}
        known = architectures.get(type(network.config))
        # Where weights are frozen, or a head reads one token of a row, the arithmetic is less.
        is_whole = all(parameter.requires_grad for parameter in network.parameters())
        is_known = is_whole and objective not in ("classify", "preference")
        self._flops = known.flops if known and is_known else None
        self._config, self._device = network.config, device
        self._peak = peak() if self._flops else 0.0
        self._steps, self._cost = 0, 0.0
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._first: dict[str, float] = {}
        self._recent = {"tokens": 0.0, "step": 0.0}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """The seconds of each kind of event: ``step``, ``validated``, ``saved``."""
        forget_peak_memory(device)

    def reading(self, batches: Callable[[int], Batch]) -> Callable[[int], Batch]:
        """The same batches, counted as they are read."""

        def batch(step: int) -> Batch:
            read = batches(step)
            filled = read.filled
            sides = 1 if read.sources is None else 2
            self._totals["tokens"] += filled
            self._totals["size"] += read.size
            self._totals["rows"] += sides * len(read.ids)
            self._totals["asked"] += sides * read.counted
            self._recent["tokens"] = KEPT * self._recent["tokens"] + filled
            return read

        return batch

    def timed(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events; the time until each is counted under its kind."""
        while True:
            began = time.perf_counter()
            event = next(events, None)
            if event is None:
                return
            took = time.perf_counter() - began
            self.seconds[type(event).__name__.lower()] += took
            if isinstance(event, Step):
                self._recent["step"] = KEPT * self._recent["step"] + took
                self._steps += 1
                if self._steps == 1:
                    self._first = {"tokens": self._totals["tokens"], "step": took}
                if self._steps % COUNTED_EVERY == 1:
                    self._cost = self._flops_a_token()
            yield event
            del event  # frees a checkpoint's memory before the next step

    @property
    def recent(self) -> float:
        """Tokens a second over the last steps, without padding."""
        return self._recent["tokens"] / max(self._recent["step"], 1e-9)

    def utilisation(self, rate: float) -> float | None:
        """The share of the peak at ``rate`` tokens a second; None for an unknown arithmetic."""
        return self._cost * rate / self._peak if self._peak else None

    def facts(self) -> dict[str, float]:
        """What the record keeps of the speed; empty before the first step.

        ``tokens_per_second`` without padding, the share of ``padding``, ``step_seconds`` of one
        step, ``validation_seconds`` and ``saving_seconds`` in all, ``utilisation`` as a share of
        the device's peak, ``peak_memory`` in bytes.
        """
        if not self._steps:
            return {}
        tokens, seconds = self._totals["tokens"], self.seconds["step"]
        if self._steps > 1:
            tokens, seconds = tokens - self._first["tokens"], seconds - self._first["step"]
        rate = tokens / max(seconds, 1e-9)
        self._cost = self._flops_a_token()
        facts = {
            "tokens_per_second": round(rate),
            "padding": round(1 - self._totals["tokens"] / self._totals["size"], 4),
            "step_seconds": round(seconds / max(self._steps - 1, 1), 6),
            "validation_seconds": round(self.seconds["validated"], 3),
            "saving_seconds": round(self.seconds["saved"], 3),
            "peak_memory": peak_memory(self._device),
        }
        share = self.utilisation(rate)
        return facts if share is None else {**facts, "utilisation": round(share, 4)}

    def _flops_a_token(self) -> float:
        """Floating-point operations a token at the mean length of the rows so far."""
        if self._flops is None:
            return 0.0
        rows, tokens = self._totals["rows"], self._totals["tokens"]
        config = replace(self._config, context_length=max(round(tokens / rows), 1))
        return self._flops(config, min(self._totals["asked"] / tokens, 1.0))
