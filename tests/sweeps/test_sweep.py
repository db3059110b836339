"""A sweep from end to end: rungs, kills, stopping, points of their own, the page and the table."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.core.artefact import Artefact, build_manifest
from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.store import Store
from pipelines.core.tracking import Tracker
from pipelines.core.work import Work
from pipelines.lineage.points import farthest
from pipelines.lineage.views import open_current
from pipelines.orchestration.driving import instance_in
from pipelines.orchestration.graph import build
from pipelines.recipe.loading import load_recipe
from pipelines.recipe.schema import Recipe
from pipelines.stages import stages
from pipelines.sweeps.artefacts import SweepComparison, Trial
from pipelines.training.artefacts import Checkpoint
from tests.conftest import SMALLER, Place

# The rate of 0.00001 learns little and the narrow network less, so that some choices are hopeless.
SWEEP = """\
sweep:
  points: {training.optimizer.matrix_learning_rate: [0.02, 0.00001], model.d_model: [16, 48]}
  seeds: [3, 4]
  stop: {after: 0.5, keep: 1}
"""
OWN = "matrix_learning_rate=0.02,d_model=16,seed=3"  # the values of the recipe itself
KILLED = """
import os, signal
from pipelines.core.work import Work
save, saved = Work.save_checkpoint, []
def killing(*args, **kwargs):
    save(*args, **kwargs)
    saved.append(1)
    if len(saved) == COUNT: os.kill(os.getpid(), signal.SIGKILL)
Work.save_checkpoint = killing
"""


@dataclass(frozen=True)
class Swept(Place):
    """A store with a finished sweep of ``recipe``, and what the command said."""

    path: Path
    out: str

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.path)

    def declared(self, name: str) -> Declaration:
        return next(one for one in stages(self.recipe) if one.key == f"smaller/{name}")

    def points(self) -> dict[str, Artefact]:
        ways = self.declared("sweep").points
        return {name: farthest(self.store, way, self.project) for name, way in ways.items()}

    def comparison(self) -> SweepComparison:
        return self.store.current("smaller/sweep_comparison", SweepComparison)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A store with the tokens of a recipe with a sweep, and the recipe."""
    folder = tmp_path_factory.mktemp("sweep")
    path = folder / "smaller.yaml"
    path.write_text(SMALLER.replace("steps: 12,", "steps: 24,") + SWEEP)
    place = Place(folder / "home", folder / "store")
    said = place.dragon("run", str(path), "--select", "smaller/token_shards")
    assert said.code == 0, said.out + said.err
    return place, path


@pytest.fixture(scope="module")
def swept(data: tuple[Place, Path]) -> Swept:
    """The sweep, killed in its middle and then run again."""
    place, path = data
    uncut = Path(shutil.copytree(place.root, place.root.with_name("uncut"), symlinks=True))
    killed = place.start("sweep", str(path), first=KILLED.replace("COUNT", "9"))
    out, err = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, out + err
    said = place.dragon("sweep", str(path))
    assert said.code == 0, said.out + said.err
    assert "goes on from the checkpoint" in said.out
    other = replace(place, root=uncut).dragon("sweep", str(path))
    assert other.code == 0, other.out + other.err
    return Swept(place.home, place.root, path, said.out)


# Rungs


def made(declared: Declaration, folder: Path, place: Place, work: Work) -> str:
    """The version that a declaration makes in a work area, by a plain call."""
    loaded = {key: open_current(place.store, key) for key in declared.upstream()}
    folder.mkdir()
    decides = declared.decided_by(loaded, place.project)
    making = Making(declared.address, folder, place.project, work, decides=decides)
    declared.make()(making, **declared.arguments(loaded))
    return build_manifest(folder).decode()


@pytest.mark.parametrize("number", [0, 3])
def test_a_point_in_pieces_is_the_uninterrupted_point(
    number: int, data: tuple[Place, Path], tmp_path: Path
) -> None:
    """Bit for bit, and so is its start that is made after its end, from a later checkpoint."""
    place, path = data
    recipe = load_recipe(path)
    ways = next(one for one in stages(recipe) if one.points).points
    way = list(ways.values())[number]
    works = {name: Work(tmp_path / name) for name in ("pieces", "whole", "anew")}
    for work in works.values():
        work.folder.mkdir()
    (start, whole) = (made(one, tmp_path / one.makes.__name__, place, works["pieces"])
                      for one in way)  # fmt: skip
    assert whole == made(way[-1], tmp_path / "uncut", place, works["whole"])
    assert start == made(way[0], tmp_path / "start anew", place, works["anew"])
    assert start == made(way[0], tmp_path / "start later", place, works["whole"])


