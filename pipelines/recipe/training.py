"""How a network is trained: budget, optimizer, schedule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from pipelines.recipe.base import Positive, Strict

T = TypeVar("T")


class OptimizerChoice(Strict):
    """Learning rates by role, as in ``model/optim.py``."""

    kind: Literal["muon", "adamw"] = "muon"
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """For the matrices inside the blocks."""
    embedding_learning_rate: Annotated[float, Field(gt=0)] = 0.3
    head_learning_rate: Annotated[float, Field(gt=0)] = 0.004
    """For the output head, and for gains and biases."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Muon's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class ScheduleChoice(Strict):
    """The learning rate over a run: up, level, down."""

    warmup_steps: Annotated[int, Field(ge=0, strict=True)] = 0
    decay: Literal["linear", "cosine", "none"] = "linear"
    decay_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The last share of the steps over which the rate falls."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where it ends, as a share of the full rate."""


class Training(Strict):
    """A budget and how it is spent; in steps or tokens, never in minutes."""

    steps: Positive | None = None
    tokens: Positive | None = None
    batch_size: Positive = 16
    optimizer: OptimizerChoice = OptimizerChoice()
    schedule: ScheduleChoice = ScheduleChoice()
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """The largest gradient norm; null for none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor multiplies it natively."""
    validate_every: Positive = 100
    validation_batches: Positive | None = None
    """How much of the validation split each look uses; null for all of it."""
    checkpoint_every: Positive = 100

    @model_validator(mode="after")
    def _one_budget(self) -> Training:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give either steps or tokens")
        return self

    def looks(self, batches: Callable[[], Iterable[T]]) -> Callable[[], Iterable[T]]:
        """``batches`` cut to what each look at the validation split uses."""
        return lambda: itertools.islice(batches(), self.validation_batches)

    def steps_for(self, context_length: int) -> int:
        """The number of optimizer steps; a token budget counts whole batches."""
        if self.steps is not None:
            return self.steps
        assert self.tokens is not None
        return max(1, self.tokens // (self.batch_size * context_length))


class Pretraining(Training):
    """A foundation's training, which also says how documents fill the windows."""

    packing: Literal["windows", "documents"] = "windows"
    """windows: documents end to end, cut wherever a window ends. documents: whole documents packed
    best-fit, attention kept inside each."""
