"""Two processes train what one trains: whole weights in each, or shards.

The two processes of a row are started by the fixture ``pair`` and run all of its cases.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch, TokenStream, Windows, in_order
from model.batches.examples import Examples
from model.batches.masking import Masked
from model.training.adapters import Classifier, add_low_rank, freeze_all_but_last
from model.training.distributed import ALONE, Group, group_of
from model.training.loop import NonFinite, Saved, State, Step, Validated, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer, learning_rate_factor

STEPS = 12
TINY = find("gpt").tiny
STREAM = TokenStream(
    [torch.randint(64, (330,), generator=torch.Generator().manual_seed(0)).to(torch.uint16)]
)
CASES = (
    "adamw",
    "muon",
    "tied",
    "parts",
    "masked",
    "classifier",
    "low rank",
    "pairs",
    "words",
    "fewer rows",
)


def text(rows: int = 6) -> Windows:
    return Windows({"text": STREAM}, {"text": 1.0}, TINY.context_length, rows, seed=0)


def labelled() -> Examples:
    rows = [[i % 64, *range(i % 7 + 1)] for i in range(1, 25)]
    labels = [row[0] % 2 for row in rows]
    return Examples(rows, labels=labels, pad=0, context_length=TINY.context_length, batch_size=6)


def pairs() -> Examples:
    rows = [[(i * j) % 64 for j in range(1, 4 + i % 5)] for i in range(1, 25)]
    counted = [[False] + [True] * (len(row) - 1) for row in rows]
    return Examples(rows, counted=counted, sources=rows, pad=0, context_length=8, batch_size=6)


def words(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    tokens, targets = (torch.randint(32, (6, n), generator=generator) for n in (2, 5))
    tokens[0, 1] = targets[1, 4] = IGNORED
    return Batch(tokens, targets, tuple(map(str, range(6))))


def case(name: str) -> tuple[Any, str, Any, dict[str, Any]]:
    """The network, the objective, the batches by step and the settings of a case."""
    if name == "masked":
        config = find("bert").tiny
        windows = Windows({"text": STREAM}, {"text": 1.0}, config.context_length, 6, seed=0)
        masked = Masked(windows, vocab_size=config.vocab_size, end_of_text=0, seed=0)
        return build("bert", config, 0), "masked_token", masked.batch, {"kind": "muon"}
    if name == "pairs":
        config = replace(find("encoder_decoder").tiny, dropout=0.0)
        network = build("encoder_decoder", config, 0)
        return network, "sequence_to_sequence", pairs().batch, {"kind": "muon"}
    if name == "words":
        config = replace(find("word2vec").tiny, vocab_size=32)
        return build("word2vec", config, 0), "negative_sampling", words, {"kind": "adamw"}
    tied = replace(TINY, tied_head=True, initialisation="gpt2")
    network = build("gpt", tied if name == "tied" else TINY, 0)
    if name in ("classifier", "low rank"):
        if name == "classifier":
            freeze_all_but_last(network, 1)
        classifier = Classifier(network, 2)
        if name == "low rank":
            add_low_rank(classifier, 2, 4.0, torch.Generator().manual_seed(0))
        return classifier, "classify", labelled().batch, {"kind": "adamw"}
    settings = {"kind": "adamw" if name == "adamw" else "muon"}
    if name == "parts":
        settings["accumulate"] = 2
    return network, "next_token", text(1 if name == "fewer rows" else 6).batch, settings


def run(name: str, group: Group = ALONE, **settings: Any) -> dict[str, torch.Tensor]:
    """A training: the curves, the norms, and the whole state at the end and after step 4."""
    network, objective, batches, own = case(name)
    settings = {"steps": STEPS, "checkpoint_every": 4, **own, **settings}
    kind = settings.pop("kind")
    trained = group.spread(network)
    optimizer = Optimizer(
        trained,
        kind,
        learning_rate=0.003,
        matrix_learning_rate=0.01,
        weight_decay=0.1,
        group=group,
    )
    validation = None
    if objective == "next_token":
        settings |= {"validate_every": 6}

        def validation() -> Any:
            return in_order(STREAM, TINY.context_length, 3, windows=7)

    events = list(
        train(
            trained,
            OBJECTIVES[objective],
            batches,
            optimizer,
            schedule=lambda step: learning_rate_factor(step, STEPS, 2, 4),
            clip=0.5,
            validation=validation,
            group=group,
            **settings,
        )
    )
    group.collect(trained, network)
    steps = [event for event in events if isinstance(event, Step)]
    told = {
        "loss": torch.tensor([event.loss for event in steps], dtype=torch.float64),
        "norm": torch.tensor([event.gradient_norm for event in steps], dtype=torch.float64),
        "validation": torch.tensor([e.loss for e in events if isinstance(e, Validated)] or [0.0]),
    }
    for event in events:
        if isinstance(event, Saved) and event.step in (4, STEPS):
            told |= {f"{event.step}/{n}": t for n, t in event.state.tensors.items()}
    return told | {f"end/{n}": t.contiguous() for n, t in network.state_dict().items()}


def of_step(told: dict[str, torch.Tensor], step: int) -> dict[str, torch.Tensor]:
    return {n.removeprefix(f"{step}/"): t for n, t in told.items() if n.startswith(f"{step}/")}


def as_rank(folder: Path, sharding: Any, rank: int) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    group = group_of(sharding)
    for name in CASES:
        told = run(name, group)
        save_file(told, folder / f"{name} {rank}.safetensors")
        if name in ("muon", "tied"):
            state = of_step(load_file(folder / f"{name} 0.safetensors"), 4) if rank == 0 else {}
            dist.barrier()
            state = state or of_step(load_file(folder / f"{name} 0.safetensors"), 4)
            resumed = run(name, group, state=State(4, state))
            save_file(resumed, folder / f"{name} resumed {rank}.safetensors")
            alone = of_step(load_file(folder / f"alone {name}.safetensors"), 4)
            save_file(
                run(name, group, state=State(4, alone)),
                folder / f"{name} from one {rank}.safetensors",
            )
    (folder / f"fault {rank}").write_text(fault(group))
    dist.destroy_process_group()


def fault(group: Group) -> str:
    """What a group says when the loss of one process is not finite."""
    network, _, _, _ = case("adamw")
    trained = group.spread(network)
    optimizer = Optimizer(trained, "adamw", learning_rate=0.1, group=group)

    def objective(network: Any, batch: Batch) -> torch.Tensor:
        nats = OBJECTIVES["next_token"](network, batch)
        return nats * float("inf") if group.rank == 1 else nats

    try:
        list(train(trained, objective, text().batch, optimizer, steps=2, group=group))
    except NonFinite as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, torch.Tensor]]:
    return {name: run(name) for name in CASES}


@pytest.fixture(scope="module", params=["replicated", "sharded"])
def pair(
    request: pytest.FixtureRequest,
    alone: dict[str, dict[str, torch.Tensor]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with what two processes made."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, told in alone.items():
        save_file(told, folder / f"alone {name}.safetensors")
    command = [sys.executable, "-W", "ignore", __file__, str(folder), request.param]
    started = [
        subprocess.Popen([*command, str(rank)], env=os.environ, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_where_one_ends(
    name: str, pair: Path, alone: dict[str, dict[str, torch.Tensor]]
) -> None:
    for rank in range(2):
        told = load_file(pair / f"{name} {rank}.safetensors")
        for what, expected in alone[name].items():
            if rank == 0 or "/" not in what or what.startswith("end/"):
                near = (1e-3, 2e-4) if "/" in what else (1e-4, 1e-6)
                assert torch.allclose(told[what], expected, *near), what


@pytest.mark.parametrize("name", ["muon", "tied"])
def test_two_processes_resume_bit_for_bit(name: str, pair: Path) -> None:
    straight = load_file(pair / f"{name} 0.safetensors")
    resumed = load_file(pair / f"{name} resumed 0.safetensors")
    assert torch.equal(resumed["loss"], straight["loss"][4:])
    for what, tensor in of_step(straight, STEPS).items():
        assert torch.equal(tensor, resumed[f"{STEPS}/{what}"]), what


@pytest.mark.parametrize("name", ["muon", "tied"])
def test_a_state_loads_in_one_process_and_in_two(
    name: str, pair: Path, alone: dict[str, dict[str, torch.Tensor]]
) -> None:
    """The losses go on as before, so the samples come in the same order."""
    state = of_step(load_file(pair / f"{name} 0.safetensors"), 4)
    in_one = run(name, state=State(4, state))
    in_two = load_file(pair / f"{name} from one 0.safetensors")
    for told in (in_one, in_two):
        torch.testing.assert_close(told["loss"], alone[name]["loss"][4:], rtol=1e-4, atol=1e-6)


def test_a_fault_of_one_process_stops_all_with_the_same_words(pair: Path) -> None:
    said = {(pair / f"fault {rank}").read_text() for rank in range(2)}
    assert len(said) == 1
    assert said.pop().startswith("step=1 loss=inf on batch [text[")


class Second(Group):
    """The second process of a group, as far as it decides what its dropout draws."""

    rank = 1


def test_each_process_draws_its_own_dropout() -> None:
    def losses(dropout: float, group: Group, parts: int) -> list[float]:
        network = build("gpt", replace(TINY, dropout=dropout), 0)
        optimizer = Optimizer(network, "adamw", learning_rate=0.0)
        settings: dict[str, Any] = {"steps": 2, "accumulate": parts, "group": group}
        events = train(network, OBJECTIVES["next_token"], text().batch, optimizer, **settings)
        return [event.loss for event in events if isinstance(event, Step)]

    for parts in (1, 2):
        assert losses(0.0, ALONE, parts) == losses(0.0, Second(), parts)
        assert losses(0.3, ALONE, parts) != losses(0.3, Second(), parts)


if __name__ == "__main__":
    as_rank(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
