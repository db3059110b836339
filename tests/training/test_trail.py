"""The trail of a training: what is kept of it, within which bytes, and what branches from it."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.artefact import read_manifest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.work import Work, seal
from pipelines.recipe.loading import load_recipe
from pipelines.stages import stages
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.options import Keep, Pretraining
from pipelines.training.trail import Trail, name_of, thinned_out
from tests.conftest import Place
from tests.training.running import Stopped, stop_at, trained


def walk(count: int, room: int) -> list[int]:
    """What is left of a trail of ``count`` states, one a step, with room for ``room`` of them."""
    kept: list[int] = []
    for step in range(1, count + 1):
        kept.append(step)
        gone = thinned_out(dict.fromkeys(kept, 10), room * 10)
        kept = [step for step in kept if step not in gone]
    return kept


def test_a_trail_is_thinned_evenly_and_keeps_the_newest() -> None:
    assert walk(4, 4) == [1, 2, 3, 4]
    assert walk(8, 4) == [2, 4, 6, 8]
    assert walk(16, 4) == [4, 9, 13, 16]
    assert walk(5, 1) == [5]


@given(st.integers(1, 60), st.integers(2, 12))
def test_no_gap_of_a_thinned_trail_is_much_wider_than_another(count: int, room: int) -> None:
    kept = walk(count, room)
    gaps = [after - before for before, after in itertools.pairwise([0, *kept])]
    assert len(kept) == min(count, room)
    assert kept[-1] == count
    assert max(gaps[:-1], default=1) <= 3 * min(gaps[:-1], default=1)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 400))
def test_the_limit_is_exact_in_bytes(sizes: list[int], limit: int) -> None:
    by_step = {10 * (number + 1): size for number, size in enumerate(sizes)}
    gone = thinned_out(by_step, limit)
    left = {step: size for step, size in by_step.items() if step not in gone}
    assert sum(left.values()) <= limit or list(left) == [max(by_step)]
    # Nothing went without need: with the last one that went it would be too much.
    assert not gone or sum(left.values()) + by_step[gone[-1]] > limit


# At work


def kept(folder: Path, last: int | None = None, *, gigabytes: float = 1.0) -> dict[str, bytes]:
    """The trail of a training, ended before step ``last`` if it is given."""
    made = {}

    def trail(making: Any) -> Trail:
        made["trail"] = Trail(making, Keep(every=2, gigabytes=gigabytes))
        return made["trail"]

    if last is None:
        trained(folder, trail=trail, checkpoint_every=3)
    else:
        with pytest.raises(Stopped):
            trained(folder, stop_at(last), trail=trail, checkpoint_every=3)
    parts = folder / "work" / "parts"
    return {name_of(step): (parts / name_of(step)).read_bytes() for step in made["trail"].sizes()}


def test_the_trail_of_an_interrupted_run_is_that_of_the_uninterrupted(tmp_path: Path) -> None:
    whole = kept(tmp_path / "whole")
    assert list(whole) == [name_of(step) for step in range(2, 13, 2)]
    size = len(next(iter(whole.values())))
    room = 3.5 * size / 1e9
    thin = kept(tmp_path / "thin", gigabytes=room)
    assert list(thin) == [name_of(step) for step in (4, 8, 12)]
    assert thin.items() <= whole.items()
    for last in range(1, 12):
        kept(tmp_path / str(last), last, gigabytes=room)
        assert kept(tmp_path / str(last), gigabytes=room) == thin, last


def test_killed_between_a_save_and_its_trail_the_state_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, add = kept(tmp_path / "whole"), Trail.add

    def killed(trail: Trail, work: Work, step: int) -> None:
        if step >= 6:
            raise Stopped
        add(trail, work, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trail, "add", killed)
        with pytest.raises(Stopped):
            kept(tmp_path / "killed")
    assert kept(tmp_path / "killed") == whole


def test_a_limit_below_one_state_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"training\.keep\.gigabytes: 1e-06 is less than one"):
        kept(tmp_path, gigabytes=1e-6)


def test_a_limit_below_one_state_is_told_before_the_first_step(tmp_path: Path) -> None:
    size = len(next(iter(kept(tmp_path / "whole").values())))

    def begun(room: float) -> list[int]:
        steps: list[int] = []
        keep = Keep(every=12, gigabytes=room / 1e9)
        with contextlib.suppress(ValueError):
            trained(tmp_path / str(room), steps.append, trail=lambda making: Trail(making, keep))
        return steps

    assert begun(0.8 * size) == []
    assert begun(size) == list(range(12))


def test_the_name_of_a_trail_decides_nothing() -> None:
    def decides(asset: str, step: int) -> Any:
        said = {"steps": 9, "from": {"asset": asset, "step": step}}
        return Pretraining.model_validate(said).decides()

    assert decides("a/foundation_states", 3) == decides("b/foundation_states", 3)
    assert decides("a/foundation_states", 3) != decides("a/foundation_states", 4)


# Through the store


KEPT = ("checkpoint_every: 4", "keep: {every: 4}")


def branching(step: int, asset: str = "smaller/foundation_states") -> tuple[str, str]:
    return "checkpoint_every: 4", f"from: {{asset: {asset}, step: {step}}}"


@pytest.mark.timeout(600)
def test_a_branch_with_unchanged_settings_ends_at_the_unbranched_weights(
    made: Place, recipe_file: Any
) -> None:
    plain = recipe_file(("steps: 12", "steps: 12"), name="plain")
    assert made.dragon("run", str(plain), "--select", "plain/foundation").code == 0
    (version,) = made.store.versions("plain/foundation")
    said = made.dragon("run", str(recipe_file(KEPT)), "--select", "smaller/foundation")
    assert said.code == 0, said.err
    assert made.store.versions("smaller/foundation") == [version]
    (trail,) = made.store.versions("smaller/foundation_states")
    for step in (4, 8):
        path = recipe_file(branching(step), name=f"branch{step}")
        said = made.dragon("run", str(path), "--select", f"branch{step}/foundation")
        assert said.code == 0, said.err
        assert made.store.versions(f"branch{step}/foundation") == [version]
        record = made.store.records(f"branch{step}/foundation", version)[0]
        assert record.decides["inputs"]["origin/states"] == trail
    traced = made.dragon("trace", "branch8/foundation")
    assert traced.code == 0, traced.err
    assert trail[:12] in traced.out
    fault = made.dragon("run", str(recipe_file(branching(5), name="none")), "-s", "none/foundation")
    assert (
        "training.from.step: smaller/foundation_states has no state of step 5; it has 4, 8, 12"
        in (fault.fault)
    )
    slip = recipe_file(branching(4, "smaler/foundation_states"), name="none")
    fault = made.dragon("run", str(slip), "-s", "none/foundation")
    assert "did you mean 'smaller/foundation_states'?" in fault.fault


def test_an_unknown_trail_is_told_before_the_run(made: Place, recipe_file: Any) -> None:
    every = "checkpoint_every: 4"
    path = recipe_file((every, "from: {asset: other/foundation_states, step: 4}"), name="lost")
    said = made.dragon("run", str(path), "--select", "lost/foundation")
    assert "lost.yaml: training.from.asset: other/foundation_states: not made yet" in said.fault
    assert made.dragon("run", str(path), "--select", "lost/token_shards").code == 0


@pytest.mark.timeout(600)
def test_a_run_that_diverged_is_gone_on_with_from_its_trail(
    made: Place, recipe_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rates break it at step 10; from step 8 on it goes with lower ones."""
    from pipelines.training import fitting

    schedule = fitting.schedule_of

    def wild(training: Any, steps: int) -> Any:
        factor = schedule(training, steps)
        broken = training.optimizer.weight_decay == 0.125
        return lambda index: 1e38 if broken and index == 9 else factor(index)

    monkeypatch.setattr(fitting, "schedule_of", wild)
    broken = ("precision: fp32", "precision: fp32, optimizer: {weight_decay: 0.125}")
    command = ("run", str(recipe_file(KEPT, broken)), "--select", "smaller/foundation")
    for _ in range(2):  # the second time the trail is reused
        fault = made.dragon(*command).fault
        assert "the training diverged after step 8" in fault
        assert fault.endswith(
            "write training.from: {asset: smaller/foundation_states, step: 8} into a recipe of"
            " another name"
        )
    assert made.store.versions("smaller/foundation") == []
    path = recipe_file(branching(8), name="lower")
    said = made.dragon("run", str(path), "--select", "lower/foundation")
    assert said.code == 0, said.err
    assert made.store.versions("lower/foundation")


