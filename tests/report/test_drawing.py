"""The lineage as a drawing: nothing covers anything, and every asset is reached."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from pipelines.core.project import CHECKOUT
from pipelines.recipe.loading import load_recipes
from pipelines.report import drawing, words
from pipelines.report.options import Page
from pipelines.stages import stages

Parents = dict[str, tuple[str, ...]]


def of_recipes() -> dict[str, Parents]:
    found = {}
    for name, recipe in load_recipes(CHECKOUT / "recipes").items():
        settings = stages(recipe)[-1].settings
        assert isinstance(settings, Page)
        found[name] = settings.parents
    return found


GRAPHS = {
    **of_recipes(),
    "one": {"a": ()},
    "long edge": {"a": (), "b": ("a",), "c": ("b",), "d": ("a", "c"), "e": ("d",), "f": ("a", "e")},
    "apart": {"a": (), "b": (), "c": ("a",), "d": ("b",)},
}


def test_what_follows_from_others_is_left_out() -> None:
    graph = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("a", "b", "c")}
    assert drawing.direct(graph) == {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_lies_over_anything(name: str) -> None:
    """Boxes and lanes of a layer are apart, and every line runs to the next layer alone."""
    layers = drawing._placed(drawing.direct(GRAPHS[name]))
    for number, layer in enumerate(layers):
        ends = sorted((item.x - item.width / 2, item.x + item.width / 2) for item in layer)
        for (_, end), (start, _) in pairwise(ends):
            assert start - end >= drawing.BETWEEN - 0.2
        assert all(child.layer == number + 1 for item in layer for child in item.below)
        assert all(item.layer == number for item in layer)
    boxes = [item.title for layer in layers for item in layer if item.width == drawing.BOX]
    assert sorted(boxes) == sorted(GRAPHS[name])


@pytest.mark.parametrize("name", GRAPHS)
def test_the_drawing_and_the_list_name_every_asset(name: str) -> None:
    graph = GRAPHS[name]
    label = words.names(graph)
    svg = drawing.drawing(graph, label, {}, {title: f"#{title}" for title in graph})
    assert re.search(r'viewBox="0 0 \d', svg)
    assert " width=" not in svg.split(">")[0]
    assert svg.count("<a href=") == len(graph)
    listed = drawing.nested(graph, lambda title: f"[{title}]")
    for title in graph:
        assert f"<title>{label[title]}</title>" in svg
        assert listed.count(f"[{title}]") == 1


def test_edges_are_those_of_the_graph() -> None:
    def ends(item: drawing._Item) -> set[str]:
        """The boxes that an item's lines lead to, through their lanes."""
        return {
            title
            for child in item.below
            for title in ([child.title] if child.width == drawing.BOX else ends(child))
        }

    for graph in GRAPHS.values():
        near = drawing.direct(graph)
        layers = drawing._placed(near)
        led = {i.title: ends(i) for layer in layers for i in layer if i.width == drawing.BOX}
        assert led == {one: {t for t in near if one in near[t]} for one in near}
