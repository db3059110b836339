"""Pictures of several trainings side by side: their curves, and the effect of each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.report.pictures import canvas, cut, png, shades


class Runner(NamedTuple):
    """The curve of one of several trainings of a group, as [step, loss] pairs."""

    group: str
    curve: Sequence[Sequence[float]]
    ended: bool


def race(runners: Sequence[Runner], *, x: str, y: str) -> bytes:
    """The curves of all runners, each group in its colour.

    One that has not ended is dashed, with a cross at its end. The axis leaves out the high losses
    of the first tenth.
    """
    groups = list(dict.fromkeys(runner.group for runner in runners))
    colours = dict(zip(groups, shades(len(groups)), strict=True))
    figure, axes = canvas(width=8.6, height=4.4 + 0.17 * len(groups))
    drawn = {}
    for group, curve, ended in runners:
        xs, ys = zip(*curve, strict=True)
        style: dict[str, Any] = {"color": colours[group], "linewidth": 1.4}
        (drawn[group],) = axes.plot(xs, ys, linestyle="-" if ended else "--", **style)
        if not ended:
            axes.plot(xs[-1:], ys[-1:], marker="x", markersize=7, **style)
    last = max(point[0] for runner in runners for point in runner.curve)
    late = [loss for one in runners for step, loss in one.curve if step >= last / 10]
    late += [loss for one in runners if not one.ended for _, loss in one.curve[-2:]]
    axes.set_ylim(min(late) - 0.03 * (max(late) - min(late)) - 1e-9, max(late) + 1e-9)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    names = [cut(group, 60) for group in drawn]
    figure.legend(
        drawn.values(), names, loc="outside lower center", ncols=2, frameon=False, fontsize=8
    )
    return png(figure)


class Effect(NamedTuple):
    """What a value of a setting gives: a loss with its error; hollow if it is a forecast."""

    value: float | str
    loss: float
    error: float
    measured: bool


def effects(lines: Mapping[str, Sequence[Effect]], *, x: str, y: str) -> bytes:
    """Losses by the value of a setting with error bars, a line for each name.

    Numbers that span a factor of eight or more have a logarithmic axis; words stand side by side.
    """
    figure, axes = canvas(width=5.4, height=3.4)
    values = list(dict.fromkeys(one.value for line in lines.values() for one in line))
    numbers = [value for value in values if not isinstance(value, str)]
    is_scale = len(numbers) == len(values)
    place = {value: value if is_scale else number for number, value in enumerate(values)}
    colours = dict(zip(lines, shades(len(lines)), strict=True))
    for name, line in lines.items():
        xs = [place[one.value] for one in line]
        axes.plot(xs, [one.loss for one in line], color=colours[name], linewidth=1, label=name)
        for one, at in zip(line, xs, strict=True):
            fill = colours[name] if one.measured else "white"
            axes.errorbar(at, one.loss, one.error, color=colours[name], marker="o", capsize=3,
                          markerfacecolor=fill)  # fmt: skip
    if is_scale and min(numbers) > 0 and max(numbers) >= 8 * min(numbers):
        axes.set_xscale("log")
    axes.set_xticks([place[value] for value in values], [cut(str(value)) for value in values])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if any(lines):
        axes.legend(frameon=False, fontsize=8)
    return png(figure)
