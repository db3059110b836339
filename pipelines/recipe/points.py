"""The points of a recipe's sweep: the recipe with some values set, as if a person had written them.

Values are set in what a person wrote, not in the checked recipe, because a default may depend on a
value. So a point is the recipe that a person has who copies the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from pipelines.sweeps.options import Point, Sweep

if TYPE_CHECKING:
    from pydantic import JsonValue


class FaultyPoint(ValueError):  # noqa: N818 - the state of a point, as the recipe's faults are
    """A point of a sweep is no valid recipe; ``error`` says why."""

    def __init__(self, point: Point, error: ValidationError) -> None:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "recipe"
        super().__init__(f"the sweep's point {point.name}: {field}: {first['msg']}")
        self.point, self.error = point, error


def with_point(content: Mapping[str, Any], sweep: Sweep, point: Point) -> dict[str, Any]:
    """What a person would have written for a point instead of ``content``; it has no sweep."""
    values: dict[str, Any] = dict(point.values)
    if point.seed is not None:
        values["seed"] = point.seed
    if sweep.steps is not None or sweep.tokens is not None:
        values |= {"training.steps": sweep.steps, "training.tokens": sweep.tokens}
    written = {name: value for name, value in content.items() if name != "sweep"}
    for name, value in values.items():
        written = _set(written, name.split("."), value)
    return written


def own_values(content: Mapping[str, Any], sweep: Sweep) -> dict[str, JsonValue]:
    """The values that the recipe itself writes for the settings that its sweep varies."""
    own: dict[str, JsonValue] = {}
    for name in dict.fromkeys(name for point in sweep.spread() for name in point.values):
        inner: Any = content
        for key in name.split("."):
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if inner is not None:
            own[name] = inner
    return own


def _set(content: Any, keys: list[str], value: Any) -> dict[str, Any]:
    """A copy of a mapping with one dotted setting; sections that are missing are added."""
    inner = dict(content) if isinstance(content, Mapping) else {}
    first, *rest = keys
    inner[first] = _set(inner.get(first), rest, value) if rest else value
    return inner


def placed(root: yaml.Node, keys: list[str], node: yaml.Node) -> yaml.Node:
    """A copy of a YAML document with one dotted setting, which has the line of ``node``.

    So a fault of the setting is told with the line at which the sweep gives its value.
    """
    first, *rest = keys
    pairs = list(root.value) if isinstance(root, yaml.MappingNode) else []
    old = [value for key, value in pairs if key.value == first]
    inner = placed(old[0] if old else node, rest, node) if rest else node
    key = yaml.ScalarNode("tag:yaml.org,2002:str", first, node.start_mark, node.end_mark)
    kept = [(k, v) for k, v in pairs if k.value != first]
    mark = root.start_mark
    return yaml.MappingNode("tag:yaml.org,2002:map", [*kept, (key, inner)], mark, root.end_mark)
