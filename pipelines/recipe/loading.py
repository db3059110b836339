"""Reads ``recipes/*.yaml``. An error names the file, the line, the field and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.core.identity import RESERVED
from pipelines.core.stanza import NAME, RecipeError
from pipelines.recipe.faults import explain, locate
from pipelines.recipe.lists import name_lists
from pipelines.recipe.schema import Recipe
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
        line, _, _ = locate(root, ("name",))
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
        raise RecipeError(explain(error, path, root)) from None


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


def _shared_parts(recipe: Recipe) -> Iterator[tuple[str, str, Any]]:
    for name, corpus in recipe.corpora.items():
        yield "corpus", name, corpus.model_dump(mode="json", exclude={"weight", "epochs"})
    for name, vectors in recipe.word_vectors.items():
        yield "word_vectors of corpus", name, vectors.model_dump(mode="json")
    for name, suite in recipe.suites.items():
        yield "suite", name, suite.taken().decides()
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
