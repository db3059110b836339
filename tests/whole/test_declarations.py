"""What holds of every declaration of every shipped recipe: nothing here names one."""

from __future__ import annotations

import inspect
import json
import typing
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.making import Making
from pipelines.core.references import KEY
from pipelines.core.stanza import RecipeError, Strict
from pipelines.corpora.sources import kinds as sources
from pipelines.interop import kinds as weights
from pipelines.lineage.views import VIEWS
from pipelines.recipe.loading import load_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import collisions, declare

SHIPPED = Path(__file__).parents[2] / "recipes"
RECIPES = load_recipes(SHIPPED)
EVERY = {one.key: one for one in declare(RECIPES.values())}


def reads_as(value: str | typing.Mapping[str, str], hint: typing.Any) -> None:
    """An input is annotated as the view of its key, or as a mapping of such views."""
    keys = [value] if isinstance(value, str) else list(value.values())
    if not isinstance(value, str):
        assert typing.get_origin(hint) is dict
        name, hint = typing.get_args(hint)
        assert name is str
    assert issubclass(hint, Artefact)
    assert all(issubclass(EVERY[key].makes, hint) for key in keys)


@pytest.mark.parametrize("declared", EVERY.values(), ids=EVERY)
def test_a_making_is_a_named_function_of_its_settings_and_inputs(declared: Declaration) -> None:
    make = found(declared.making)
    assert (make.__module__, make.__name__) == tuple(declared.making.split(":"))
    assert not inspect.getclosurevars(make).nonlocals
    hints = typing.get_type_hints(make)
    given = list(inspect.signature(make).parameters)
    assert given[0] == "making"
    assert hints["making"] is Making
    assert hints["return"] is type(None)
    settings = [] if declared.settings is None else ["settings"]
    assert set(given[1:]) == {*settings, *declared.inputs}
    for name, value in declared.inputs.items():
        reads_as(value, hints[name])
    if declared.settings is not None:
        kinds = typing.get_args(typing.get_args(hints["settings"])[0:1] or hints["settings"])
        assert isinstance(declared.settings, kinds or hints["settings"])
    assert declared.about.endswith(".")
    assert VIEWS[declared.makes.__name__] is declared.makes
    if declared.observe:
        assert len(inspect.signature(found(declared.observe)).parameters) == 2


@pytest.mark.parametrize("declared", EVERY.values(), ids=EVERY)
def test_what_decides_can_be_written_down(declared: Declaration) -> None:
    assert json.loads(json.dumps(declared.static())) == declared.static()
    for name, value in declared.settings or ():
        assert not isinstance(value, Recipe), name
        assert not callable(value), name
    assert declared.settings is None or isinstance(declared.settings, Strict)


# Secrets

SECRET = "https://example.org/a.jsonl?token=SECRET#SECRET"
KINDS = {**sources.catalogue(), **{f"{n} of weights": k for n, k in weights.catalogue().items()}}


def takes(field: FieldInfo, value: str) -> bool:
    try:
        TypeAdapter(Annotated[(field.annotation, *field.metadata, "")]).validate_python(value)
    except ValidationError:
        return False
    return True


def with_addresses(kind: typing.Any) -> dict[str, str]:
    """The fields of a kind of source that take addresses only, each with a secret one."""
    fields = kind.options.model_fields.items()
    return {name: SECRET for name, f in fields if takes(f, SECRET) and not takes(f, "words")}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_query_of_an_address_decides_nothing(kind: typing.Any) -> None:
    fields = with_addresses(kind)
    assert bool(fields) == (kind.name == "url"), "show what is public of the new field"
    if fields:
        decides = kind.options.model_construct(kind=kind.name, licence="MIT", **fields).decides()
        assert "SECRET" not in json.dumps(decides)
        assert "SECRET" not in kind.origin.format(**decides)
    for name in fields:
        user = "https://me:SECRET@example.org/a.jsonl"
        assert not takes(kind.options.model_fields[name], user), "a user is refused"


