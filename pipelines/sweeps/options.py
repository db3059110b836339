"""The section ``sweep`` of a recipe, and the points that it spreads out."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, JsonValue, model_validator

from pipelines.core.stanza import Positive, Strict
from pipelines.text.nearest import nearest
from pipelines.training.options import Pretrained, Training

MOST = 200  # points of a sweep
VARIES = re.compile(r"(model|training)(\.\w+)+|corpora\.\w+\.(weight|epochs)")
BUDGETS = ("training.steps", "training.tokens")
ROOTS = ("model", "training", "corpora")
EQUAL = "all points have an equal budget; give it as sweep.steps or sweep.tokens"
BEFORE = (
    "a sweep varies model, training and the weight and epochs of corpora: losses on other tokens or"
    " texts cannot be compared, so make a second recipe for this and compare both with dragon"
    " compare"
)

Values = Mapping[str, JsonValue]
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class Stopping(Strict):
    """Stops choices whose forecast is hopeless; dragon sweep RECIPE --all goes on with them."""

    after: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """The share of the steps after which choices are first compared; then at each doubling."""
    keep: Positive = 2
    """How many choices are never stopped, the best of each comparison."""


@dataclass(frozen=True)
class Point:
    """One training of a sweep: the values of a choice, and a seed; None for the recipe's own.

    ``places`` has for each setting where the section ``sweep`` gives its value.
    """

    name: str
    choice: str
    values: Values
    seed: int | None
    places: Mapping[str, tuple[int | str, ...]]


class Sweep(Strict):
    """The same training with several values of its settings, each with the same budget."""

    points: dict[str, list[JsonValue]] | list[dict[str, JsonValue]] = Field(min_length=1)
    """Values by the dotted name of a setting, such as training.optimizer.matrix_learning_rate: a
    mapping of lists is a grid of all combinations, a list of mappings has the points themselves."""
    seeds: tuple[Seed, ...] = ()
    """Each combination of values is trained once with each seed; left out, with the recipe's."""
    steps: Positive | None = None
    tokens: Positive | None = None
    """The budget of each point; left out, it is the recipe's."""
    stop: Stopping | None = None
    """Left out, every point is trained to its end."""

    @model_validator(mode="after")
    def _can_be_compared(self) -> Sweep:
        if self.steps is not None and self.tokens is not None:
            raise ValueError("tokens: give either steps or tokens")
        for place, name in self._names():
            if name in BUDGETS:
                raise ValueError(f"{place}: {EQUAL}")
            if not VARIES.fullmatch(name):
                mend = "give the seeds as sweep.seeds" if name == "seed" else BEFORE
                near = nearest(name.partition(".")[0], ROOTS)
                raise ValueError(f"{place}: " + (f"did you mean {near}.?" if near else mend))
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is given twice; leave it out")
        names = [point.name for point in self.spread()]
        if len(names) > MOST:
            raise ValueError(f"points: {len(names):,} points, and a sweep has at most {MOST}")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"points: {twice[0]} is given twice; leave one out")
        if not names:
            raise ValueError("points: a setting has no value; give at least one")
        return self

    def spread(self) -> list[Point]:
        """All points, the seeds of a choice one after the other."""
        points = []
        short = _shortened([name for _, name in self._names()])
        for values, places in self._choices():
            choice = ",".join(f"{short[name]}={_spelled(value)}" for name, value in values.items())
            for seed in self.seeds or (None,):
                name = choice if seed is None else f"{choice},seed={seed}"
                points.append(Point(name, choice, values, seed, places))
        return points

    def _names(self) -> Iterator[tuple[str, str]]:
        """The dotted settings, each with its place in the section."""
        if isinstance(self.points, dict):
            yield from ((f"points.{name}", name) for name in self.points)
            return
        for number, values in enumerate(self.points):
            yield from ((f"points.{number}.{name}", name) for name in values)

    def _choices(self) -> Iterator[tuple[dict[str, Any], dict[str, tuple[int | str, ...]]]]:
        if isinstance(self.points, list):
            for number, values in enumerate(self.points):
                yield dict(values), {name: ("points", number, name) for name in values}
            return
        names = list(self.points)
        for chosen in itertools.product(*(enumerate(self.points[name]) for name in names)):
            named = list(zip(names, chosen, strict=True))
            values = {name: value for name, (_, value) in named}
            yield values, {name: ("points", name, number) for name, (number, _) in named}


class Begun(Strict):
    """Settings of the start of a training: all of the training's, and the steps of the start.

    The start is its curves, so the validations decide it, which decide nothing of the training.
    """

    whole: Pretrained
    steps: int
    validate_every: int
    validation_batches: int | str | None

    @property
    def training(self) -> Training:
        """The training that is begun."""
        return self.whole.training


class ComparedPoint(Strict):
    """A point as the comparison of a sweep knows it.

    ``choice`` is its name without the seed. It has ``steps`` in all, and was compared after each of
    ``comparisons``.
    """

    name: str
    choice: str
    seed: int
    steps: int
    comparisons: tuple[int, ...]


class Compared(Strict):
    """Settings of the comparison of a sweep.

    ``values`` has the values of each choice by setting, and ``own`` those of the recipe; a setting
    that the recipe does not write is not in ``own``.
    """

    points: tuple[ComparedPoint, ...]
    values: dict[str, dict[str, JsonValue]]
    own: dict[str, JsonValue]
    stop: Stopping | None


def comparison_steps(
    training: Training, context_length: int, stop: Stopping | None
) -> tuple[int, ...]:
    """The steps after which a point is compared: each is one where the training validates.

    Without one below the last step nothing can be stopped.
    """
    if stop is None:
        return ()
    steps, every = training.steps_for(context_length), training.validate_every
    shares = itertools.takewhile(lambda share: share < 1, (stop.after * 2**n for n in range(64)))
    rounded = (-(-round(share * steps) // every) * every for share in shares)
    return tuple(dict.fromkeys(step for step in rounded if 0 < step < steps))


def _shortened(names: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted name that no other of them has."""
    ends = {}
    for name in dict.fromkeys(names):
        parts = name.split(".")
        others = [f".{other}" for other in names if other != name]
        tails = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        alone = (tail for tail in tails if not any(one.endswith(f".{tail}") for one in others))
        ends[name] = next(alone, name)
    return ends


def _spelled(value: JsonValue) -> str:
    """A value in the name of a point: a word or a number as it is, all else without marks."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "none"