def test_a_start_has_the_validations_of_its_settings(
    data: tuple[Place, Path], tmp_path: Path
) -> None:
    """Also where the training went on beyond it with other validations; and it has none of them."""
    place, path = data

    def way(*changes: tuple[str, str]) -> tuple[Declaration, ...]:
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        changed = tmp_path / "smaller.yaml"
        changed.write_text(text)
        ways = next(one for one in stages(load_recipe(changed)) if one.points).points
        return next(iter(ways.values()))

    seldom = way(("every: 6", "every: 18"))  # its start has 18 steps, and one validation
    often = way(("every: 6", "every: 3"), ("after: 0.5", "after: 0.25"))  # 6 and 12 steps
    shared, alone = Work(tmp_path / "shared"), Work(tmp_path / "alone")
    for work in (shared, alone):
        work.folder.mkdir()
    assert seldom[0].settings.steps == 18  # type: ignore[union-attr]
    made(seldom[0], tmp_path / "seldom", place, shared)
    for number in (0, 1):
        mine = made(often[number], tmp_path / f"mine {number}", place, shared)
        assert mine == made(often[number], tmp_path / f"true {number}", place, alone)
    curve = json.loads((tmp_path / "mine 1" / "curve.json").read_text())
    assert [step for step, _ in curve["validation"]] == [3, 6, 9, 12]
    end = made(often[-1], tmp_path / "end", place, shared)
    assert end == made(often[-1], tmp_path / "true end", place, alone)


# The whole of it


def test_a_killed_sweep_goes_on_to_the_same_end(swept: Swept) -> None:
    uncut = Store(swept.root.with_name("uncut"))
    ours = swept.comparison()
    assert uncut.current("smaller/sweep_comparison", SweepComparison).version == ours.version
    other = replace(swept, root=uncut.root).points()
    for name, point in swept.points().items():
        assert point.version == other[name].version, name


def test_hopeless_points_are_stopped_and_the_best_is_not(swept: Swept) -> None:
    points = swept.points()
    stopped = {name for name, point in points.items() if isinstance(point, Trial)}
    assert stopped
    assert {name.rpartition(",")[0] for name in stopped} == {
        name for one in swept.comparison().content()["comparisons"] for name in one["stopped"]
    }
    content = swept.comparison().content()
    assert not any(name.startswith(content["best"]) for name in stopped)
    for name in stopped:
        record = swept.store.record(points[name].derivation)
        assert record is not None
        assert record.makes == "Trial"
        assert record.decides["recipe"]["steps"] == 12
        assert "model.safetensors" not in points[name].files
        assert points[name].figures()["planned_steps"] == 24
        work = farthest(swept.store, swept.declared("sweep").points[name][:1], swept.project)
        assert work.version == points[name].version
    assert swept.comparison().figures()["steps_saved_share"] == len(stopped) * 12 / (8 * 24)


def test_a_point_is_the_foundation_of_the_recipe_with_its_values(
    swept: Swept, tmp_path: Path
) -> None:
    """A promoted point is reused; the recipe's own, which was stopped, goes on as foundation."""
    root = Path(shutil.copytree(swept.root, tmp_path / "store", symlinks=True))
    other = replace(swept, root=root)
    assert isinstance(other.points()[OWN], Trial)
    select = ("--select", "smaller/foundation")
    said = other.dragon("run", str(other.path), *select)
    assert said.code == 0, said.err
    assert "smaller/foundation: goes on from the checkpoint at step 12" in said.out
    foundation = other.store.current("smaller/foundation", Checkpoint)
    assert other.points()[OWN].version == foundation.version
    values = other.comparison().content()["best"].replace("=", ": ").split(",")
    promoted = tmp_path / "smaller.yaml"
    text = other.path.read_text().partition("sweep:")[0]
    text = text.replace("d_model: 16", values[1])
    promoted.write_text(text.replace("{steps", f"{{optimizer: {{{values[0]}}}, steps"))
    said = other.dragon("run", str(promoted), *select)
    assert said.code == 0, said.err
    line = next(one for one in said.out.splitlines() if "smaller/foundation" in one)
    assert "reused" in line


def test_the_table_the_page_and_the_json_tell_the_same(swept: Swept) -> None:
    content = swept.comparison().content()
    best = next(one for one in content["choices"] if one["name"] == content["best"])
    assert f"The best choice is {best['name']} with a validation loss of {best['mean']:.3f}" in (
        swept.out
    )
    told = json.loads(swept.dragon("sweep", str(swept.path), "--json").out)
    assert told["best"] == content["best"]
    assert set(told["seconds"]) == set(swept.points())
    page = (swept.home / "reports" / "smaller-sweep.html").read_text()
    for choice in content["choices"]:
        assert choice["name"] in page
    for one in content["adopt"]:
        assert f"{one['setting']}: {one['value']}  # now" in page
        assert f"{one['setting']}: {one['value']}  # now" in swept.out
    assert page.count("<img") == 1 + 2  # the curves, and an effect for each setting
    assert "Steps saved" in page
    assert "stopped after 50%" in page
    assert str(swept.home) not in page


