"""Reads ``recipes/*.yaml``. An error names the file, the line, the field and the mend."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.core.identity import RESERVED
from pipelines.core.stanza import NAME, RecipeError
from pipelines.recipe.lists import name_lists
from pipelines.recipe.points import FaultyPoint, placed
from pipelines.recipe.schema import Recipe
from pipelines.recipe.wording import as_written, plain
from pipelines.text.addresses import hidden, names_user


def load_recipe(path: Path) -> Recipe:
    """Read one recipe, whose name is the file's.

    Raises RecipeError with ``file:line`` and the mend for any fault.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise RecipeError(f"{path}: not a file; name a recipe file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); name a recipe file") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubled_keys(root, path)
        _refuse_passwords(root, path)
        content = yaml.safe_load(text)
    except RecipeError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{path}:{line}: not YAML: {problem}") from None
    if root is None or not isinstance(content, dict):
        raise RecipeError(
            f"{path}:1: a recipe is a mapping of settings; write lines such as 'seed: 1'"
        )
    if "name" in content:
        line, _, _ = _locate(root, ("name",))
        raise RecipeError(f"{path}:{line}: a recipe takes its name from its file; leave out 'name'")
    if not re.fullmatch(NAME, path.stem) or path.stem in RESERVED:
        raise RecipeError(
            f"{path}: rename the file: a recipe's name has lower case letters, digits and _, at"
            f" most 63 characters, and is none of {', '.join(RESERVED)}"
        )
    name_lists(content)
    try:
        return Recipe.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise RecipeError(_explain(error, path, root)) from None


def load_recipes(folder: Path) -> dict[str, Recipe]:
    """All recipes of a folder by name. Raises RecipeError with the first fault."""
    recipes, faults = read_recipes(folder)
    # Of two recipes that disagree, name the later: more often it is the one with the fault.
    for fault in (*faults.values(), *reversed(disagreements(recipes).values())):
        raise fault
    return recipes


def read_recipes(folder: Path) -> tuple[dict[str, Recipe], dict[str, RecipeError]]:
    """The valid recipes of a folder, and the faults of the others, both by name.

    Raises RecipeError if the folder has no recipe at all.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RecipeError(
            f"{folder}: holds no recipe (*.yaml); run the command in the project's folder"
        )
    recipes: dict[str, Recipe] = {}
    faults: dict[str, RecipeError] = {}
    for path in paths:
        try:
            recipes[path.stem] = load_recipe(path)
        except RecipeError as fault:
            faults[path.stem] = fault
    return recipes, faults


def disagreements(recipes: Mapping[str, Recipe]) -> dict[str, RecipeError]:
    """The faults, by recipe name, of recipes that describe a shared asset differently.

    A corpus or a task's examples are one asset, even if several recipes name them. The program
    cannot know which description is right, so both recipes have the fault.
    """
    parts = {
        recipe_name: {(kind, name): content for kind, name, content in _shared_parts(recipe)}
        for recipe_name, recipe in recipes.items()
    }
    faults = {}
    for recipe_name, ours in parts.items():
        for other, theirs in parts.items():
            differing = next((p for p in ours if theirs.get(p, ours[p]) != ours[p]), None)
            if differing:
                faults[recipe_name] = RecipeError(
                    f"{recipe_name}.yaml: {' '.join(differing)} differs from the one in"
                    f" {other}.yaml; make them equal or rename one"
                )
                break
    return faults


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors check a recipe against."""
    schema = Recipe.model_json_schema()
    del schema["properties"]["name"]
    schema["required"].remove("name")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _shared_parts(recipe: Recipe) -> Iterator[tuple[str, str, Any]]:
    for name, corpus in recipe.corpora.items():
        yield "corpus", name, corpus.model_dump(mode="json", exclude={"weight", "epochs"})
    for name, vectors in recipe.word_vectors.items():
        yield "word_vectors of corpus", name, vectors.model_dump(mode="json")
    for name, task in recipe.tasks.items():
        if (taken := task.taken()) is not None:
            kind = type(taken).__name__
            yield f"corpora.{task.corpus}: task", name, (kind, taken.decides())


def _refuse_doubled_keys(root: yaml.Node | None, path: Path) -> None:
    for node in _nodes(root):
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise RecipeError(f"{path}:{line}: a key is a list or a mapping; write a word")
            if key.value in seen:
                raise RecipeError(f"{path}:{line}: '{hidden(key.value)}' is given twice; keep one")
            seen.add(key.value)


def _refuse_passwords(root: yaml.Node | None, path: Path) -> None:
    """Refuse addresses with a user or a password: records and pages show a recipe's values."""
    for node in _nodes(root):
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            inside = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for scalar in (key, *inside):
                if isinstance(scalar, yaml.ScalarNode) and names_user(scalar.value):
                    line, field = scalar.start_mark.line + 1, hidden(key.value)
                    raise RecipeError(
                        f"{path}:{line}: {field}: an address with a user or a password; take them"
                        " out, because records and pages show the values of a recipe"
                    )


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """All nodes of a document, each once."""
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in met:  # an alias, which may contain itself
            continue
        met.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _explain(error: ValidationError, path: Path, root: yaml.Node) -> str:
    """The first fault as one line: file, line, field, fault and mend."""
    # An unknown key comes first: a misspelt key is unknown, and its right name is missing.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    if isinstance(faulty := fault.get("ctx", {}).get("error"), FaultyPoint):
        return _explain_point(faulty, path, root)
    loc, message = _aimed(fault)
    line, keys, node = _locate(root, loc)
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
        _, _, node = _locate(root, ("sweep", *place))
        if node is not None:
            document = placed(document, name.split("."), node)
    return f"{_explain(faulty.error, path, document)} (in the sweep's point {point.name})"


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


def _locate(root: yaml.Node, loc: tuple[int | str, ...]) -> tuple[int, list[str], yaml.Node | None]:
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
