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
import torch
from safetensors.torch import load

from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.tracking import Tracker
from pipelines.core.work import Work
from pipelines.lineage.views import open_current
from pipelines.recipe.loading import load_recipe, load_recipes
from pipelines.stages import declare
from pipelines.training import launching
from pipelines.training.artefacts import Checkpoint
from pipelines.training.launching import make_together
from pipelines.training.options import Pretraining
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


def test_settings_of_a_branch_can_be_written_down_and_read_again() -> None:
    origin = {"asset": "tiny/foundation_states", "step": 4}
    training = Pretraining.model_validate({"steps": 9, "from": origin})
    written = json.loads(json.dumps(training.written()))
    assert Pretraining.model_validate(written) == training


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
        made.store.open(KEY, r.version, Checkpoint, r.derivation).curve() for r in (in_one, in_two)
    ]
    for kind in ("train", "validation"):
        one, two = (curve[kind] for curve in curves)
        assert [step for step, _ in one] == [step for step, _ in two]
        assert [x for _, x in two] == pytest.approx([x for _, x in one], rel=1e-4)
    assert tracked(made, in_two) == [[step, pytest.approx(x)] for step, x in curves[1]["train"]]
    assert "12 steps" in said.out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_keep_the_states_that_one_keeps(
    made: Place, recipe_file: WriteRecipe
) -> None:
    """The copying of the result out of them takes one process."""
    kept = []
    for processes in (1, 2):
        keep = f"checkpoint_every: 4, keep: {{every: 3}}, processes: {processes}"
        said = made.dragon(*making(recipe_file((TWO[0], keep))))
        assert said.code == 0, said.err
        kept.append(open_current(made.store, f"{KEY}_states"))
    assert kept[0].steps() == kept[1].steps() == [3, 6, 9, 12]
    for step in (3, 12):
        one, two = (load(states.state(step)) for states in kept)
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[name], two[name], rtol=1e-2, atol=1e-4) for name in one)
    assert "legs" not in record(made).made


def test_a_line_that_cannot_be_repeated_is_a_fault(tmp_path: Path) -> None:
    heard, project = launching._Heard(), Project(tmp_path, tmp_path, tmp_path)
    with launching._hearing(tmp_path / "told", Making("a/b", tmp_path, project), heard):
        (tmp_path / "told").write_text('{"what": "ma\n')
    assert [fault["kind"] for fault in heard.faults] == ["bug"]
    assert not heard.is_whole


def test_processes_that_end_without_their_last_line_have_made_nothing(
    tmp_path: Path, made: Place, recipe_file: WriteRecipe
) -> None:
    declared = {d.key: d for d in declare([load_recipe(recipe_file(TWO))])}[KEY]
    (tmp_path / "work").mkdir()
    work = Work(tmp_path / "work")
    loaded = {key: open_current(made.store, key) for key in declared.upstream()}

    def ends_at_once(_: list[str], hearing: launching.Hearing) -> int:
        with hearing:
            return 0

    with pytest.raises(ValueError, match="one of its 2 processes died"):
        make_together(declared, Making(KEY, tmp_path, made.project, work), loaded, ends_at_once)


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
    curves = [json.loads(m.beside["curve.json"]) for m in (first, second)]
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
