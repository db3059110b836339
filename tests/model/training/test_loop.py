"""The loop: exact to resume, loud when it fails, able to learn."""

import ast
import inspect
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch, TokenStream, Windows, in_order
from model.batches.examples import Examples
from model.evaluation import mean_loss
from model.training import loop
from model.training.adapters import Classifier, freeze_all_but_last
from model.training.loop import (
    NonFinite,
    Saved,
    State,
    Step,
    Validated,
    train,
)
from model.training.objectives import classify, next_token
from model.training.optim import Optimizer, learning_rate_factor
from model.training.precision import fastest_precision
from model.training.state import weights

TINY = find("gpt").tiny
STREAM = TokenStream(
    [torch.randint(64, (330,), generator=torch.Generator().manual_seed(0)).to(torch.uint16)]
)
STEPS = 12  # an epoch is 20 windows: 5 batches


def windows() -> Windows:
    return Windows({"text": STREAM}, {"text": 1.0}, TINY.context_length, 4, seed=0)


def start(kind: str = "muon", dropout: float = 0.0) -> tuple[nn.Module, Optimizer]:
    network = build("gpt", replace(TINY, dropout=dropout), seed=0)
    return network, Optimizer(
        network, kind, learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.1
    )


def run(network: nn.Module, optimizer: Optimizer, **settings: object) -> list[object]:
    chosen = {
        "steps": STEPS,
        "schedule": lambda step: learning_rate_factor(step, STEPS, 2, 4),
        "checkpoint_every": 1,
        **settings,
    }
    return list(train(network, next_token, windows().batch, optimizer, **chosen))


def of(kind: type, events: list[object]) -> list[object]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resumed_at_any_step_it_ends_bit_for_bit_the_same(kind, dropout):
    events = run(*start(kind, dropout))
    saved = of(Saved, events)
    assert [save.step for save in saved] == list(range(1, STEPS + 1))
    end = saved[-1].state.tensors
    for save in saved[:-1]:
        torch.manual_seed(save.step)  # another process has another generator
        network, optimizer = start(kind, dropout)
        for parameter in network.parameters():
            nn.init.normal_(parameter)  # nothing may survive from before
        resumed = run(network, optimizer, state=save.state)
        assert of(Step, resumed) == of(Step, events)[save.step :]
        state = of(Saved, resumed)[-1].state
        assert state.step == STEPS
        assert state.tensors.keys() == end.keys()
        assert all(torch.equal(state.tensors[name], end[name]) for name in end)


@pytest.mark.parametrize("pause", range(1, STEPS))
def test_a_pause_is_a_saved_state_and_nothing_else(pause):
    """The events of both parts are those of the uninterrupted run: no further validation."""
    settings = {"validation": lambda: [windows().batch(0)], "validate_every": 3}
    settings["checkpoint_every"] = None
    whole = run(*start(), **settings)
    *first, saved = run(*start(), **settings, until=pause)
    assert isinstance(saved, Saved)
    assert saved.step == pause
    assert first + run(*start(), **settings, state=saved.state) == whole
    assert run(*start(), **settings, state=saved.state, until=pause - 1) == []


@pytest.mark.parametrize("parts", [2, 3, 4, 9])
def test_a_batch_read_in_parts_gives_the_numbers_of_the_whole(parts):
    """Also where the parts are unequal and count unequally."""

    def uneven(step: int) -> Batch:
        batch = windows().batch(step)
        targets = batch.targets.clone()
        targets[0, 2:] = IGNORED
        targets[3] = IGNORED
        return replace(batch, targets=targets)

    ends = []
    for accumulate in (1, parts):
        network, optimizer = start()
        settings = {"steps": 6, "accumulate": accumulate, "clip": 1.0}
        told = of(Step, list(train(network, next_token, uneven, optimizer, **settings)))
        ends.append(([(step.loss, step.gradient_norm) for step in told], weights(network)))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


def test_parts_draw_dropout_of_their_own():
    """Two equal halves would else lose the same features."""
    batch = windows().batch(0)
    twice = Batch(batch.tokens[[0, 0]], batch.targets[[0, 0]], ("one", "one"))
    losses = set()

    def told(network, part):
        nats = next_token(network, part)
        losses.add(nats.item())
        return nats

    network, optimizer = start(dropout=0.5)
    list(train(network, told, lambda _: twice, optimizer, steps=1, accumulate=2))
    assert len(losses) == 2