# By plain calls of the makings

WILD = "optimizer: {matrix_learning_rate: 30, embedding_learning_rate: 90, head_learning_rate: 30}"


def made_by(place: Place, recipe: Path, suffix: str, states: Any = None) -> Any:
    """An artefact of a recipe's training, whose shards and tokenizer are in the store."""
    (declared,) = [d for d in stages(load_recipe(recipe)) if d.key.endswith(suffix)]
    loaded: dict[str, Any] = {
        declared.inputs["tokenizer"]: place.store.current("smaller/tokenizer", TokenizerFiles),
        declared.inputs["token_shards"]: place.store.current("smaller/token_shards", TokenShards),
    }
    loaded |= {states.key: states} if states else {}
    folder = recipe.with_suffix("")
    draft, work = folder / "draft", folder / "work"
    draft.mkdir(parents=True)
    work.mkdir()
    project = Project(folder, folder / "home", folder / "store")
    making = Making(declared.key, draft, project, Work(work))
    declared.make()(making, **declared.arguments(loaded))
    version = seal(draft)
    return declared.makes(declared.key, version, "", draft, read_manifest(draft, version))


def test_a_trail_without_best_weights_has_no_losses_that_choose(
    made: Place, recipe_file: Any
) -> None:
    kept = recipe_file(("checkpoint_every: 4", "keep: {every: 4}, patience: 9"))
    states = made_by(made, kept, "foundation_states")
    said = branching(8)[1]
    branch = recipe_file(("checkpoint_every: 4", f"{said}, keep_best: true, {WILD}"), name="best")
    assert made_by(made, branch, "foundation", states).figures()["steps"] == 12


