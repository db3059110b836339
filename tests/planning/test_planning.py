"""Plans: the law of the loss, the cost of each asset, and a plan of the smallest recipes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.architectures import find
from pipelines.planning.law import LOWEST, Law, quotient_of, total
from pipelines.planning.proposal import NEAREST, propose
from pipelines.planning.rehearsal import Short, shortened
from pipelines.recipe.loading import load_recipes
from pipelines.stages import stages
from tests.conftest import CHECKOUT, Chain, Place

LAW = Law(constant=0.8, falling=0.0, above=0.0, deviation=0.1, growth=0.05)


def test_the_law_goes_on_as_a_power_law_above_a_floor() -> None:
    beta, floor = -math.log2(0.8), 1.1

    def loss(steps: float) -> float:
        return floor + 3 * steps**-beta

    told, deviation = LAW.forecast([loss(25), loss(50), loss(100)], 3.5, 1.0)
    assert told == pytest.approx(loss(100 * 2**3.5), abs=1e-9)
    assert deviation == pytest.approx(0.1 * (loss(50) - loss(100)) * 3.5)
    assert LAW.forecast([loss(25), loss(50), loss(100)], 0.0, 1.0) == (loss(100), 0.0)


@pytest.mark.parametrize(("q", "doublings"), [(0.7, 3.0), (1.0, 2.0), (1.1, 0.5)])
def test_the_quotient_is_found_again(q: float, doublings: float) -> None:
    assert quotient_of(0.2, 0.2 * total(q, doublings), doublings) == pytest.approx(q, rel=1e-6)


def test_a_loss_that_rises_stays_and_none_is_below_the_best_known() -> None:
    assert LAW.forecast([2.0, 1.9, 2.1], 4, 1.5) == (2.1, 0.0)
    told, _ = Law(1.1, 0.0, 0.0, 0.1, 0.05).forecast([4.0, 3.0, 2.0], 10, 1.5)
    assert told == LOWEST * 1.5


def test_the_fitted_law_is_in_the_range_of_its_trainings() -> None:
    law = Law.load()
    assert 0.6 < law.quotient(0.8, 0.0) < 1.0
    assert law.quotient(0.8, 0.5) > law.quotient(0.8, 0.0), "what lies high falls for longer"
    assert 0.02 < law.deviation < 0.3
    assert 0.0 < law.growth < 0.3


def test_a_proposal_fits_the_time_and_grows_with_it() -> None:
    config = replace(find("gpt").tiny, d_model=128, n_heads=2, n_layers=4, context_length=64)
    flops = find("gpt").flops

    def after(steps: float) -> float:
        return 1.2 + 2 * steps**-0.35

    sizes = []
    for minutes in (1, 10, 100):
        found = propose("gpt", config, 60 * minutes, 0.2, after, 0.04)
        assert found is not None
        other = replace(config, **found.sizes)
        times = flops(other, 1.0) / flops(config, 1.0)
        assert 0.9 * 60 * minutes < found.steps * 0.2 * times <= 60 * minutes
        assert abs(math.log2(times)) <= NEAREST
        sizes.append(times)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert propose("word2vec", find("word2vec").tiny, 60, 0.1, after, 0.04) is None


def test_a_cut_source_counts_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.planning.rehearsal.MOST_TEXT", 25)
    making = Short("a/raw_text", tmp_path, None)  # type: ignore[arg-type]
    passed = list(making.telling(["x" * 10] * 9, len))
    assert len(passed) == 3
    assert (making.used, making.whole, making.counted) == (30, 90, True)
    monkeypatch.setattr("pipelines.planning.rehearsal.COUNT_SECONDS", -1.0)
    making = Short("a/raw_text", tmp_path, None)  # type: ignore[arg-type]
    list(making.telling(["x" * 10] * 9, len))
    assert not making.counted


def test_every_training_of_every_recipe_can_be_shortened() -> None:
    count = 0
    for recipe in load_recipes(CHECKOUT / "recipes").values():
        for declared in stages(recipe):
            if getattr(declared.settings, "training", None) is not None:
                short = shortened(declared.settings, 7)
                assert type(short) is type(declared.settings)
                assert short.training.steps == 7  # type: ignore[attr-defined]
                count += 1
    assert count > 10


def test_a_plan_of_an_empty_store_writes_nothing_into_it(
    fresh: Place, recipe_file: Callable[..., Path]
) -> None:
    path = recipe_file(("steps: 12", "steps: 400"))
    said = fresh.dragon("plan", str(path), "--seconds", "20", "--minutes", "3", "--json")
    assert said.code == 0, said.err
    plan = json.loads(said.out)
    assert not fresh.root.exists()
    assert plan["recipe"] == "smaller"
    assert plan["parameters"] == 2 * 300 * 16 + 12 * 16 * 16
    by_key = {cost["key"]: cost for cost in plan["costs"]}
    foundation = by_key["smaller/foundation"]
    assert foundation["how"] == "rehearsed"
    assert foundation["steps"] == 400
    assert foundation["seconds"] > 0
    assert 50e6 < foundation["memory"] < 10e9
    assert foundation["state"] > 4 * plan["parameters"]
    assert plan["seconds"] >= sum(c["seconds"] for c in plan["costs"] if c["seconds"]) - 1e-6
    read = plan["epochs"]["talk"]
    assert read > 0.1
    told = plan["forecast"]
    assert 0.2 < told["bits_per_byte"] < 5
    losses = list(told["after"].values())
    # On a quick machine the longest rehearsal is the whole training.
    assert losses[0] > losses[-1] >= told["bits_per_byte"]
    assert plan["proposal"]["steps"] > 0


def test_a_plan_of_what_is_made_knows_the_loss_and_takes_no_time(chain: Chain) -> None:
    said = chain.dragon("plan", "tiny")
    assert said.code == 0, said.err
    assert said.out.count("made already") >= 15
    figures = chain.store.current_record("tiny/foundation")
    assert figures is not None
    assert "Time:" in said.out
    assert "0 s" in said.out
    evaluation = json.loads(chain.dragon("show", "tiny/foundation_evaluation", "--json").out)
    told = float(said.out.partition("Loss:")[2].split()[0])
    assert told == pytest.approx(evaluation["figures"]["validation_bits_per_byte"], abs=0.01)


def test_a_plan_of_an_unknown_recipe_is_refused(fresh: Place) -> None:
    assert "recipe 'tinny': not one of" in fresh.dragon("plan", "tinny").fault


def test_a_plan_leaves_a_sweep_out_and_says_so(
    fresh: Place, recipe_file: Callable[..., Path]
) -> None:
    path = recipe_file(
        (
            "training: {steps",
            "sweep: {points: {training.clip: [0.5, 1.0]}}\ntraining: {processes: 2, steps",
        )
    )
    said = fresh.dragon("plan", str(path), "--seconds", "1", "--json")
    assert said.code == 0, said.err
    plan = json.loads(said.out)
    assert not [cost for cost in plan["costs"] if "sweep" in cost["key"]]
    assert "smaller/sweep: its 2 trainings are not in this plan" in plan["notes"]
    assert any("smaller/foundation: tried in one process" in note for note in plan["notes"])


def test_a_plan_of_a_branch_reads_the_trail_of_the_other_recipe(
    made: Place, recipe_file: Callable[..., Path]
) -> None:
    every = "checkpoint_every: 4"
    branch = (every, "from: {asset: smaller/foundation_states, step: 8}")
    path = str(recipe_file(branch, name="branch"))
    said = made.dragon("plan", path, "--seconds", "1")
    assert said.code == 0, said.err
    assert "branch/foundation: reads smaller/foundation_states: not made yet" in said.out
    kept = recipe_file((every, "keep: {every: 4}"))
    assert made.dragon("run", str(kept), "--select", "smaller/foundation").code == 0
    said = made.dragon("plan", path, "--seconds", "1", "--json")
    assert said.code == 0, said.err
    (cost,) = [c for c in json.loads(said.out)["costs"] if c["key"] == "branch/foundation"]
    assert (cost["how"], cost["steps"]) == ("rehearsed", 4)


def test_a_lack_of_memory_is_a_fault_of_the_plan(
    fresh: Place, recipe_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.training import fitting

    def lacks(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(fitting, "optimizer_of", lacks)
    said = fresh.dragon("plan", str(recipe_file()), "--seconds", "1")
    assert said.code == 0, said.err
    assert "smaller/foundation: this machine has too little memory for it" in said.out
