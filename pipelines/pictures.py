"""Pictures of results as PNG bytes: curves, a confusion matrix, bars against baselines.

Pure: numbers in, bytes out. Only the report stores them, and it declares the plotting library.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SECOND, THIRD, PALE = "#12355b", "#d1495b", "#8d99ae", "#edf2f4"


def curve(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str) -> bytes:
    """One line per name, each (xs, ys); a line of over 200 points gets its running mean too."""
    figure, axes = _canvas()
    for (name, (xs, ys)), colour in zip(lines.items(), (INK, SECOND, THIRD) * 9, strict=False):
        if len(xs) > 200:
            axes.plot(xs, ys, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(xs, _running_mean(ys), color=colour, label=name, linewidth=1.8)
        else:
            axes.plot(xs, ys, color=colour, label=name, marker=".", linewidth=1.8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    return _png(figure)


def bars(values: Mapping[str, float], *, x: str) -> bytes:
    """Horizontal bars, the first in the accent colour: ours against the others."""
    figure, axes = _canvas(height=0.7 + 0.42 * len(values))
    names = list(values)[::-1]
    numbers = [values[name] for name in names]
    colours = [THIRD] * (len(names) - 1) + [INK]
    axes.barh(names, numbers, color=colours)
    for row, number in enumerate(numbers):
        axes.text(number, row, f" {number:.3f}", va="center")
    axes.set_xlabel(x)
    axes.margins(x=0.15)
    return _png(figure)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """A confusion matrix: rows are true labels, columns predictions, cells counts."""
    figure, axes = _canvas(width=1.8 + len(labels), height=1.4 + len(labels))
    shares = [[n / max(sum(row), 1) for n in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else INK
            axes.text(j, i, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for side in axes.spines.values():
        side.set_visible(False)
    return _png(figure)


def histogram(values: Sequence[float], *, x: str) -> bytes:
    """How often values fall where, on a logarithmic axis: document lengths span decades."""
    figure, axes = _canvas(height=2.6)
    low, high = max(min(values), 1), max(*values, 2)
    edges = [low * (high / low) ** (i / 40) for i in range(41)] if high > low else 10
    axes.hist(values, bins=edges, color=INK)
    axes.set_xscale("log")
    axes.set_xlabel(x)
    return _png(figure)


def _canvas(width: float = 7.0, height: float = 3.6) -> tuple[Figure, Axes]:
    from matplotlib import rcdefaults
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcdefaults()  # a person's own settings do not change a report
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_facecolor("white")
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _running_mean(values: Sequence[float], share: float = 0.02) -> list[float]:
    """Exponential running mean over about ``share`` of the points, without its start's bias."""
    keep = 1 - 1 / max(2.0, share * len(values))
    total = weight = 0.0
    means = []
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        means.append(total / weight)
    return means