def events(swept: Swept) -> dict[str, dg.AssetMaterialization]:
    """The last materialization of each partition."""
    with instance_in(str(swept.home / "dagster")) as instance:
        key = dg.AssetKey(["smaller", "sweep"])
        found = instance.fetch_materializations(key, limit=200, ascending=True).records
        return {
            str(one.partition_key): one.asset_materialization
            for one in found
            if one.asset_materialization is not None
        }


def test_dagster_knows_each_point_and_what_became_of_it(swept: Swept) -> None:
    told = events(swept)
    points = swept.points()
    assert set(told) == set(points)
    for name, point in points.items():
        metadata = told[name].metadata
        outcome = metadata["outcome"].value
        assert isinstance(outcome, str)
        if isinstance(point, Trial):
            assert outcome.startswith("stopped after 12 of 24 steps: forecast")
        else:
            assert outcome == "trained to its end"
        assert metadata["version"].value == point.version[:12]
        assert {"links", "derivation", "size"} <= set(metadata)
    with instance_in(str(swept.home / "dagster")) as instance:
        key = dg.AssetKey(["smaller", "sweep_comparison"])
        event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert {"verdict", "adopt", "choices", "curves"} <= set(shown)
    assert "/sweeps/smaller" in str(shown["links"].value)


def test_stopped_points_go_on_when_a_person_wants_them(swept: Swept, tmp_path: Path) -> None:
    """One alone in Dagster, and all with --all; then nothing is a forecast."""
    root = Path(shutil.copytree(swept.root, tmp_path / "store", symlinks=True))
    other = replace(swept, root=root)
    before = other.comparison().content()
    stopped = next(name for name, one in other.points().items() if isinstance(one, Trial))
    definitions = build(other.project, [other.recipe], tracker=Tracker(other.project.mlflow))
    with instance_in(str(other.home / "dagster")) as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        key = dg.AssetKey(["smaller", "sweep"])
        asked: dict[str, Any] = {"asset_selection": [key], "partition_key": stopped}
        assert job.execute_in_process(instance=instance, **asked).success
    assert isinstance(other.points()[stopped], Checkpoint)
    said = other.dragon("sweep", str(other.path), "--all")
    assert said.code == 0, said.err
    assert all(isinstance(point, Checkpoint) for point in other.points().values())
    after = other.comparison()
    assert after.figures()["points_stopped"] == 0
    assert after.figures()["steps_saved_share"] == 0
    assert after.content()["comparisons"] == before["comparisons"], (
        "a decision depends on the curves alone"
    )


def test_a_recipe_without_a_sweep_says_how_to_have_one(place_without: Place) -> None:
    fault = place_without.dragon("sweep", "tiny").fault
    assert fault == (
        "dragon: tiny has no sweep; add a section such as 'sweep: {points: {training.batch_size:"
        " [8, 16]}}'"
    )


@pytest.fixture
def place_without(tmp_path: Path) -> Place:
    return Place(tmp_path / "home", tmp_path / "store")


TWELVE = """\
description: A sweep in miniature
seed: 7
corpora:
  toy:
    source: {kind: generated, generator: dialogues, documents: 1500, seed: 1}
    split: {validation: 0.1, test: 0.1}
tokenizer: {kind: bpe, vocab_size: 512}
model: {architecture: gpt, preset: modern, d_model: 32, n_layers: 2, n_heads: 2, context_length: 32}
training: {steps: 240, batch_size: 8, precision: fp32, validate_every: 20, validation_batches: 3}
sweep:
  points: {training.optimizer.matrix_learning_rate: [0.002, 0.02, 0.1], model.d_model: [16, 32]}
  seeds: [1, 2]
  stop: {after: 0.125, keep: 2}
"""


@pytest.mark.slow
def test_twelve_points_save_two_fifths_of_the_steps_and_keep_the_best(
    tmp_path: Path, place_without: Place
) -> None:
    """The best by the forecasts is the best of all when every point is trained to its end."""
    path = tmp_path / "toy.yaml"
    path.write_text(TWELVE)
    said = place_without.dragon("sweep", str(path), "--json")
    assert said.code == 0, said.err
    stopped = json.loads(said.out)
    assert sum(len(choice["seeds"]) for choice in stopped["choices"]) == 12
    assert stopped["steps"]["trained"] <= 0.6 * stopped["steps"]["planned"]
    said = place_without.dragon("sweep", str(path), "--all", "--json")
    assert said.code == 0, said.err
    whole = json.loads(said.out)
    assert whole["steps"]["trained"] == whole["steps"]["planned"]
    assert whole["best"] == stopped["best"]
    assert whole["comparisons"] == stopped["comparisons"]
