"""Curves drawn in characters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[int, float]]
LABEL = 8  # columns for the numbers at the left


def drawn(curves: Mapping[str, Points], width: int, height: int, last: int = 0) -> list[str]:
    """Curves as lines of at most ``width`` columns, ``height`` of them for the picture.

    ``curves`` maps a mark, one character, to [step, value] points; the later curve is on top. The
    axis of steps ends at ``last``, or at the last point. Values that are not finite are left out.
    A column shows the mean of its points.
    """
    kept = {mark: [p for p in points if math.isfinite(p[1])] for mark, points in curves.items()}
    values = [value for points in kept.values() for _, value in points]
    if not values:
        return []
    low, high = min(values), max(values)
    last = max([last, *(step for points in kept.values() for step, _ in points)])
    columns = max(width - LABEL - 2, 8)
    grid = [[" "] * columns for _ in range(height)]
    for mark, points in kept.items():
        for column, value in _columns(points, last, columns).items():
            share = (value - low) / (high - low) if high > low else 0.5
            grid[height - 1 - round(share * (height - 1))][column] = mark
    lines = []
    for number, row in enumerate(grid):
        value = high - (high - low) * number / max(height - 1, 1)
        label = f"{value:.3f}" if number in (0, height // 2, height - 1) else ""
        lines.append(f"{label:>{LABEL}} |{''.join(row)}".rstrip())
    lines.append(f"{'':{LABEL}} +{'-' * columns}")
    lines.append(f"{'':{LABEL}}  0{f'{last:,}':>{columns - 1}}")
    return lines


def _columns(points: Points, last: int, columns: int) -> dict[int, float]:
    """The mean value of each column that has points."""
    by_column: dict[int, list[float]] = {}
    for step, value in points:
        column = min(columns - 1, step * columns // max(last + 1, 1))
        by_column.setdefault(column, []).append(value)
    return {column: sum(values) / len(values) for column, values in by_column.items()}
