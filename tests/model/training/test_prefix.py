"""What frozen blocks make of the examples is kept after the first epoch, and changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architectures import build, find
from model.batches.batching import Batch, TokenStream, Windows
from model.batches.examples import Examples
from model.training import prefix
from model.training.adapters import Classifier, add_low_rank, freeze_all_but_last
from model.training.loop import Saved, State, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer
from model.training.prefix import Begun, BegunLooks, pays
from model.training.state import unfrozen

GPT = find("gpt")
SIZES = {"vocab_size": 64, "context_length": 16, "d_model": 32, "n_layers": 3, "n_heads": 4}
QUICK = {**GPT.presets["quick"], "pair_rows": 30}
STEPS = 9  # of four examples: each of the eleven is read three times


def rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = [3, 9, 4, 16, 7, 12, 5, 8, 3, 11, 6]
    return [torch.randint(1, 64, (n,), generator=generator).tolist() for n in lengths]


def labelled() -> Examples:
    labels = [n % 3 for n in range(len(rows()))]
    return Examples(rows(), labels=labels, pad=0, context_length=16, batch_size=4)


def replies() -> Examples:
    counted = [[place > 1 for place in range(len(row))] for row in rows()]
    return Examples(rows(), counted=counted, pad=0, context_length=16, batch_size=4)


def network(blocks: int = 1, *, classifies: bool = True, **settings: Any) -> Any:
    """A network none of whose weights is zero, frozen up to its last blocks."""
    found: Any = build("gpt", GPT.configure("modern", **{**SIZES, **settings}), 0)
    found = Classifier(found, 3) if classifies else found
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    freeze_all_but_last(found, blocks)
    return found


def run(
    found: Any, batches: Callable[[int], Batch], state: State | None = None, **more: Any
) -> tuple[list[State], dict[str, Tensor]]:
    objective = OBJECTIVES["classify" if isinstance(found, Classifier) else "next_token"]
    optimizer = Optimizer(found, "muon", learning_rate=0.01)
    events = train(
        found, objective, batches, optimizer, steps=STEPS, checkpoint_every=4, state=state, **more
    )
    saved = [event.state for event in events if isinstance(event, Saved)]
    return saved, {name: tensor.clone() for name, tensor in unfrozen(found).items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


KINDS = {
    "classifier": {},
    "classifier, head alone": {"blocks": 0},
    "replies": {"classifies": False, "blocks": 2},
    "quick": QUICK,
    "gpt2": GPT.presets["gpt2"] | {"dropout": 0.0},
    "window": {"window": 4},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_kept_or_computed_anew_it_trains_to_the_same_bits(
    kind: dict[str, Any], accumulate: int
) -> None:
    examples = replies() if kind.get("classifies") is False else labelled()
    ended = []
    for keep in (True, False):
        found = network(**kind)
        _, weights = run(found, Begun(found, examples, "fp32", keep=keep).batch,
                         accumulate=accumulate)  # fmt: skip
        ended.append(weights)
    assert same(*ended)
    # And it is what training without any of it gives, but for rounding.
    _, plain = run(network(**kind), examples.batch, accumulate=accumulate)
    start = unfrozen(network(**kind))
    assert not same(plain, start)
    for name, tensor in plain.items():
        if name.endswith("keys.bias"):  # its gradient is 0, and AdamW follows the rounding of it
            continue
        torch.testing.assert_close(ended[0][name], tensor, atol=2e-4, rtol=2e-3)


def test_a_resumed_run_that_kept_nothing_ends_the_same() -> None:
    found = network()
    saved, whole = run(found, Begun(found, labelled(), "fp32").batch)
    again = network()
    _, resumed = run(again, Begun(again, labelled(), "fp32").batch, saved[0])
    assert saved[0].step == 4
    assert same(whole, resumed)


def test_each_example_goes_through_the_frozen_blocks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "GROUP", 20)
    found = network(blocks=1)
    read: list[int] = []
    begin = found.network.begin

    def count(tokens: Tensor) -> Tensor:
        read.append(len(tokens))
        result: Tensor = begin(tokens)
        return result

    monkeypatch.setattr(found.network, "begin", count)
    calls: list[int] = []
    found.network.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    run(found, Begun(found, labelled(), "fp32").batch)
    assert sum(read) == len(rows())
    assert len(read) > 3
    assert len(calls) == len(read)


def test_what_is_kept_beforehand_is_what_each_batch_would_compute() -> None:
    examples, found, told = labelled(), network(), []
    begun, lazy = Begun(found, examples, "fp32"), Begun(found, examples, "fp32", keep=False)
    begun.fill(lambda done, tokens: told.append((done, tokens)))
    assert told[-1] == (examples.count, sum(map(len, rows())))
    assert told == sorted(told)
    for step in range(STEPS):
        one, other = begun.batch(step).begun, lazy.batch(step).begun
        assert one is not None
        assert torch.equal(one, other)


def test_the_batches_of_a_validation_are_begun_once() -> None:
    found = network()
    calls: list[int] = []
    found.network.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    looks = BegunLooks(found, lambda: labelled().in_order())

    def losses() -> list[float]:
        with torch.inference_mode():
            return [OBJECTIVES["classify"](found, batch).item() for batch in looks()]

    first, second = losses(), losses()
    assert first == second
    assert len(calls) == len(first) == 3
    with torch.inference_mode():
        plain = [OBJECTIVES["classify"](found, b).item() for b in labelled().in_order()]
    assert first == plain


def test_a_validation_beyond_the_limit_is_read_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "LIMIT", 1)
    found = network()
    looks = BegunLooks(found, lambda: labelled().in_order())
    assert [batch.begun is not None for batch in looks()] == [True, False, False]


def windows() -> Windows:
    stream = TokenStream([torch.arange(400) % 60])
    return Windows({"text": stream}, {"text": 1.0}, 16, 4, seed=0)


def adapted() -> Any:
    found = network()
    found.requires_grad_(True)
    add_low_rank(found, 2, 2, torch.Generator())
    return found


def refusals() -> Iterator[tuple[str, Any, Any, int]]:
    yield "windows differ in each epoch", network(classifies=False), windows(), 1000
    yield "no example is read twice", network(), labelled(), 2
    yield "dropout", network(dropout=0.1), labelled(), STEPS
    yield "adapters in every block", adapted(), labelled(), STEPS
    yield "all blocks learn", network(blocks=3), labelled(), STEPS


@pytest.mark.parametrize(
    ("found", "batches", "steps"), [r[1:] for r in refusals()], ids=[r[0] for r in refusals()]
)
def test_where_it_is_not_exact_or_does_not_pay_nothing_is_kept(
    found: Any, batches: Any, steps: int
) -> None:
    assert not pays(found, batches, steps)


def test_it_is_kept_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * SIZES["d_model"] * sum(map(len, rows()))
    for limit in (size, size - 1):
        monkeypatch.setattr(prefix, "LIMIT", limit)
        assert pays(network(), labelled(), STEPS) == (limit == size)