def test_no_part_is_refused():
    with pytest.raises(ValueError, match="accumulate=0 must be 1 or more"):
        run(*start(), accumulate=0)


def test_resumed_at_the_end_there_is_nothing_to_do():
    saved = of(Saved, run(*start()))[-1]
    network, optimizer = start()
    assert run(network, optimizer, state=saved.state) == []
    with pytest.raises(ValueError, match=r"step=12 of the state is past steps=11"):
        run(network, optimizer, state=saved.state, steps=11)


def test_a_state_of_another_network_is_refused():
    state = of(Saved, run(*start("muon")))[-1].state
    with pytest.raises(ValueError, match=r"missing optimizer\.blocks.*exp_avg"):
        run(*start("adamw"), state=state)
    broken = State(3, {name: t for name, t in state.tensors.items() if "head" not in name})
    with pytest.raises(ValueError, match=r"missing network\.head\.weight"):
        run(*start("muon"), state=broken)


def test_a_snapshot_stays_what_it_was():
    network, optimizer = start()
    events = train(network, next_token, windows().batch, optimizer, steps=5, checkpoint_every=2)
    saved = next(event for event in events if isinstance(event, Saved))
    before = {name: tensor.clone() for name, tensor in saved.state.tensors.items()}
    list(events)
    assert all(torch.equal(before[name], t) for name, t in saved.state.tensors.items())


def test_watching_does_not_change_what_is_trained():
    """Validation and checkpoints between steps draw nothing and leave no dropout off."""
    quiet, _ = pair = start(dropout=0.3)
    run(*pair, checkpoint_every=None)
    watched, _ = pair = start(dropout=0.3)
    events = run(*pair, validate_every=3, validation=lambda: in_order(STREAM, 16, 8))
    assert [event.step for event in of(Validated, events)] == [3, 6, 9, 12]
    for name, tensor in quiet.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name])


def test_the_order_of_what_is_told():
    events = run(*start(), steps=5, validate_every=2, validation=lambda: in_order(STREAM, 16, 8))
    told = [(type(event).__name__, event.step) for event in events if not isinstance(event, Saved)]
    steps = [("Step", n) for n in range(1, 6)]
    first, last = ("Validated", 2), [("Validated", 4), steps[4], ("Validated", 5)]
    assert told == [*steps[:2], first, *steps[2:4], *last]
    assert [event.tokens for event in of(Step, events)] == [64] * 5


def test_dropout_is_on_in_training_and_follows_the_seed():
    losses = {
        name: [event.loss for event in of(Step, run(*start(dropout=dropout), steps=6, seed=seed))]
        for name, dropout, seed in [("none", 0.0, 0), ("a", 0.5, 0), ("b", 0.5, 1)]
    }
    assert losses["none"] != losses["a"]
    assert losses["a"] != losses["b"]


def test_each_step_drops_something_else():
    network, optimizer = start(dropout=0.5)
    batch = windows().batch(0)
    still = train(network, next_token, lambda _: batch, optimizer, steps=5, schedule=lambda _: 0.0)
    # A fresh block adds nothing, so only what is dropped from the embedding shows.
    assert len({event.loss for event in still}) == 5


