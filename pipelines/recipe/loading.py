"""Reads ``recipes/*.yaml``: what is wrong is told with its file, line, field and the mend."""

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
from pipelines.recipe.schema import Recipe
from pipelines.text.addresses import hidden, names_user


def load_recipe(path: Path) -> Recipe:
    """Read one recipe; its name is the file's.

    Raises RecipeError with ``file:line`` and the mend for anything wrong with it.
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
        raise RecipeError(f"{path}:1: a recipe is a mapping of settings")
    if "name" in content:
        line, _, _ = _locate(root, ("name",))
        raise RecipeError(f"{path}:{line}: a recipe's name is its file's; leave out 'name'")
    if not re.fullmatch(NAME, path.stem) or path.stem in RESERVED:
        raise RecipeError(
            f"{path}: rename it: a recipe's name is lower case letters, digits and _, at most 63,"
            f" and none of {', '.join(RESERVED)}"
        )
    try:
        return Recipe.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise RecipeError(_explain(error, path, root)) from None


def load_recipes(folder: Path) -> dict[str, Recipe]:
    """All recipes of a folder by name. Raises RecipeError with the first fault of any."""
    recipes, faults = read_recipes(folder)
    # Of two that disagree the later is named first: it is more often the one just written.
    for fault in (*faults.values(), *reversed(disagreements(recipes).values())):
        raise fault
    return recipes


def read_recipes(folder: Path) -> tuple[dict[str, Recipe], dict[str, RecipeError]]:
    """The recipes of a folder that can be read, and the faults of the others, both by name.

    Raises RecipeError where there is no recipe at all.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RecipeError(f"{folder}: holds no recipe (*.yaml); run in the project's folder")
    recipes: dict[str, Recipe] = {}
    faults: dict[str, RecipeError] = {}
    for path in paths:
        try:
            recipes[path.stem] = load_recipe(path)
        except RecipeError as fault:
            faults[path.stem] = fault
    return recipes, faults


def disagreements(recipes: Mapping[str, Recipe]) -> dict[str, RecipeError]:
    """The faults, by name, of recipes that describe what they share differently.

    A corpus or a task's examples are one asset however many recipes name them. Nobody knows which
    of two descriptions is meant, so both recipes have the fault.
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
    schema["properties"].pop("name")
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
                raise RecipeError(f"{path}:{line}: a list as a key; keys are words")
            if key.value in seen:
                raise RecipeError(f"{path}:{line}: '{hidden(key.value)}' stands twice; keep one")
            seen.add(key.value)


def _refuse_passwords(root: yaml.Node | None, path: Path) -> None:
    """No field may hold an address with a user: what a recipe says goes into records and pages."""
    for node in _nodes(root):
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            inside = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for said in (key, *inside):
                if isinstance(said, yaml.ScalarNode) and names_user(said.value):
                    line, field = said.start_mark.line + 1, hidden(key.value)
                    raise RecipeError(
                        f"{path}:{line}: {field}: an address with a user or a password; take them"
                        " out, for a recipe's words go into records and pages"
                    )


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """All nodes of a document, each once."""
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in met:  # an alias, which may even hold itself
            continue
        met.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _explain(error: ValidationError, path: Path, root: yaml.Node) -> str:
    """The first fault as one line: file, line, field, what is wrong and the mend."""
    # An unknown key comes first: a missing one is often the same slip seen from the other side.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
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
        message = f"{message} (found {_BRIEF.repr(fault['input'])})"
    return f"{path}:{line}: {field}: {hidden(message)}"


class _Brief(reprlib.Repr):
    """What was found, shortened, its addresses without what may be secret in them."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(hidden(x), level)


_BRIEF = _Brief()


def _read_by_yaml(word: str, found: Any) -> str:
    """The mend where YAML makes of a word something else than text: ``no`` is false to it."""
    kinds = {bool: str(found).lower(), int: "a number", float: "a number", type(None): "nothing"}
    kind = kinds.get(type(found), f"a {type(found).__name__}")
    return f'YAML reads {word} as {kind}; write "{word}" in quotation marks'


_FIELD = re.compile(r"([a-z_]+(?:\.\w+)*): ")


def _aimed(fault: Any) -> tuple[tuple[int | str, ...], str]:
    """Where a fault lies and what it is: what a section says of a field of its begins with that."""
    loc, message = fault["loc"], fault["msg"].removeprefix("Value error, ")
    named = _FIELD.match(message) if fault["type"] == "value_error" else None
    if named is None:
        return loc, message
    inside = (int(key) if key.isdigit() else key for key in named[1].split("."))
    return (*loc, *inside), message[named.end() :]


_SHAPES = {
    "tuple_type": "a list, an item a line after '- '",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping such as {step: normalise}",
}


def _choose(fault: Any) -> str:
    """What a section may say that it is, and the nearest of that to what it says."""
    context = fault["ctx"]
    tag = context["discriminator"].strip("'")
    expected = context.get("expected_tags", "")
    known = [name.strip(" '") for name in expected.split(",")] if expected else []
    near = difflib.get_close_matches(str(context.get("tag", "")), known, n=1, cutoff=0.5)
    if near:
        return f"{tag}: {context['tag']} is unknown; did you mean {near[0]!r}?"
    told = f"{tag}: {context['tag']} is unknown" if "tag" in context else f"say which {tag}"
    return f"{told}; known here: {', '.join(known)}" if known else f"{told} (a key {tag!r})"


def _locate(root: yaml.Node, loc: tuple[int | str, ...]) -> tuple[int, list[str], yaml.Node | None]:
    """The line of a fault, its keys, and what stands there, if it does.

    The tags that pydantic puts into ``loc`` are skipped.
    """
    node, line = root, root.start_mark.line + 1
    keys: list[str] = []
    tagged: yaml.Node | None = None
    for position, part in enumerate(loc):
        if isinstance(node, yaml.MappingNode):
            if node is not tagged and part in _tags(node):
                tagged = node
                continue
            found = [(k, v) for k, v in node.value if _is_key(k, part)]
            if found and loc[position + 1 :] == ("[key]",):  # the fault is the key's own
                return found[0][0].start_mark.line + 1, [*keys, found[0][0].value], found[0][0]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                keys.append(str(part))
            elif position == len(loc) - 1:  # a missing key is named, at its section's line
                keys.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            keys.append(str(part))
    return line, keys, node


def _is_key(key: yaml.Node, part: int | str) -> bool:
    """Whether a key is what pydantic calls ``part``; YAML's ``no`` is false, which it calls 0."""
    if key.tag not in yaml.SafeLoader.yaml_constructors:  # `<<`, which is none of ours
        return False
    read = yaml.SafeLoader("").construct_object(key)
    return str(part) in (key.value, str(read)) or part == read


def _tags(node: yaml.MappingNode) -> set[str]:
    """What a section says it is: the union's tag, told apart from a key of the same name."""
    named = ("kind", "architecture", "step")
    scalar = yaml.ScalarNode
    return {v.value for k, v in node.value if k.value in named and isinstance(v, scalar)}


def _known_keys(keys: list[str], loc: tuple[int | str, ...]) -> set[str]:
    """The keys that the section at ``keys`` knows, followed through the published schema."""
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
