"""Line plots as inline SVG, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from pipelines.report.markup import Html

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 34
MOST = 400  # points of a line; more cannot be told apart at this width

Line = Sequence[tuple[float, float]]


def plot(lines: Mapping[str, Line], *, title: str, x: str, dots: bool = False) -> Html:
    """Lines of (x, y) points over common axes; empty without two different points.

    ``title`` says what is drawn, for people who do not see it. ``dots`` marks each point.
    """
    shown = {name: _thinned([p for p in line if all(map(math.isfinite, p))])
             for name, line in lines.items()}  # fmt: skip
    points = [point for line in shown.values() for point in line]
    if not points:
        return Html("")
    (x0, x1), (y0, y1) = _span([p[0] for p in points]), _span([p[1] for p in points])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = LEFT + (point[0] - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y1 - point[1]) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [_grid(y, place((x0, y))[1]) for y in _ticks(y0, y1)]
    for number, line in enumerate(shown.values()):
        style = f'stroke="var(--{"link" if number else "mine"})" stroke-width="2"'
        way = " ".join(f"{a},{b}" for a, b in map(place, line))
        parts.append(f'<polyline points="{way}" fill="none" {style}/>')
        marks = line if dots or len(line) == 1 else ()
        parts += [f'<circle cx="{a}" cy="{b}" r="3.5" {style}/>' for a, b in map(place, marks)]
    labels = f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(_number(x0))}</text>' + (
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(_number(x1))}'
        f" {escape(x)}</text>"
    )
    return Html(
        f'<figure><svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"<title>{escape(title)}</title>{''.join(parts)}{labels}</svg>"
        f"<figcaption>{escape(title)}{_legend(list(shown))}</figcaption></figure>"
    )


STYLE = """
.plot { width: 100%; max-width: 46rem; height: auto; }
.plot text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.plot line { stroke: var(--line); }
.below { margin-left: .4rem; padding-left: 1rem; border-left: 2px solid var(--line); }
.first { color: var(--mine); } .second { color: var(--link); }
"""


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    kinds = ("first", "second")
    return ": " + ", ".join(
        f'<b class="{kinds[min(i, 1)]}">{escape(name)}</b>' for i, name in enumerate(names)
    )


def _grid(value: float, down: float) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>'
        f'<text x="{LEFT - 6}" y="{down + 4}" text-anchor="end">{escape(_number(value))}</text>'
    )


def _thinned(line: Line) -> Line:
    """At most ``MOST`` points, the last one kept."""
    step = -(-len(line) // MOST)
    return line if step <= 1 else [*line[:-1:step], line[-1]]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return (low, high) if high > low and low == int(low) == values[0] else (low - room, high + room)


def _ticks(low: float, high: float) -> list[float]:
    """About four round values between two values."""
    raw = (high - low) / 4
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step)
    return [round(step * n, 12) for n in range(first, math.floor(high / step) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
