"""A sweep in rows and lines for people, from the content of its comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.core.artefact import Rows
from pipelines.core.progress import spell_seconds
from pipelines.report.contests import Effect, Runner
from pipelines.sweeps.artefacts import SweepComparison

Content = Mapping[str, Any]


def in_order(content: Content) -> list[dict[str, Any]]:
    """The choices, the best first; those that were not trained to their end come last."""
    return sorted(
        content["choices"],
        key=lambda c: (c["mean"] is None, c["mean"] or _forecast(c), c["name"]),
    )


def rows(content: Content, seconds: Mapping[str, float] | None = None) -> Rows:
    """A row for each choice, the best first. ``seconds`` has the time of each point, by name."""
    return [dict(_row(choice, seconds)) for choice in in_order(content)]


def _row(
    choice: Mapping[str, Any], seconds: Mapping[str, float] | None
) -> Iterator[tuple[str, object]]:
    seeds = choice["seeds"]
    yield "choice", choice["name"]
    yield "seeds", ", ".join(str(seed["seed"]) for seed in seeds)
    yield "validation loss", loss_of(choice)
    yield "outcome", outcome(choice)
    yield "steps", sum(seed["steps"] for seed in seeds)
    yield "parameters", f"{choice['parameters']:,.0f}"
    if seconds is not None:
        took = [seconds[seed["point"]] for seed in seeds if seed["point"] in seconds]
        yield "time", spell_seconds(sum(took)) if took else ""


def loss_of(choice: Mapping[str, Any]) -> str:
    """The mean over the seeds with its deviation; of a stopped choice the loss where it stopped."""
    if choice["mean"] is None:
        losses = [seed["loss"] for seed in choice["seeds"] if not seed["ended"]]
        return f"{sum(losses) / len(losses):.3f} so far"
    if choice["deviation"] is None:
        return f"{choice['mean']:.3f}"
    return f"{choice['mean']:.3f} ± {choice['deviation']:.3f}"


def outcome(choice: Mapping[str, Any]) -> str:
    """What became of a choice: ``stopped after 25 %, forecast 2.610 (2.555 to 2.666)``."""
    if choice["mean"] is not None:
        return "trained to its end"
    last = min(choice["seeds"], key=lambda seed: seed["steps"] / seed["of"])
    told = f"stopped after {last['steps'] / last['of']:.0%}"
    return f"{told}, forecast {band(choice['forecast'])}" if choice["forecast"] else told


def band(forecast: Mapping[str, float]) -> str:
    """A forecast with its band: ``2.610 (2.555 to 2.666)``."""
    return f"{forecast['loss']:.3f} ({forecast['low']:.3f} to {forecast['high']:.3f})"


def forecasts(content: Content) -> Rows:
    """A row for each choice at each comparison: its forecast, and where it truly ended."""
    ends = {choice["name"]: choice["mean"] for choice in content["choices"]}
    return [
        {
            "comparison": number + 1,
            "choice": name,
            "forecast": band(forecast),
            "decision": "stopped" if name in one["stopped"] else "goes on",
            "true end": "" if ends[name] is None else f"{ends[name]:.3f}",
            "in the band": _held(forecast, ends[name]),
        }
        for number, one in enumerate(content["comparisons"])
        for name, forecast in sorted(one["forecasts"].items(), key=lambda pair: pair[1]["loss"])
    ]


def _held(forecast: Mapping[str, float], end: float | None) -> str:
    return "" if end is None else "yes" if forecast["low"] <= end <= forecast["high"] else "no"


def adoption(content: Content) -> list[str]:
    """The lines of the recipe that adopt the best choice; empty if the recipe has its values."""
    return [
        f"{one['setting']}: {_yaml(one['value'])}"
        f"  # now {'left out' if one['own'] is None else _yaml(one['own'])}"
        for one in content["adopt"]
    ]


def verdict(content: Content) -> str:
    """A sentence on the best choice and the next one, and whether seeds differ as much."""
    best, *others = [choice for choice in in_order(content) if choice["mean"] is not None]
    told = f"The best choice is {best['name']} with a validation loss of {loss_of(best)}."
    if not others:
        return f"{told} No other choice was trained to its end."
    gap, spread = others[0]["mean"] - best["mean"], best["deviation"]
    told += f" The next, {others[0]['name']}, is worse by {gap:.3f}"
    if spread is None:
        return f"{told}; with one seed nobody can say whether that is more than chance."
    return (
        f"{told}, which is {'more' if gap > spread else 'less'} than seeds differ ({spread:.3f})."
    )


def runners(content: Content) -> list[Runner]:
    """The validation curve of each point, those of one choice as one group."""
    return [
        Runner(choice["name"], seed["validation"], seed["ended"])
        for choice in content["choices"]
        for seed in choice["seeds"]
    ]


def effects(content: Content) -> dict[str, dict[str, list[Effect]]]:
    """By setting: what its values do where all other settings are equal.

    A stopped choice has its forecast with its band.
    """
    panels: dict[str, dict[str, list[Effect]]] = {}
    for setting in content["settings"]:
        lines: dict[str, list[Effect]] = {}
        for choice in content["choices"]:
            if setting in choice["values"]:
                rest = {n: v for n, v in choice["values"].items() if n != setting}
                label = ", ".join(f"{_last(n)} {_yaml(v)}" for n, v in rest.items())
                lines.setdefault(label, []).append(_effect(choice, choice["values"][setting]))
        if any(len({repr(one.value) for one in line}) > 1 for line in lines.values()):
            panels[setting] = lines
    return panels


def _effect(choice: Mapping[str, Any], value: Any) -> Effect:
    shown = value if isinstance(value, int | float) and type(value) is not bool else _yaml(value)
    if choice["mean"] is not None:
        return Effect(shown, choice["mean"], choice["deviation"] or 0.0, True)
    forecast = choice["forecast"]
    if forecast is None:
        return Effect(shown, _forecast(choice), 0.0, False)
    return Effect(shown, forecast["loss"], (forecast["high"] - forecast["low"]) / 2, False)


def _forecast(choice: Mapping[str, Any]) -> float:
    """The forecast of a choice; without one, its last loss."""
    given = choice["forecast"]
    return float(given["loss"] if given else choice["seeds"][0]["loss"])


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _yaml(value: Any) -> str:
    words = {True: "true", False: "false", None: "null"}
    is_word = value is None or isinstance(value, bool)
    return words[value] if is_word else str(value)


def headline(comparison: SweepComparison) -> Sequence[tuple[str, str, str]]:
    """(title, figure, explanation) of what a person wants to know first."""
    content, figures = comparison.content(), comparison.figures()
    best = in_order(content)[0]
    steps = content["steps"]
    return [
        ("Best choice", loss_of(best), best["name"]),
        (
            "Steps saved",
            f"{figures['steps_saved_share']:.0%}",
            f"{steps['trained']:,} of {steps['planned']:,} steps were trained",
        ),
        (
            "Points stopped",
            f"{figures['points_stopped']:,.0f} of {figures['points']:,.0f}",
            "by the forecast of their loss",
        ),
    ]
