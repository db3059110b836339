"""Pictures of results as PNG bytes: curves, confusion matrices, bars, heatmaps and maps.

The functions are pure: they take numbers and return bytes. Only the report stores pictures, so only
the report declares the plotting library.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSITY = 1.5  # pixels of a picture for each pixel at which it is shown
INK, SECOND, THIRD, PALE = "#12355b", "#d1495b", "#66738a", "#edf2f4"
# People who cannot see red or green can also distinguish these colours (Wong 2011).
COLOURS = (INK, SECOND, THIRD, "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#6b4c1e", "#000000")


def curve(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str) -> bytes:
    """One line for each name, as (xs, ys); over 200 points, a running mean is drawn over them."""
    figure, axes = canvas()
    drawn = []
    for (xs, ys), colour in zip(lines.values(), COLOURS * 3, strict=False):
        if len(xs) > 200:
            axes.plot(xs, ys, color=colour, alpha=0.25, linewidth=0.8)
            drawn += axes.plot(xs, _running_mean(ys), color=colour, linewidth=1.8)
        else:
            drawn += axes.plot(xs, ys, color=colour, marker=".", linewidth=1.8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    # The names are explicit, because the legend by itself leaves out names that begin with "_".
    axes.legend(drawn, list(lines)[: len(drawn)], frameon=False)
    return png(figure)


def bars(values: Mapping[str, float], *, x: str, notes: Mapping[str, str] | None = None) -> bytes:
    """Horizontal bars; the first bar has its own colour. ``notes`` stand behind their bars."""
    figure, axes = canvas(height=0.7 + 0.42 * len(values))
    names = list(values)[::-1]
    numbers = [values[name] for name in names]
    colours = [THIRD] * (len(names) - 1) + [INK]
    axes.barh(names, numbers, color=colours)
    for row, (name, number) in enumerate(zip(names, numbers, strict=True)):
        note = (notes or {}).get(name, "")
        told = f"{number:.3f}" if abs(number) < 10 else f"{number:,.1f}"
        axes.text(max(number, 0), row, f" {told}{note and f', {note}'}", va="center")
    axes.set_xlabel(textwrap.fill(x, 56))
    axes.margins(x=0.15)
    return png(figure)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """A confusion matrix: rows are true labels, columns predictions, cells counts."""
    figure, axes = canvas(width=1.8 + len(labels), height=1.4 + len(labels))
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
    return png(figure)


def heatmap(
    values: Sequence[Sequence[float]], *, rows: Sequence[str], columns: Sequence[str]
) -> bytes:
    """Values as shades: a darker cell has a larger value. The names are beside rows and columns."""
    longest = max(map(len, (*rows, *columns)), default=1)
    margin = 0.09 * min(longest, 24)
    width, height = (1.2 + margin + 0.32 * len(labels) for labels in (columns, rows))
    figure, axes = canvas(width=max(width, 3.0), height=max(height, 2.4))
    drawn = axes.imshow(values, cmap="Blues", vmin=0, aspect="equal")
    axes.set_xticks(range(len(columns)), [cut(name) for name in columns], rotation=90)
    axes.set_yticks(range(len(rows)), [cut(name) for name in rows])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes, shrink=0.8).outline.set_visible(False)
    return png(figure)


def scatter(points: Sequence[Mapping[str, Any]]) -> bytes:
    """A map of points ``x``, ``y``, each with its ``name`` and in the colour of its ``group``.

    The axes have no scale, because only the distances between points have a meaning.
    """
    from matplotlib.transforms import Bbox

    figure, axes = canvas(width=10.5, height=8.5)
    groups = list(dict.fromkeys(point["group"] for point in points))
    colours = dict(zip(groups, shades(len(groups)), strict=True))
    drawn = []
    for group in groups:
        xs, ys = zip(*((p["x"], p["y"]) for p in points if p["group"] == group), strict=True)
        drawn.append(axes.scatter(xs, ys, s=14, color=colours[group]))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(PALE)
    axes.margins(0.06)
    figure.legend(
        drawn, groups, loc="outside lower center", ncols=min(6, len(groups)), frameon=False
    )
    figure.draw_without_rendering()  # the positions on the page are known only after this call
    dots = [axes.transData.transform((point["x"], point["y"])) for point in points]
    taken: list[Any] = [Bbox.from_bounds(x - 2, y - 2, 4, 4) for x, y in dots]
    for point in points:
        taken.append(_label(axes, point, taken))
    return png(figure)


def _label(axes: Axes, point: Mapping[str, Any], taken: Sequence[Any]) -> Any:
    """Draw a point's name where it covers the fewest boxes; return the box of the name.

    The name is dark, because not every colour of a group is dark enough for letters.
    """
    candidates: list[tuple[int, int, Any, Any]] = []
    for dx, dy in ((5, 0), (-5, 0), (0, 5), (0, -5), (4, 7), (-4, 7), (4, -7), (-4, -7)):
        text = axes.annotate(
            cut(point["name"]),
            (point["x"], point["y"]),
            (dx, dy),
            textcoords="offset points",
            ha="left" if dx > 0 else "right" if dx else "center",
            va="center" if dx else "bottom" if dy > 0 else "top",
            fontsize=8,
            color=INK,
        )
        box = text.get_window_extent()
        overlaps = sum(box.overlaps(other) for other in taken)
        outside = not (axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1)
        candidates.append((overlaps + outside, len(candidates), text, box))
        if not overlaps + outside:
            break
    best = min(candidates, key=lambda candidate: candidate[:2])
    for *_, text, _ in candidates:
        if text is not best[2]:
            text.remove()
    return best[3]


def shades(count: int) -> Sequence[str]:
    """``count`` different colours."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if count <= len(COLOURS):
        return COLOURS[:count]
    bright = [colormaps["turbo"](0.05 + 0.9 * i / (count - 1)) for i in range(count)]
    return [to_hex((0.75 * red, 0.75 * green, 0.75 * blue)) for red, green, blue, _ in bright]


