"""The comparison of a sweep: losses over seeds, forecasts, effects of settings, the best choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from pipelines.core.artefact import FIGURES, Artefact
from pipelines.core.making import Making
from pipelines.sweeps.artefacts import COMPARED, Trial
from pipelines.sweeps.options import Compared, ComparedPoint
from pipelines.sweeps.stopping import Comparison, Start, compared
from pipelines.training.artefacts import Checkpoint

Points = Mapping[str, Artefact]


def compare(making: Making, settings: Compared, points: dict[str, Artefact]) -> None:
    """Compares the points of a sweep at equal budgets, stopped ones by their forecast.

    ``points`` has a ``Checkpoint`` for each point that was trained to its end, and the last
    ``Trial`` of any other. Raises ValueError if no choice was trained to its end.
    """
    comparisons = comparisons_of(settings, points)
    choices = [_choice(name, settings, points, comparisons) for name in settings.values]
    done = [choice for choice in choices if choice["mean"] is not None]
    if not done:
        raise ValueError("no point was trained to its end; materialize the sweep first")
    best = min(done, key=lambda choice: (choice["mean"], choice["name"]))
    planned = sum(point.steps for point in settings.points)
    trained = sum(seed["steps"] for choice in choices for seed in choice["seeds"])
    content = {
        "choices": choices,
        "comparisons": [{"forecasts": _plain(one), "stopped": one.stopped} for one in comparisons],
        "settings": list(dict.fromkeys(name for v in settings.values.values() for name in v)),
        "own": settings.own,
        "best": best["name"],
        "adopt": _adopted(settings, best["name"]),
        "steps": {"planned": planned, "trained": trained},
    }
    making.write(COMPARED, content)
    figures = {
        "points": len(settings.points),
        "points_stopped": sum(isinstance(point, Trial) for point in points.values()),
        "steps": trained,
        "steps_saved_share": 1 - trained / planned,
        "best_validation_loss": best["mean"],
    }
    making.write(FIGURES, figures)


def comparisons_of(settings: Compared, points: Points) -> list[Comparison]:
    """The comparisons in order, as far as the points have come.

    A choice that a comparison stopped is in no later one, even if it was trained to its end
    afterwards: what is decided depends on the curves up to the comparison alone.
    """
    left, comparisons = list(settings.values), []
    for number in range(max((len(one.comparisons) for one in settings.points), default=0)):
        starts = {name: _starts(settings, points, name, number) for name in left}
        if settings.stop is None or not all(starts.values()):
            break
        comparisons.append(compared(starts, settings.stop.keep))  # type: ignore[arg-type]
        left = [name for name in left if name not in comparisons[-1].stopped]
    return comparisons


def _starts(settings: Compared, points: Points, choice: str, number: int) -> list[Start] | None:
    """The points of a choice up to a comparison; None if one of them has not come so far."""
    starts = []
    for planned in _seeds(settings, choice):
        step = planned.comparisons[min(number, len(planned.comparisons) - 1)]
        point = points.get(planned.name)
        if point is None or _steps(point, planned) < step:
            return None
        curve = point.curve()  # type: ignore[attr-defined]
        until = {name: [p for p in curve[name] if p[0] <= step] for name in curve}
        starts.append(Start(until["validation"], until["train"], step, planned.steps))
    return starts


def _seeds(settings: Compared, choice: str) -> list[ComparedPoint]:
    return [point for point in settings.points if point.choice == choice]


def _steps(point: Artefact, planned: ComparedPoint) -> int:
    """The steps that a point was trained."""
    return planned.steps if isinstance(point, Checkpoint) else int(point.figures()["steps"])


def validation_loss(point: Artefact) -> float:
    """The validation loss of a point's weights: the lowest with ``keep_best``, else the last."""
    figures = point.figures()
    names = ("best_validation_loss", "final_validation_loss", "validation_loss")
    return next(figures[name] for name in names if name in figures)


def _choice(
    name: str, settings: Compared, points: Points, comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """A choice with its seeds: losses, steps, and the last forecast if it was stopped."""
    seeds = []
    for planned in _seeds(settings, name):
        point = points[planned.name]
        curve = point.curve()["validation"]  # type: ignore[attr-defined]
        ended = isinstance(point, Checkpoint)
        seeds.append(
            {
                "point": planned.name,
                "seed": planned.seed,
                "steps": _steps(point, planned),
                "of": planned.steps,
                "ended": ended,
                "loss": validation_loss(point),
                "validation": curve,
            }
        )
    losses = [seed["loss"] for seed in seeds if seed["ended"]]
    ended = len(losses) == len(seeds)
    forecasts = [one.forecasts[name] for one in comparisons if name in one.forecasts]
    return {
        "name": name,
        "values": settings.values[name],
        "parameters": points[seeds[0]["point"]].figures()["parameters"],
        "seeds": seeds,
        "mean": fmean(losses) if ended else None,
        "deviation": stdev(losses) if ended and len(losses) > 1 else None,
        "forecast": asdict(forecasts[-1]) if forecasts else None,
    }


def _plain(one: Comparison) -> dict[str, dict[str, float]]:
    return {name: asdict(forecast) for name, forecast in one.forecasts.items()}


def _adopted(settings: Compared, best: str) -> list[dict[str, Any]]:
    """The settings of the best choice that differ from the recipe's own, with both values."""
    return [
        {"setting": name, "value": value, "own": settings.own.get(name)}
        for name, value in settings.values[best].items()
        if settings.own.get(name) != value
    ]
