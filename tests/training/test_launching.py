"""A training by two processes as an asset: made, tracked, killed, gone on with."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.tracking import Tracker
from pipelines.core.work import Work
from pipelines.lineage.views import open_current
from pipelines.recipe.loading import load_recipe, load_recipes
from pipelines.stages import declare
from pipelines.training.artefacts import Checkpoint
from pipelines.training.launching import make_together
from tests.conftest import Place
from tests.whole.serving import Pages, within

WriteRecipe = Callable[..., Path]
KEY = "smaller/foundation"
EVERY = {d.key: d for d in declare(load_recipes(CHECKOUT / "recipes").values())}
TWO = ("checkpoint_every: 4", "checkpoint_every: 4, processes: 2")
LONG = ("steps: 12", "steps: 300")


def making(recipe: Path) -> list[str]:
    return ["run", str(recipe), "--select", KEY]


def record(place: Place) -> Record:
    return place.store.current_record(KEY)


@pytest.mark.parametrize("declared", EVERY.values(), ids=EVERY)
def test_settings_can_be_written_down_and_read_again(declared: Declaration) -> None:
    settings = declared.settings
    if settings is not None:
        written = json.loads(json.dumps(settings.written()))
        assert type(settings).model_validate(written).decides() == settings.decides()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("sharding", ["replicated", "sharded"])
def test_two_processes_make_the_asset_that_one_makes(
    sharding: str, made: Place, recipe_file: WriteRecipe
) -> None:
    recipe = recipe_file()
    assert made.dragon(*making(recipe)).code == 0
    in_one = record(made)
    recipe = recipe_file((TWO[0], f"{TWO[1]}, sharding: {sharding}"))
    said = made.dragon(*making(recipe))
    assert said.code == 0, said.err
    in_two = record(made)
    assert [leg["processes"] for leg in in_two.made["legs"]] == [2]
    assert in_two.made["tokens_per_second"] > 0
    curves = [
        made.store.open(KEY, r.version, Checkpoint).json("curve.json") for r in (in_one, in_two)
    ]
    for kind in ("train", "validation"):
        one, two = (curve[kind] for curve in curves)
        assert [step for step, _ in one] == [step for step, _ in two]
        assert [x for _, x in two] == pytest.approx([x for _, x in one], rel=1e-4)
    assert tracked(made, in_two) == [[step, pytest.approx(x)] for step, x in curves[1]["train"]]
    assert "12 steps" in said.out


def tracked(place: Place, record: Record) -> list[list[float]]:
    """The points of the training's curve in MLflow."""
    tracker = Tracker(place.project.mlflow)
    assert tracker.settle(120)
    client = mlflow.MlflowClient(f"sqlite:///{place.project.mlflow / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.`dragon.derivation` = '{record.derivation}'"
    (run,) = client.search_runs(experiments, wanted)
    points = client.get_metric_history(run.info.run_id, "training_loss")
    return [[point.step, point.value] for point in points]


@pytest.mark.timeout(600)
def test_a_state_of_two_processes_goes_on_in_one(
    made: Place, recipe_file: WriteRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The samples come in the same order; the change is told and recorded."""
    two, one = (
        {d.key: d for d in declare([load_recipe(recipe_file(*changes))])}[KEY]
        for changes in ([TWO], [])
    )
    loaded = {key: open_current(made.store, key) for key in two.upstream()}
    (tmp_path / "work").mkdir()

    def making_of(declared: Declaration, name: str) -> Making:
        (tmp_path / name).mkdir()
        decides = declared.decided_by(loaded, made.project)
        return Making(KEY, tmp_path / name, made.project, Work(tmp_path / "work"), decides=decides)

    first, second = making_of(two, "first"), making_of(one, "second")
    make_together(two, first, loaded)  # the state of step 8 stays in the work area
    with caplog.at_level(logging.WARNING, "dragon.training"):
        one.make()(second, **one.arguments(loaded))
    assert [(leg["step"], leg["processes"]) for leg in second.made["legs"]] == [(0, 2), (8, 1)]
    assert f"{KEY}: began with processes=2, goes on with 1;" in caplog.text
    curves = [json.loads((m.folder / "curve.json").read_bytes()) for m in (first, second)]
    whole, resumed = ([loss for _, loss in curve["train"]] for curve in curves)
    assert resumed[:8] == whole[:8]
    assert resumed[8:] == pytest.approx(whole[8:], rel=1e-4)


def test_a_fault_in_a_process_is_one_line(made: Place, recipe_file: WriteRecipe) -> None:
    """The rates are so high that the weights are soon no numbers."""
    rates = "optimizer: {kind: adamw, matrix_learning_rate: 1e39, head_learning_rate: 1e39}"
    recipe = recipe_file((TWO[0], f"{TWO[1]}, {rates}"))
    said = made.dragon(*making(recipe))
    assert "lower the learning rate" in said.fault
    assert said.fault.startswith(f"dragon: {KEY}: step=")


def test_more_processes_than_rows_are_refused(place: Place, recipe_file: WriteRecipe) -> None:
    recipe = recipe_file(("checkpoint_every: 4", "checkpoint_every: 4, processes: 5"))
    assert "processes=5 exceeds batch_size=4" in place.dragon("run", str(recipe)).fault


def ranks(place: Place) -> dict[int, int]:
    """The processes that train in a store, by rank."""
    wanted, found = f"DRAGON_STORE={place.root}".encode(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (folder / "environ").read_bytes().split(b"\0")
            number = next((s[5:] for s in said if s.startswith(b"RANK=")), None)
            if wanted in said and number is not None:
                found[int(number)] = int(folder.name)
    return found


def checkpoints(place: Place) -> Iterator[Path]:
    return (place.root / ".work").glob("*/checkpoint.json")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("sharding", ["replicated", "sharded"])
def test_a_killed_process_ends_all_and_the_next_run_ends_where_none_was_killed(
    sharding: str, made: Place, recipe_file: WriteRecipe, tmp_path: Path
) -> None:
    recipe = recipe_file(LONG, (TWO[0], f"{TWO[1]}, sharding: {sharding}"))
    straight = tmp_path / "straight"
    shutil.copytree(made.root, straight, symlinks=True)
    uninterrupted = Place(made.home, straight)
    assert uninterrupted.dragon(*making(recipe)).code == 0

    # A process of the group is killed: the other, torchrun and the command end by themselves.
    command = made.start(*making(recipe))
    within(300, lambda: list(checkpoints(made)))
    os.kill(ranks(made)[1], signal.SIGKILL)
    began = time.monotonic()
    _, said = command.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert command.returncode == 1
    assert len(said.splitlines()) == 1
    assert "one of its 2 processes died" in said
    assert not ranks(made)
    assert not Store(made.root).versions(KEY)

    # The command is killed: the group ends by itself and publishes nothing.
    (first,) = checkpoints(made)
    before = first.read_bytes()
    command = made.start(*making(recipe))
    within(300, lambda: first.read_bytes() != before)
    assert len(ranks(made)) == 2
    command.kill()
    command.communicate(timeout=60)
    within(10, lambda: not ranks(made))
    assert not Store(made.root).versions(KEY)

    # A person ends the command.
    before = first.read_bytes()
    command = made.start(*making(recipe))
    within(300, lambda: first.read_bytes() != before)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 130, said
    within(5, lambda: not ranks(made))

    assert made.dragon(*making(recipe)).code == 0
    assert record(made).version == record(uninterrupted).version
    assert len(record(made).made["legs"]) == 4


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_it_is_started_in_the_browser_and_goes_on_there(
    recipe_file: WriteRecipe, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    (root / "recipes").mkdir(parents=True)
    shutil.move(recipe_file(LONG, TWO), root / "recipes")
    pages = Pages(tmp_path, root)
    place = Place(tmp_path / "home", pages.store)
    try:
        pages.wait_until_ready()
        keys = ("talk/raw_text", "talk/documents", "smaller/tokenizer", "smaller/token_shards")
        run = pages.launch(*keys, KEY)
        within(600, lambda: list(checkpoints(place)))
        os.kill(ranks(place)[1], signal.SIGKILL)
        assert pages.await_run(run, 60) == "FAILURE"
        assert not ranks(place)
        assert pages.materialize(*keys, KEY, seconds=600) == "SUCCESS"
        tags = {tag["key"]: tag["value"] for tag in pages.latest(KEY)["tags"]}
        assert tags["dagster/data_version"] == record(place).version
        legs = record(place).made["legs"]
        assert [leg["processes"] for leg in legs] == [2, 2]
        assert legs[1]["step"] > 0
    finally:
        pages.end()
