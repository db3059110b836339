"""The lineage as a drawing: boxes in layers from the sources down to the results, and as a list.

An edge that follows from others is left out: who reads what a reader of it reads. An edge over
several layers gets a lane of its own in each layer between, so no edge runs behind a box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from pipelines.report.words import Parents

BOX, LANE, HIGH, BETWEEN, DOWN = 250, 22, 62, 22, 46  # sizes in the drawing's own pixels
LETTERS = 32  # of a line in a box
SWEEPS = 8  # over the layers, to bring connected boxes near one another
Names = Mapping[str, str]


@dataclass
class _Item:
    """A box, or the lane of an edge through a layer; ``x`` is its middle."""

    title: str
    layer: int
    width: int
    x: float = 0.0
    above: list[_Item] = field(default_factory=list)
    below: list[_Item] = field(default_factory=list)


def direct(parents: Parents) -> dict[str, list[str]]:
    """The inputs of each asset without those that also reach it through another input."""
    above: dict[str, set[str]] = {}

    def ancestors(title: str) -> set[str]:
        if title not in above:
            near = parents.get(title, ())
            above[title] = set(near).union(*map(ancestors, near))
        return above[title]

    return {
        title: [one for one in near if not any(one in ancestors(other) for other in near)]
        for title, near in parents.items()
    }


def drawing(
    parents: Parents, label: Names, under: Mapping[str, Sequence[str]], where: Names
) -> str:
    """The graph as SVG that fits any width.

    ``label`` has the names of the boxes, ``under`` the lines below each name, ``where`` the links.
    """
    layers = _placed(direct(parents))
    items = [item for layer in layers for item in layer]
    across = max(item.x + item.width / 2 for item in items) + 2
    high = len(layers) * (HIGH + DOWN) - DOWN + 4
    edges = "".join(_edge(item, child) for item in items for child in item.below)
    boxes = "".join(
        _box(item, label[item.title], under.get(item.title, ()), where.get(item.title, ""))
        for item in items
        if item.width == BOX
    )
    return (
        f'<svg class="drawing" viewBox="0 0 {across:g} {high:g}" style="max-width:{across:g}px"'
        ' role="group" aria-labelledby="lineage-title lineage-desc">'
        '<title id="lineage-title">Lineage</title><desc id="lineage-desc">'
        f"{len(parents)} assets from the sources above to the results below. Each box is a link to"
        f" its place in this page, and each line leads from an input.</desc>{edges}{boxes}</svg>"
    )


def nested(parents: Parents, line: Callable[[str], str]) -> str:
    """The graph as nested lists; an asset of several inputs stands below the last of them.

    ``line`` gives the HTML of an asset's line.
    """
    near = direct(parents)
    order = list(parents)
    below: dict[str, list[str]] = {}
    for title, above in near.items():
        below.setdefault(max(above, key=order.index, default=""), []).append(title)

    def branch(title: str) -> str:
        inner = "".join(f"<li>{line(one)}{branch(one)}</li>" for one in below.get(title, ()))
        return f"<ul>{inner}</ul>" if inner else ""

    return f'<div class="narrow">{branch("")}</div>'


def _placed(near: Mapping[str, Sequence[str]]) -> list[list[_Item]]:
    """The layers with all boxes and lanes, each in its place."""
    layers = _layers(near)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _settle(layer, lambda item: item.above if down else item.below)  # noqa: B023
    left = min(item.x - item.width / 2 for layer in layers for item in layer)
    for layer in layers:
        for item in layer:
            item.x = round(item.x - left + 2, 1)
    return layers


def _layers(near: Mapping[str, Sequence[str]]) -> list[list[_Item]]:
    """The boxes by layer, each one below its lowest input, with lanes for longer edges."""
    boxes: dict[str, _Item] = {}
    for title in near:  # inputs come first
        lowest = max((boxes[one].layer for one in near[title]), default=-1)
        boxes[title] = _Item(title, lowest + 1, BOX)
    for title in reversed(list(near)):  # a source stands right above its first reader
        readers = [boxes[one].layer for one in near if title in near[one]]
        if readers:
            boxes[title].layer = min(readers) - 1
    layers: list[list[_Item]] = [[] for _ in range(1 + max(b.layer for b in boxes.values()))]
    for box in boxes.values():
        layers[box.layer].append(box)
    for title, inputs in near.items():
        for one in inputs:
            last = boxes[one]
            for layer in range(last.layer + 1, boxes[title].layer):
                lane = _Item(f"{one} to {title}", layer, LANE)
                layers[layer].append(lane)
                _join(last, lane)
                last = lane
            _join(last, boxes[title])
    for row in layers:
        for number, item in enumerate(row):
            item.x = number * (BOX + BETWEEN)
    return layers


def _join(above: _Item, below: _Item) -> None:
    above.below.append(below)
    below.above.append(above)


def _settle(layer: list[_Item], near: Callable[[_Item], Iterable[_Item]]) -> None:
    """Move each item of a layer towards the middle of its neighbours, in their order.

    Where two would overlap, both give way.
    """
    wish = {
        id(item): sum(other.x for other in around) / len(around) if around else item.x
        for item in layer
        for around in [list(near(item))]
    }
    layer.sort(key=lambda item: (wish[id(item)], item.x))
    groups: list[tuple[list[_Item], float]] = []  # items side by side, and the left end's middle
    for item in layer:
        group, start = [item], wish[id(item)]
        while groups:
            before, first = groups[-1]
            if first + _span(before, group[0]) <= start:
                break
            groups.pop()
            shift = _span(before, group[0])
            total = first * len(before) + (start - shift) * len(group)
            group, start = before + group, total / (len(before) + len(group))
        groups.append((group, start))
    for group, start in groups:
        for number, item in enumerate(group):
            item.x = start + _span(group[:number], item)


def _span(before: Sequence[_Item], item: _Item) -> float:
    """From the middle of the first of ``before`` to the middle of an item right of them all."""
    row = [*before, item]
    return sum((a.width + b.width) / 2 + BETWEEN for a, b in pairwise(row))


def _top(item: _Item) -> int:
    return 2 + item.layer * (HIGH + DOWN)


def _edge(item: _Item, child: _Item) -> str:
    """The line from an item to one a layer below, with an arrow where a box begins."""
    start, end = _top(item) + HIGH, _top(child)
    middle, lane = (start + end) / 2, child.width == LANE
    straight = f" V{end + HIGH}" if lane else ""
    line = (
        f"M{item.x:g},{start:g} C{item.x:g},{middle:g} {child.x:g},{middle:g}"
        f" {child.x:g},{end:g}{straight}"
    )
    tip = f"M{child.x:g},{end:g} l-4.5,-8 h9 z"
    arrow = "" if lane else f'<path class="arrow" d="{tip}"/>'
    return f'<path class="edge" d="{line}"/>{arrow}'


def _box(item: _Item, name: str, under: Sequence[str], where: str) -> str:
    """A box with its name and the lines below it; the whole box is a link."""
    x, y = item.x - BOX / 2, _top(item)
    lines = "".join(
        f'<text class="under" x="{x + 12:g}" y="{y + 38 + 15 * number:g}">{_cut(line)}</text>'
        for number, line in enumerate(under)
    )
    whole = ", ".join((name, *under))
    inner = (
        f"<title>{escape(whole)}</title>"
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{BOX}" height="{HIGH}" rx="8"/>'
        f'<text x="{x + 12:g}" y="{y + 21:g}">{_cut(name)}</text>{lines}'
    )
    return f'<a href="{escape(where)}">{inner}</a>' if where else f"<g>{inner}</g>"


def _cut(line: str) -> str:
    """A line that fits into a box; the whole line is in the box's title."""
    return escape(line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…")