def test_no_asset_of_a_recipe_shows_the_query_of_an_address() -> None:
    content = yaml.safe_load((SHIPPED / "tiny.yaml").read_text())
    source = {"kind": "url", "url": SECRET, "sha256": "0" * 64, "licence": "MIT"}
    content["corpora"]["toy_dialogues"]["source"] = source
    for declared in declare([Recipe.model_validate({"name": "tiny", **content})]):
        assert "SECRET" not in json.dumps(declared.static()), declared.key
        assert "SECRET" not in declared.description, declared.key
    assert "https://example.org/a.jsonl" in json.dumps(declared.static()), "the report has it"


def test_inputs_are_declared_before_what_reads_them() -> None:
    for recipe in RECIPES.values():
        keys: set[str] = set()
        for declared in declare([recipe]):
            assert keys.issuperset(declared.upstream()), declared.key
            keys.add(declared.key)


# Keys


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_name_decides_nothing(recipe: Recipe) -> None:
    """A renamed recipe has the same assets, decided alike, and only those of its scope move."""
    renamed = recipe.model_copy(update={"name": "another_name"})
    assert not any(one.key.startswith("another_name/") for one in declare([recipe]))
    for before, after in zip(declare([recipe]), declare([renamed]), strict=True):
        assert before.static() == after.static()
        scope, _, name = before.key.partition("/")
        assert after.key == (f"another_name/{name}" if scope == recipe.name else before.key)


def test_the_graph_says_what_each_box_is() -> None:
    """Its page shows a key's last part, and the scope beside it as a kind."""
    for declared in EVERY.values():
        scope, name = declared.key.split("/")
        assert name not in RECIPES
        assert KEY.fullmatch(declared.key)
        assert declared.group == (scope if scope in RECIPES else "corpora")


def colliding(**changes: typing.Any) -> Recipe:
    content = yaml.safe_load((SHIPPED / "tiny.yaml").read_text())
    return Recipe.model_validate({**content, "name": "tiny", **changes})


def test_two_assets_of_one_key_are_refused() -> None:
    spam = yaml.safe_load((SHIPPED / "tiny.yaml").read_text())["tasks"]["toy_spam"]
    foundation = colliding(tasks={"foundation": spam})
    told = "^tiny.yaml: two assets would have the key tiny/foundation_evaluation; give the task"
    with pytest.raises(RecipeError, match=told):
        declare([foundation])
    sound = RECIPES["bert"]
    faults = collisions({"bert": sound, "tiny": foundation})
    assert list(faults) == ["tiny"]
    # A corpus may be called as its recipe is: their assets have other names.
    declare([RECIPES["tiny"].model_copy(update={"name": "toy_dialogues"})])


def test_recipes_that_branch_from_each_other_are_left_out() -> None:
    def branching(name: str, other: str) -> Recipe:
        content = yaml.safe_load((SHIPPED / "tiny.yaml").read_text())
        branch = {"asset": f"{other}/foundation_states", "step": 1}
        training = {**content["training"], "keep": {"every": 1}, "from": branch}
        return Recipe.model_validate({**content, "name": name, "training": training})

    recipes = {
        "a": branching("a", "b"),
        "b": branching("b", "c"),
        "c": branching("c", "a"),
        "d": branching("d", "a"),
        "e": branching("e", "tiny"),
    }
    faults = collisions({**recipes, "tiny": RECIPES["tiny"]})
    assert set(faults) == {"a", "b", "c"}
    told = "a.yaml: training.from.asset: b/foundation_states comes from a training that branches"
    assert str(faults["a"]).startswith(told)


def test_the_longest_names_give_keys_too() -> None:
    """Of a recipe, of its corpora and of its tasks: else work would be done that has no key."""
    longest = "x" * 63
    text = (SHIPPED / "translate.yaml").read_text().replace("  en_fr:", f"  {longest}:")
    content = yaml.safe_load(text)
    for declared in declare([Recipe.model_validate({**content, "name": longest})]):
        assert KEY.fullmatch(declared.key), declared.key
    assert f"{longest}/{longest}_assistant_evaluation" in {
        one.key for one in declare([Recipe.model_validate({**content, "name": longest})])
    }
