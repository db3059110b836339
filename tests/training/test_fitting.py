"""How training is run: the rates that are left out, and what surrounds a run and may move it."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import math
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from model.architectures import build, find
from model.batches.batching import TokenStream, Windows
from model.batches.examples import Examples
from model.batches.masking import Masked
from model.training.distributed import Group
from model.training.loop import Step, train
from model.training.objectives import OBJECTIVES
from pipelines.core.declaration import Declaration, found
from pipelines.core.project import CHECKOUT, Project
from pipelines.recipe.loading import load_recipes
from pipelines.stages import declare
from pipelines.training import states
from pipelines.training.fitting import optimizer_of, schedule_of
from pipelines.training.options import Training
from tests.training.running import Stopped, stop_at, trained

BYTES = Path(__file__).read_bytes() + Path(train.__code__.co_filename).read_bytes()
CONTEXT, STEPS, VOCABULARY = 16, 24, 128
SMALL = {"d_model": 32, "n_heads": 4, "context_length": CONTEXT}
LAYERS = {"encoder_decoder": {"encoder_layers": 1, "decoder_layers": 1}}
# By name: a network whose head is its embedding, as some preset has it.
TIED = {
    "gpt2": ("gpt", "gpt2", {}),
    "smollm2": ("gpt", "smollm2", {"n_kv_heads": 2, "d_feed_forward": 128}),
    "modern": ("gpt", "modern", {"tied_head": True}),
    "bert": ("bert", "bert", {"dropout": 0.0}),
    "original": ("encoder_decoder", "original", {"dropout": 0.0, "label_smoothing": 0.0}),
}


def bytes_for(objective: str, config: Any) -> Any:
    """Batches of this file's bytes, or of pieces of it that are to be repeated."""
    tokens = torch.tensor(list(BYTES))
    if objective == "sequence_to_sequence":
        rows = tokens[: len(tokens) // CONTEXT * CONTEXT].view(-1, CONTEXT).tolist()
        counted = [[False] + [True] * (CONTEXT - 1)] * len(rows)
        sizes = {"pad": 0, "context_length": CONTEXT, "batch_size": 8}
        return Examples(rows, counted=counted, sources=rows, **sizes)
    windows = Windows({"bytes": TokenStream([tokens])}, {"bytes": 1.0}, CONTEXT, 8, seed=0)
    if objective == "masked_token":
        return Masked(windows, vocab_size=config.vocab_size, end_of_text=0, seed=0)
    return windows


def losses(network: Any, objective: str, batches: Any, training: Training) -> list[float]:
    events = train(
        network,
        OBJECTIVES[objective],
        batches.batch,
        optimizer_of(network, training, "fp32"),
        steps=STEPS,
        schedule=schedule_of(training, STEPS),
    )
    return [event.loss for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("name", TIED)
def test_default_rates_train_a_tied_network(name: str, kind: str) -> None:
    """Drawn anew it never knows less than nothing; trained on, it forgets nothing on the way."""
    architecture, preset, options = TIED[name]
    sizes = {**SMALL, **LAYERS.get(architecture, {"n_layers": 1}), **options}
    config = find(architecture).configure(preset, **sizes, vocab_size=VOCABULARY)
    assert config.tied_head
    objective = find(architecture).objective
    network, batches = build(architecture, config, seed=0), bytes_for(objective, config)
    left_out = Training.model_validate({"steps": STEPS, "optimizer": {"kind": kind}})
    first = losses(network, objective, batches, left_out.resolved(tied=True, trained=False))
    assert max(first) < max(first[0], math.log(VOCABULARY)) + 0.1
    assert first[-1] < first[0] - 0.5
    second = losses(network, objective, batches, left_out.resolved(tied=True, trained=True))
    assert max(second) < max(first[-STEPS // 3 :]) + 0.2


# What surrounds a run and may move it


class Pair(Group):
    """A process of a group of two, as far as it tells."""

    world = 2


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Where a training was ended after its checkpoint at step 8."""
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", stop_at(9))
    return tmp_path / "cut"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of the uninterrupted training."""
    return str(trained(tmp_path_factory.mktemp("straight"))["weights"])


def test_a_clock_that_jumps_decides_nothing(
    cut: Path, straight: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = 365 * 86_400.0
    times = itertools.cycle([0.0, 30 * year, 30 * year, year, 60 * year, -year])
    with monkeypatch.context() as patch:
        for name in ("time", "monotonic", "perf_counter"):
            patch.setattr(f"time.{name}", lambda: next(times))
        assert trained(tmp_path / "jumps")["weights"] == straight
        assert trained(cut)["weights"] == straight


@pytest.mark.parametrize(
    ("name", "patched", "value", "told"),
    [
        (
            "torch",
            "pipelines.training.fitting.library_versions",
            lambda *_, **__: {"torch": "9.9"},
            "9.9",
        ),
        ("cpu_capability", "torch.backends.cpu.get_cpu_capability", lambda: "ABACUS", "ABACUS"),
        ("cpu", "pipelines.core.processor._name", lambda: "An Abacus 3", "An Abacus 3"),
        ("deterministic", "torch.are_deterministic_algorithms_enabled", lambda: True, "True"),
        ("processes", "pipelines.training.fitting.group_of", lambda _: Pair(), "2"),
        ("matmul_precision", "torch.get_float32_matmul_precision", lambda: "medium", "medium"),
    ],
)
def test_what_surrounds_a_run_and_is_another_on_resume_is_told_and_recorded(
    cut: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    patched: str,
    value: Any,
    told: str,
) -> None:
    monkeypatch.setattr(patched, value)
    with caplog.at_level(logging.WARNING, "dragon.training"):
        legs = trained(cut)["made"]["legs"]
    assert [leg["step"] for leg in legs] == [0, 8]
    assert str(legs[1][name]) == told != str(legs[0][name])
    line = f"tiny/foundation: began with {name}={legs[0][name]}, goes on with {told};"
    assert [r.getMessage() for r in caplog.records if r.getMessage().startswith(line)]


def test_a_setting_that_is_there_no_more_on_resume_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MKL_CBWR", "COMPATIBLE")
        with pytest.raises(Stopped):
            trained(tmp_path, stop_at(9))
    with caplog.at_level(logging.WARNING, "dragon.training"):
        trained(tmp_path)
    assert "began with mkl_cbwr=COMPATIBLE, goes on with None;" in caplog.text


def with_plain_instructions(folder: Path) -> tuple[dict[str, Any], str]:
    """The same training by a process that uses the oldest instructions, and what it said."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_another_processors_weights_are_the_same_or_the_difference_is_recorded(
    cut: Path, straight: str, tmp_path: Path
) -> None:
    here = torch.backends.cpu.get_cpu_capability()
    whole, said = with_plain_instructions(tmp_path / "plain")
    assert "began with" not in said
    assert whole["made"]["cpu_capability"] == "DEFAULT"
    assert whole["weights"] == straight or here != "DEFAULT"
    resumed, said = with_plain_instructions(cut)
    capabilities = [leg["cpu_capability"] for leg in resumed["made"]["legs"]]
    assert capabilities == [here, "DEFAULT"]
    warned = f"began with cpu_capability={here}, goes on with DEFAULT;" in said
    assert warned == (here != "DEFAULT")


def test_a_resumed_state_takes_no_memory_from_the_steps_after_it(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state that a run went on from does not outlive its use."""
    kept: list[weakref.ref[Any]] = []
    alive: list[int] = []
    load = states.load

    def loaded(content: bytes) -> Any:
        found = load(content)
        kept.extend(weakref.ref(tensor) for tensor in found.values())
        return found

    def count(_: int) -> None:
        gc.collect()
        alive.append(sum(ref() is not None for ref in kept))

    monkeypatch.setattr(states, "load", loaded)
    trained(cut, count)
    assert kept
    assert alive == [0] * len(alive)


# The precision that a machine chooses


def declarations() -> dict[str, Declaration]:
    """Every asset of the shipped recipes."""
    recipes = load_recipes(CHECKOUT / "recipes").values()
    return {declared.key: declared for declared in declare(recipes)}


def chosen_by(recipe_part: Any) -> set[str]:
    """The precisions that a part of a recipe asks for."""
    if isinstance(recipe_part, dict):
        own = {recipe_part["precision"]} if "precision" in recipe_part else set()
        return own.union(*map(chosen_by, recipe_part.values()))
    return set()


def test_the_precision_that_a_machine_chose_is_in_the_derivation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights of a machine that multiplies in bf16 are none of one that does not."""
    monkeypatch.setattr("model.training.precision.fastest_precision", lambda _: "bf16")
    left_to_the_machine, said = set(), set()
    for key, declared in declarations().items():
        asked, observed = chosen_by(declared.static()["recipe"]), {}
        if declared.observe and asked:
            observed = found(declared.observe)(declared.settings, Project.here())
        assert observed.get("precision") == ("bf16" if "auto" in asked else None), key
        (left_to_the_machine if "auto" in asked else said if asked else set()).add(key)
    kinds = {key.rpartition("_")[2].rpartition("/")[2] for key in left_to_the_machine}
    models = {"foundation", "assistant", "classifier", "domain", "translator"}
    assert kinds == models | {"ladder", "reference", "evaluation"}
    assert "tiny/foundation" in said


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    done = trained(Path(sys.argv[1]))
    print(json.dumps({name: done[name] for name in ("weights", "made")}))