def test_losses_of_other_validations_choose_nothing_in_a_branch(
    made: Place, recipe_file: Any
) -> None:
    kept = recipe_file(("checkpoint_every: 4", "keep: {every: 4}, keep_best: true"))
    states = made_by(made, kept, "foundation_states")
    assert states.trail()["states"]["8"]["looks"]
    said = f"{branching(8)[1]}, keep_best: true, {WILD}"
    alike = made_by(
        made, recipe_file(("checkpoint_every: 4", said), name="alike"), "foundation", states
    )
    assert alike.figures()["steps"] == 6  # the wild rates made it worse
    assert alike.drawn()["talk"]["windows"] == 6 * 4
    other = recipe_file(("checkpoint_every: 4", f"{said}, validation_batches: 1"), name="other")
    assert made_by(made, other, "foundation", states).figures()["steps"] == 12


def test_a_branch_has_read_what_its_trail_had_and_its_own_batches(
    made: Place, recipe_file: Any
) -> None:
    states = made_by(made, recipe_file(KEPT), "foundation_states")
    wide = ("batch_size: 4", "batch_size: 8")
    path = recipe_file(branching(8), wide, name="wide")
    drawn = made_by(made, path, "foundation", states).drawn()["talk"]
    assert drawn["windows"] == 8 * 4 + 4 * 8
    assert drawn["tokens"] == 16 * drawn["windows"]
    before = states.trail()["states"]["8"]["drawn"]["talk"]
    assert drawn["epochs"] == pytest.approx(2 * before["epochs"])
