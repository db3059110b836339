"""The fault of a recipe in one line: file, line, field, fault and mend."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.recipe.points import FaultyPoint, placed
from pipelines.recipe.schema import json_schema
from pipelines.recipe.wording import as_written, plain
from pipelines.text.addresses import hidden


def explain(error: ValidationError, path: Path, root: yaml.Node) -> str:
    """The first fault of ``path``, whose YAML is ``root``, as one line."""
    # An unknown key comes first: a misspelt key is unknown, and its right name is missing.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    if isinstance(faulty := fault.get("ctx", {}).get("error"), FaultyPoint):
        return _explain_point(faulty, path, root)
    loc, message = _aimed(fault)
    line, keys, node = locate(root, loc)
    field = ".".join(keys) or "recipe"
    if fault["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1], fault["loc"])
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        mend = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
        message = f"unknown key; {mend}"
    elif fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        message = _choose(fault)
    elif fault["type"] in ("tuple_type", "model_type", "model_attributes_type"):
        message = f"give {_SHAPES[fault['type']]} (found {_BRIEF.repr(fault['input'])})"
    elif fault["type"] == "string_type" and isinstance(node, yaml.ScalarNode) and node.value:
        message = _read_by_yaml(node.value, fault["input"])
    elif fault["type"] not in {"value_error", "missing"}:
        found = as_written(fault["input"], _BRIEF.repr(fault["input"]))
        message = plain(fault["type"], fault.get("ctx", {}), fault["input"], message)
        message = f"{message} (found {found})"
    return f"{path}:{line}: {field}: {hidden(message)}"


def _explain_point(faulty: FaultyPoint, path: Path, root: yaml.Node) -> str:
    """The fault of a point of the sweep, with the line at which the sweep gives the value."""
    point, document = faulty.point, root
    for name, place in point.places.items():
        _, _, node = locate(root, ("sweep", *place))
        if node is not None:
            document = placed(document, name.split("."), node)
    return f"{explain(faulty.error, path, document)} (in the sweep's point {point.name})"


class _Brief(reprlib.Repr):
    """A wrong value in a message, shortened, and without secrets of addresses."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(hidden(x), level)


_BRIEF = _Brief()


def _read_by_yaml(word: str, found: Any) -> str:
    """The message for a word that YAML reads as another type, such as ``no`` as false."""
    kinds = {bool: str(found).lower(), int: "a number", float: "a number", type(None): "nothing"}
    kind = kinds.get(type(found), f"a {type(found).__name__}")
    return f'YAML reads {word} as {kind}; write "{word}" in quotation marks'


_FIELD = re.compile(r"([a-z_]+(?:\.\w+)*): ")


def _aimed(fault: Any) -> tuple[tuple[int | str, ...], str]:
    """The location and the message of a fault.

    A message of a section's validator may begin with the name of a field in it. Then the name is
    moved from the message to the location.
    """
    loc, message = fault["loc"], fault["msg"].removeprefix("Value error, ")
    named = _FIELD.match(message) if fault["type"] == "value_error" else None
    if named is None:
        return loc, message
    inside = (int(key) if key.isdigit() else key for key in named[1].split("."))
    return (*loc, *inside), message[named.end() :]


_SHAPES = {
    "tuple_type": "a list, each item on its own line after '- '",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping such as {step: normalise}",
}


def _choose(fault: Any) -> str:
    """The message for a missing or unknown tag of a section, with the nearest or all known tags."""
    context = fault["ctx"]
    tag = context["discriminator"].strip("'")
    expected = context.get("expected_tags", "")
    known = [name.strip(" '") for name in expected.split(",")] if expected else []
    near = difflib.get_close_matches(str(context.get("tag", "")), known, n=1, cutoff=0.5)
    if near:
        return f"{tag}: {context['tag']} is unknown; did you mean {near[0]!r}?"
    fault_text = f"{tag}: {context['tag']} is unknown" if "tag" in context else f"say which {tag}"
    return (
        f"{fault_text}; known here: {', '.join(known)}"
        if known
        else f"{fault_text} (a key {tag!r})"
    )


def locate(root: yaml.Node, loc: tuple[int | str, ...]) -> tuple[int, list[str], yaml.Node | None]:
    """The line of a fault, its keys, and the node there.

    It skips the tags that pydantic puts into ``loc``.
    """
    node, line = root, root.start_mark.line + 1
    keys: list[str] = []
    tagged: yaml.Node | None = None
    for position, part in enumerate(loc):
        if isinstance(node, yaml.MappingNode):
            if node is not tagged and part in _tags(node):
                tagged = node
                continue
            pairs = [(k, v) for k, v in node.value if _is_key(k, part)]
            if pairs and loc[position + 1 :] == ("[key]",):  # the key itself has the fault
                return pairs[0][0].start_mark.line + 1, [*keys, pairs[0][0].value], pairs[0][0]
            if pairs:
                line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
                keys.append(str(part))
            elif dotted := [
                pair for pair in node.value if pair[0].value == _dotted(loc[position:])
            ]:
                return dotted[0][0].start_mark.line + 1, [*keys, dotted[0][0].value], dotted[0][1]
            elif position == len(loc) - 1:  # a missing key gets the line of its section
                keys.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            keys.append(str(part))
    return line, keys, node


def _dotted(loc: tuple[int | str, ...]) -> str:
    """The key of a setting that a sweep varies; the values below it are numbered."""
    return ".".join(part for part in loc if isinstance(part, str))


def _is_key(key: yaml.Node, part: int | str) -> bool:
    """Whether pydantic calls a key ``part``. YAML reads the key ``no`` as false, pydantic's 0."""
    if key.tag not in yaml.SafeLoader.yaml_constructors:  # `<<` is not a key of ours
        return False
    value = yaml.SafeLoader("").construct_object(key)
    return str(part) in (key.value, str(value)) or part == value


def _tags(node: yaml.MappingNode) -> set[str]:
    """The tags of a section: the values of its keys ``kind``, ``architecture`` and ``step``."""
    named = ("kind", "architecture", "step")
    scalar = yaml.ScalarNode
    return {v.value for k, v in node.value if k.value in named and isinstance(v, scalar)}


def _known_keys(keys: list[str], loc: tuple[int | str, ...]) -> set[str]:
    """The keys that are known in the section at ``keys``, looked up in the published schema."""
    schema = json_schema()
    definitions = schema["$defs"]

    def follow(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if "$ref" in node:
            yield from follow(definitions[node["$ref"].rsplit("/", 1)[1]])
        for choice in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from follow(choice)
        yield node

    nodes: list[Mapping[str, Any]] = list(follow(schema))
    for key in keys:
        deeper = []
        for node in nodes:
            named, free = node.get("properties", {}), node.get("patternProperties", {})
            deeper += [named[key]] if key in named else list(free.values())
            deeper += [node["items"]] if key.isdigit() and "items" in node else []
        nodes = [found for child in deeper for found in follow(child)]
    tags = {str(part) for part in loc}
    tagged = [
        node
        for node in nodes
        if any(p.get("const") in tags for p in node.get("properties", {}).values())
    ]
    return {key for node in tagged or nodes for key in node.get("properties", {})}
