"""The points of a sweep: the recipe with values set, as if a person had written them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.stanza import RecipeError
from pipelines.orchestration.graph import build
from pipelines.recipe.loading import load_recipe, read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.stages import stages
from pipelines.sweeps.artefacts import Trial
from pipelines.sweeps.options import Begun, Stopping, Sweep, comparison_steps
from pipelines.training.options import Training

Write = Callable[..., Path]
BUDGET = "training: {steps: 12,"
POINTS = "{training.optimizer.matrix_learning_rate: [0.01, 0.02], model.d_model: [16, 32]}"
SWEEP = f"sweep:\n  points: {POINTS}\n  seeds: [3, 4]\n  stop: {{keep: 1}}\n{BUDGET}"


def swept(write: Write, *changes: tuple[str, str], name: str = "smaller") -> Path:
    """The smaller recipe with a sweep of eight points, changed."""
    return write((BUDGET, SWEEP), *changes, name=name)


def declared_by(recipe: Recipe) -> dict[str, Declaration]:
    return {declared.key.partition("/")[2]: declared for declared in stages(recipe)}


FAULTS = {
    "a name": (
        ("matrix_learning_rate:", "matrix_lerning_rate:"),
        ":10: training.optimizer.matrix_lerning_rate: unknown key; did you mean"
        " 'matrix_learning_rate'? (in the sweep's point"
        " matrix_lerning_rate=0.01,d_model=16,seed=3)",
    ),
    "a type, at the line of the value": (
        ("[0.01, 0.02]", "[\n    0.01,\n    fast]"),
        ":12: training.optimizer.matrix_learning_rate: give a number (found 'fast') (in the sweep's"
        " point matrix_learning_rate=fast,d_model=16,seed=3)",
    ),
    "values that do not fit together": (
        ("model.d_model: [16, 32]", "model.n_heads: [1, 3]"),
        ": model: d_model=16 must be a multiple of n_heads=3: change one, or give d_head (in the"
        " sweep's point matrix_learning_rate=0.01,n_heads=3,seed=3)",
    ),
    "a budget": (
        ("model.d_model: [16, 32]", "training.steps: [6, 12]"),
        ":10: sweep.points.training.steps: all points have an equal budget; give it as sweep.steps"
        " or sweep.tokens",
    ),
    "other tokens": (
        ("model.d_model: [16, 32]", "tokenizer.vocab_size: [300, 400]"),
        ":10: sweep.points.tokenizer.vocab_size: a sweep varies model, training and the weight and"
        " epochs of corpora: losses on other tokens or texts cannot be compared, so make a second"
        " recipe for this and compare both with dragon compare",
    ),
    "a section": (
        ("model.d_model: [16, 32]", "modle.d_model: [16, 32]"),
        ":10: sweep.points.modle.d_model: did you mean model.?",
    ),
    "a seed": (
        ("model.d_model: [16, 32]", "seed: [16, 32]"),
        ":10: sweep.points.seed: give the seeds as sweep.seeds",
    ),
    "a corpus that comes and goes": (
        ("model.d_model: [16, 32]", "corpora.talk.weight: [1, 0]"),
        ": recipe: no corpus has a weight above 0, so there is nothing to pretrain on; give one a"
        " weight (in the sweep's point matrix_learning_rate=0.01,weight=0,seed=3)",
    ),
    "twice the same": (
        ("[16, 32]", "[16, 16]"),
        ":10: sweep.points: matrix_learning_rate=0.01,d_model=16,seed=3 is given twice; leave one"
        " out",
    ),
    "no value": (
        ("[16, 32]", "[]"),
        ":10: sweep.points: a setting has no value; give at least one",
    ),
    "a seed twice": (("[3, 4]", "[3, 3]"), ":11: sweep.seeds: one is given twice; leave it out"),
    "patience": (
        (BUDGET, f"{BUDGET} patience: 2,"),
        ": sweep.points: all points have an equal budget, and patience may end one before that;"
        " leave training.patience out",
    ),
    "patience of one point": (
        ("model.d_model: [16, 32]", "training.patience: [null, 2]"),
        ": sweep.points: all points have an equal budget, and patience may end one before that;"
        " leave training.patience out",
    ),
    "a branch that is stopped": (
        (BUDGET, f"{BUDGET} from: {{asset: other/foundation_states, step: 6}},"),
        ": sweep.stop: points that begin at a state of another training are trained to their end;"
        " leave stop out, or training.from",
    ),
    "no comparison before the end": (
        ("validate_every: 6", "validate_every: 12"),
        ":12: sweep.stop: a point of 12 steps validates every 12, so it cannot be compared before"
        " its end; lower training.validate_every, or leave stop out",
    ),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_a_point_is_one_line(
    change: tuple[str, str], told: str, recipe_file: Write
) -> None:
    path = swept(recipe_file, change)
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith(told)
    assert "\n" not in str(error.value)


def test_weights_from_elsewhere_have_no_sweep(recipe_file: Write) -> None:
    text = swept(recipe_file).read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("model", "tok", "train"))]
    source = "from: {kind: folder, path: my_weights, licence: MIT}"
    path = recipe_file(name="other")
    path.write_text("\n".join([*lines, source]))
    with pytest.raises(RecipeError, match="sweep: section from brings trained weights, and a"):
        load_recipe(path)


def test_a_point_that_is_the_recipe_is_its_foundation(recipe_file: Write) -> None:
    """Nothing is trained twice; and only that point is the foundation."""
    change = ("training: {steps: 12,", "training: {steps: 12, clip: 1.0,")
    recipe = load_recipe(swept(recipe_file, change, ("matrix_learning_rate", "head_learning_rate")))
    foundation = declared_by(recipe)["foundation"].static()
    ways = declared_by(recipe)["sweep"].points
    same = [name for name, way in ways.items() if way[-1].static() == foundation]
    assert same == []
    with_defaults = swept(recipe_file, ("[0.01, 0.02]", "[0.05, 0.02]"), name="defaults")
    recipe = load_recipe(with_defaults)  # 0.02 is what the rate is if it is left out
    foundation = declared_by(recipe)["foundation"].static()
    ways = declared_by(recipe)["sweep"].points
    same = [name for name, way in ways.items() if way[-1].static() == foundation]
    assert same == ["matrix_learning_rate=0.02,d_model=16,seed=3"]


def test_a_point_is_promoted_by_copying_its_values(recipe_file: Write) -> None:
    """A default that depends on a value follows it in the point as in the recipe."""
    points = "points: [{model.tied_head: true}, {training.optimizer.kind: adamw}]"
    recipe = load_recipe(swept(recipe_file, (f"points: {POINTS}", points)))
    ways = declared_by(recipe)["sweep"].points
    for change, name in {
        ("preset: modern,", "preset: modern, tied_head: true,"): "tied_head=true,seed=3",
        (BUDGET, f"{BUDGET} optimizer: {{kind: adamw}},"): "kind=adamw,seed=3",
    }.items():
        promoted = load_recipe(recipe_file(change, name="promoted"))
        assert declared_by(promoted)["foundation"].static() == ways[name][-1].static()


def test_a_sweep_may_have_a_budget_of_its_own(recipe_file: Write) -> None:
    recipe = load_recipe(swept(recipe_file, ("  stop: {keep: 1}", "  steps: 600")))
    settings = declared_by(recipe)["sweep_comparison"].settings
    assert {point.steps for point in settings.points} == {600}  # type: ignore[union-attr]
    assert recipe.training is not None
    assert recipe.training.steps == 12


def test_names_are_as_short_as_they_can_be() -> None:
    sweep = Sweep.model_validate(
        {"points": [{"model.a.rate": 1, "model.b.rate": 0.5, "training.schedule.decay": "none"},
                    {"model.a.rate": None, "model.b.rate": [1, 2], "training.schedule.decay": "x"}]}
    )  # fmt: skip
    assert [point.name for point in sweep.spread()] == [
        "a.rate=1,b.rate=0.5,decay=none",
        "a.rate=null,b.rate=1_2,decay=x",
    ]


@pytest.mark.parametrize(
    ("steps", "every", "after", "expected"),
    [
        (1000, 10, 0.25, (250, 500)),
        (1000, 100, 0.25, (300, 500)),
        (1000, 10, 0.1, (100, 200, 400, 800)),
        (1000, 400, 0.1, (400, 800)),
        (1000, 1000, 0.25, ()),
    ],
)
def test_points_are_compared_where_they_validate(
    steps: int, every: int, after: float, expected: tuple[int, ...]
) -> None:
    training = Training(steps=steps, validate_every=every)
    assert comparison_steps(training, 16, Stopping(after=after)) == expected
    assert comparison_steps(training, 16, None) == ()


def test_every_point_is_a_named_making_of_its_settings_and_inputs(recipe_file: Write) -> None:
    declared = declared_by(load_recipe(swept(recipe_file)))
    assert len(declared["sweep"].points) == 8
    for name, way in declared["sweep"].points.items():
        assert [one.makes for one in way[:-1]] == [Trial]
        for one in way:
            make = found(one.making)
            hints = typing.get_type_hints(make)
            assert {*inspect.signature(make).parameters} == {"making", "settings", *one.inputs}
            assert type(one.settings) is hints["settings"]
            assert one.address == f"smaller/sweep:{name}"
            assert one.begins in (None, way[-1])
        assert isinstance(way[0].settings, Begun)
        assert way[0].settings.whole == way[-1].settings
    comparison = declared["sweep_comparison"]
    assert list(comparison.reads().values()) == [
        way[-1].address for way in declared["sweep"].points.values()
    ]
    hints = typing.get_type_hints(found(comparison.making))
    assert hints["points"] == dict[str, Artefact]


def test_partitions_are_points_and_a_bad_sweep_takes_no_other_recipe_away(
    recipe_file: Write, tmp_path: Path
) -> None:
    swept(recipe_file)
    recipe_file(("talk:", "chat:"), name="plain")
    swept(recipe_file, ("[16, 32]", "[-1, 32]"), name="bad")
    recipes, faults = read_recipes(tmp_path)
    assert list(recipes) == ["plain", "smaller"]
    assert list(faults) == ["bad"]
    project = Project(CHECKOUT, tmp_path / "home", tmp_path / "store")
    graph = build(project, recipes.values(), faults).resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    partitioned = {key: node for key, node in nodes.items() if node.is_partitioned}
    assert list(partitioned) == ["smaller/sweep"]
    definition = partitioned["smaller/sweep"].partitions_def
    assert definition is not None
    assert definition.get_partition_keys() == list(recipes["smaller"].points)
    below = nodes["smaller/sweep_comparison"]
    assert [key.to_user_string() for key in below.parent_keys] == ["smaller/sweep"]
    assert {key.name for key in below.check_keys} == {"best_stands_out"}
    assert {key.name for key in nodes["smaller/sweep"].check_keys} == {"sound_network"}
    assert "plain/foundation" in nodes
    assert "left_out/bad" in nodes
    assert "report" not in {key.path[-1] for key in below.child_keys}


def test_a_renamed_recipe_keeps_its_points(recipe_file: Write) -> None:
    recipe = load_recipe(swept(recipe_file))
    content = yaml.safe_load(swept(recipe_file).read_text())
    assert Recipe.model_validate({"name": "smaller", **content}).points == recipe.points
    renamed = recipe.model_copy(update={"name": "other"})
    for before, after in zip(stages(recipe), stages(renamed), strict=True):
        assert before.static() == after.static()
        for name, way in before.points.items():
            ours = [one.static() for one in way]
            assert [one.static() for one in after.points[name]] == ours
            assert {one.key for one in after.points[name]} == {"other/sweep"}
            assert {"other/tokenizer"} <= set(after.points[name][-1].upstream())