def histogram(bins: Mapping[int, int], *, x: str) -> bytes:
    """Counts by power of two; ``bins[2**n]`` counts the values v with 2**(n-1) <= v < 2**n."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas(height=2.8)
    powers = [bound.bit_length() - 1 for bound in bins]
    span = range(max(min(powers) - 1, 1), max(powers) + 2)  # with an empty bin at each end
    counts = [bins.get(1 << power, 0) for power in span]
    axes.bar([power - 0.5 for power in span], counts, width=0.92, color=INK)
    small: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
    if len(span) <= 14:
        for power, count in zip(span, counts, strict=True):
            position = (power - 0.5, count)
            axes.annotate(f"{count:,}" if count else "", position, (0, 2), **small)
    edges = range(span[0] - 1, span[-1] + 1)[:: 1 + len(span) // 12]
    axes.set_xticks(edges, [_short(1 << edge) for edge in edges])
    axes.margins(x=0.02, y=0.12)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel(x)
    axes.set_ylabel("documents")
    return png(figure)


def funnel(steps: Sequence[tuple[str, int, int]], reasons: Mapping[str, int]) -> bytes:
    """Two panels: documents left and dropped by each step, and documents dropped by each reason.

    ``steps`` are (name, left, dropped) in order. Without reasons there is only the first panel.
    """
    panels = [len(steps), len(reasons)] if reasons else [len(steps)]
    figure = _figure(5.4, sum(0.75 + 0.29 * rows for rows in panels))
    heights = [0.4 + rows for rows in panels]
    above, *below = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    names, left, dropped = zip(*steps, strict=True)
    above.barh(range(len(steps)), left, color=INK)
    above.barh(range(len(steps)), dropped, left=left, color=SECOND)
    notes = [f"{stay:,}" + f"  −{go:,}" * bool(go) for _, stay, go in steps]
    _list(above, names, notes, "documents left after each step")
    for axes in below:
        axes.barh(range(len(reasons)), list(reasons.values()), color=SECOND)
        notes = [f"{count:,}" for count in reasons.values()]
        _list(axes, list(reasons), notes, "documents dropped, by reason")
    return png(figure)


def _list(axes: Axes, names: Sequence[str], notes: Sequence[str], title: str) -> None:
    """Turn horizontal bars into a list from top to bottom, with a note behind each bar."""
    for row, note in enumerate(notes):
        end = sum(bars[row].get_width() for bars in axes.containers)
        axes.annotate(note, (end, row), (4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(axes.dataLim.x1, 1))  # the layout makes room for the notes
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), [cut(name, 32) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)


def cut(name: str, most: int = 24) -> str:
    """The first ``most`` letters of a name."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _short(number: int) -> str:
    """A power of two in short form: 512, 1k, 64k, 1M."""
    for power, letter in ((30, "G"), (20, "M"), (10, "k")):
        if number >= 1 << power:
            return f"{number >> power}{letter}"
    return str(number)


def fonts() -> dict[str, str]:
    """The sha256 of every font that draws letters, by family.

    If the first family lacks a letter, the next family on this machine draws it.
    """
    from matplotlib import rcParamsDefault
    from matplotlib.font_manager import FontProperties, findfont

    digests = {}
    for family in rcParamsDefault["font.sans-serif"]:
        with contextlib.suppress(ValueError):  # this machine does not have the family
            path = findfont(FontProperties(family=[family]), fallback_to_default=False)
            digests[family] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return digests


def _figure(width: float, height: float) -> Figure:
    from matplotlib import rcdefaults, rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcdefaults()  # a person's own settings must not change a report
    rcParams["text.parse_math"] = False  # a dollar sign in a name is not mathematics
    figure = Figure(figsize=(width, height), dpi=96 * DENSITY, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def canvas(width: float = 5.4, height: float = 3.1) -> tuple[Figure, Axes]:
    """An empty picture with axes; the sizes are in inches at 96 pixels each."""
    figure = _figure(width, height)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor("white")
    return figure, axes


def png(figure: Figure) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _running_mean(values: Sequence[float], share: float = 0.02) -> list[float]:
    """The exponential running mean over about ``share`` of the points, corrected at the start."""
    keep = 1 - 1 / max(2.0, share * len(values))
    total = weight = 0.0
    means = []
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        means.append(total / weight)
    return means