def test_the_processes_own_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    run(*start(dropout=0.3), steps=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_each_optimizer_overfits_a_batch(kind):
    network = build("gpt", find("gpt").tiny, seed=0)
    batch = windows().batch(0)
    optimizer = Optimizer(network, kind, learning_rate=0.01, matrix_learning_rate=0.02)
    events = list(train(network, next_token, lambda _: batch, optimizer, steps=60))
    assert events[0].loss > 3.5
    assert events[-1].loss < 0.1


@pytest.mark.parametrize("where", ["loss", "gradient_norm"])
def test_what_is_not_a_number_stops_with_its_step_and_rows(where):
    network, optimizer = start()
    batches = windows()

    def objective(network: nn.Module, batch: Batch) -> torch.Tensor:
        loss = next_token(network, batch)
        if batch.ids != batches.batch(2).ids:
            return loss
        if where == "loss":
            return loss * float("nan")
        return loss + (network.head.weight.sum() * 0).sqrt() * 1.0  # finite, its slope is not

    told = train(network, objective, batches.batch, optimizer, steps=5, checkpoint_every=1)
    events = [next(told) for _ in range(4)]
    weights = {name: t.clone() for name, t in network.state_dict().items()}
    with pytest.raises(NonFinite, match=rf"step=3 {where}=nan on batch \[text\["):
        next(told)
    assert [save.step for save in of(Saved, events)] == [1, 2]
    assert all(torch.equal(weights[name], t) for name, t in network.state_dict().items())


def test_a_token_outside_the_vocabulary_stops_before_the_network(monkeypatch):
    network, optimizer = start()
    batch = Batch(torch.tensor([[1, 64]]), torch.tensor([[1, 1]]), ("row",))
    monkeypatch.setattr(network, "features", lambda _: pytest.fail("the network was asked"))
    with pytest.raises(ValueError, match=r"token=64 in row is outside vocab_size=64"):
        list(train(network, next_token, lambda _: batch, optimizer, steps=1))


def test_clipping_bounds_the_step():
    """Scaled gradients are AdamW's blind spot, so the gradients themselves are looked at."""
    norms = []

    class Spy(Optimizer):
        def step(self) -> None:
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            norms.append(torch.nn.utils.get_total_norm(gradients).item())
            super().step()

    network, _ = start()
    spy = Spy(network, "adamw", learning_rate=0.01)
    events = list(train(network, next_token, windows().batch, spy, steps=4, clip=0.01))
    assert all(event.gradient_norm > 0.01 for event in events)
    assert norms == pytest.approx([0.01] * 4, rel=1e-3)


def test_the_schedule_moves_the_rates():
    network, optimizer = start()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    events = list(
        train(network, next_token, windows().batch, optimizer, steps=3, schedule=lambda _: 0.0)
    )
    assert [event.learning_rate for event in events] == [0.0] * 3
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_bf16_trains_close_to_fp32():
    full = of(Step, run(*start(), steps=6))
    half = of(Step, run(*start(), steps=6, precision="bf16"))
    assert full != half
    assert half[-1].loss == pytest.approx(full[-1].loss, abs=0.05)
    with pytest.raises(ValueError, match="precision='fp8'"):
        run(*start(), precision="fp8")


def test_bf16_is_picked_only_where_it_is_native(monkeypatch):
    for able, expected in [
        ({}, "fp32"),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
    ]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert fastest_precision("cpu") == expected
    assert fastest_precision("meta") == "fp32"


def labelled() -> Examples:
    """The label is the parity of the first token."""
    generator = torch.Generator().manual_seed(0)
    rows = [
        torch.randint(64, (length,), generator=generator).tolist()
        for length in itertools.islice(itertools.cycle([3, 5, 9, 14]), 16)
    ]
    return Examples(
        rows,
        labels=[row[0] % 2 for row in rows],
        pad=0,
        context_length=TINY.context_length,
        batch_size=8,
    )


def test_a_classifier_learns_with_all_but_its_end_frozen():
    foundation = build("gpt", TINY, seed=0)
    freeze_all_but_last(foundation, 1)
    network = Classifier(foundation, 2)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    optimizer = Optimizer(network, "adamw", learning_rate=0.01)
    events = list(train(network, classify, labelled().batch, optimizer, steps=80))
    assert events[0].loss == pytest.approx(0.6931, abs=1e-4)
    assert events[-1].loss < 0.1
    moved = {name for name, t in network.state_dict().items() if not torch.equal(before[name], t)}
    assert moved
    assert all(name.startswith(("head.", "network.blocks.1.")) for name in moved)


def test_the_frozen_part_records_no_gradient():
    foundation = build("gpt", TINY, seed=0)
    freeze_all_but_last(foundation, 1)
    recorded = []
    for block in foundation.blocks:
        block.register_forward_hook(lambda _, __, out: recorded.append(out.requires_grad))
    Classifier(foundation, 2)(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([2, 1]))
    assert recorded == [False, True]


def test_every_symbol_of_the_loop_is_plain():
    """No wall clock, no files: what the loop knows comes through its arguments."""
    tree = ast.parse(inspect.getsource(loop))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert imported <= {"__future__", "collections", "contextlib", "dataclasses", "math", "model",
                        "torch", "typing"}  # fmt: skip
    assert "open" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_a_bf16_run_validates_in_bf16():
    network, optimizer = start()
    batches = [windows().batch(9)]
    events = run(network, optimizer, steps=3, precision="bf16", validation=lambda: batches)
    (told,) = of(Validated, events)
    assert told.loss == mean_loss(network, next_token, batches, "bf16").nats
    assert told.loss != mean_loss(network, next_token, batches).nats
