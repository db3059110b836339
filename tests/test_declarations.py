"""What holds of every declaration of every shipped recipe: nothing here names one."""

from __future__ import annotations

import inspect
import json
import typing
from pathlib import Path

import pytest

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.making import Making
from pipelines.core.stanza import Strict
from pipelines.lineage.views import view_of
from pipelines.recipe.loading import load_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare

RECIPES = load_recipes(Path(__file__).parents[1] / "recipes")
EVERY = {one.key: one for one in declare(RECIPES.values())}


def reads_as(value: str | typing.Mapping[str, str], hint: typing.Any) -> None:
    """An input is annotated as the view of its key, or as a mapping of such views."""
    keys = [value] if isinstance(value, str) else list(value.values())
    if not isinstance(value, str):
        assert typing.get_origin(hint) is dict
        name, hint = typing.get_args(hint)
        assert name is str
    assert issubclass(hint, Artefact)
    assert all(issubclass(view_of(key), hint) for key in keys)


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
    assert declared.about
    assert view_of(declared.key) is declared.makes
    if declared.observe:
        assert len(inspect.signature(found(declared.observe)).parameters) == 2


@pytest.mark.parametrize("declared", EVERY.values(), ids=EVERY)
def test_what_decides_can_be_written_down(declared: Declaration) -> None:
    assert json.loads(json.dumps(declared.static())) == declared.static()
    for name, value in declared.settings or ():
        assert not isinstance(value, Recipe), name
        assert not callable(value), name
    assert declared.settings is None or isinstance(declared.settings, Strict)


def test_inputs_are_declared_before_what_reads_them() -> None:
    for recipe in RECIPES.values():
        keys: set[str] = set()
        for declared in declare([recipe]):
            assert keys.issuperset(declared.upstream()), declared.key
            keys.add(declared.key)
