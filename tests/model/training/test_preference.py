"""Pairs of replies, and the objective that prefers one of each (DPO). Rafailov et al. 2023."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch
from model.batches.examples import Preferences
from model.evaluation import mean_loss
from model.training.adapters import add_low_rank
from model.training.loop import Step, train
from model.training.objectives import margins, preference
from model.training.optim import Optimizer

GPT = find("gpt")
CONFIG = GPT.configure("modern", vocab_size=50, context_length=24, d_model=32, n_layers=2,
                       n_heads=4)  # fmt: skip
LN2 = 0.6931471805599453


def network() -> Any:
    found = build("gpt", CONFIG, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return found


def rows() -> tuple[list[list[int]], list[list[bool]]]:
    """Seven pairs: the turns before, then the chosen and the rejected reply."""
    generator = torch.Generator().manual_seed(3)
    tokens, counted = [], []
    for pair in range(7):
        before = torch.randint(1, 50, (3 + pair,), generator=generator).tolist()
        for size in (4 + pair % 3, 6):
            reply = torch.randint(1, 50, (size,), generator=generator).tolist()
            tokens.append(before + reply)
            counted.append([False] * len(before) + [True] * size)
    return tokens, counted


def log_likelihoods(found: Any) -> list[float]:
    """Of each row's counted tokens, each row by itself, from its logits."""
    sums = []
    for ids, counted in zip(*rows(), strict=True):
        with torch.no_grad():
            logs = found(torch.tensor([ids[:-1]])).log_softmax(-1)[0]
        asked = torch.tensor(counted[1:])
        found_logs = logs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        sums.append(found_logs[asked].double().sum().item())
    return sums


def pairs(beta: float = 0.1, **more: Any) -> Preferences:
    tokens, counted = rows()
    nats = [-value for value in log_likelihoods(network())]
    sizes = {"pad": 0, "context_length": 24, "batch_size": 3}
    return Preferences(tokens, counted=counted, reference=nats, beta=beta, **{**sizes, **more})


def drop(found: Any, by: float = 0.3) -> Any:
    """The network after some change of all its weights."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=by)
    return found


def test_it_begins_at_ln_2() -> None:
    loss = mean_loss(network(), preference, pairs().in_order())
    assert loss.nats == pytest.approx(LN2, abs=1e-6)
    assert loss.count == 7
    moved = mean_loss(drop(network()), preference, pairs().in_order()).nats
    assert abs(moved - LN2) > 1e-3


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_it_is_the_loss_of_the_paper(beta: float) -> None:
    changed = drop(network())
    policy = torch.tensor(log_likelihoods(changed), dtype=torch.float64)
    reference = torch.tensor(log_likelihoods(network()), dtype=torch.float64)
    gained = policy - reference
    margin = gained[0::2] - gained[1::2]
    expected = -torch.log(torch.sigmoid(beta * margin)).mean().item()
    assert mean_loss(changed, preference, pairs(beta).in_order()).nats == pytest.approx(
        expected, rel=1e-5
    )
    (whole,) = pairs(beta, batch_size=7).in_order()
    torch.testing.assert_close(margins(changed, whole), margin, atol=1e-4, rtol=1e-5)


def plain(found: Any, batch: Batch) -> Tensor:
    """The same objective, from whole logits by autograd."""
    logits = found(batch.tokens)
    logs = -F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none",
                            ignore_index=IGNORED).view_as(batch.targets).sum(1)  # fmt: skip
    gained = logs + batch.reference
    return F.softplus(-batch.beta * (gained[0::2] - gained[1::2])).sum()


def test_its_gradient_is_that_of_the_plain_form() -> None:
    (batch,) = pairs(batch_size=7).in_order()
    gradients = []
    for objective in (preference, plain):
        found = drop(network())
        objective(found, batch).backward()
        gradients.append({name: p.grad for name, p in found.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_training_widens_the_margin() -> None:
    found, examples = network(), pairs()
    add_low_rank(found, 4, 8, torch.Generator().manual_seed(0))
    optimizer = Optimizer(found, learning_rate=0.01)
    events = train(found, preference, examples.batch, optimizer, steps=20)
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert losses[0] == pytest.approx(LN2, abs=1e-6)
    assert losses[-1] < 0.5 * LN2
    (batch,) = pairs(batch_size=7).in_order()
    assert (margins(found, batch) > 0).all()


# Batches


def test_a_batch_has_both_replies_of_each_pair_side_by_side() -> None:
    tokens, counted = rows()
    examples = pairs()
    for step in range(5):
        batch = examples.batch(step)
        assert (len(batch.ids), batch.counted, len(batch.tokens)) == (3, 3, 6)
        for place, row in enumerate(batch.ids):
            for side in (0, 1):
                ids, asked = (all_[2 * row.number + side] for all_ in (tokens, counted))
                got = batch.tokens[2 * place + side][: len(ids) - 1]
                targets = batch.targets[2 * place + side]
                assert got.tolist() == ids[:-1]
                assert int((targets != IGNORED).sum()) == sum(asked[1:])
    each = [row.number for step in range(14) for row in examples.batch(step).ids]
    assert sorted(each) == sorted(6 * list(range(7)))  # six epochs
    assert examples.asked(1) == sum(sum(row[1:]) for row in counted[2:4])


@pytest.mark.parametrize("parts", [2, 3])
def test_no_pair_is_parted(parts: int) -> None:
    (batch,) = pairs(batch_size=7).in_order()
    cut = batch.split(parts)
    assert [len(part.tokens) for part in cut] == [2 * len(part.ids) for part in cut]
    assert torch.equal(torch.cat([part.tokens for part in cut]), batch.tokens)
    changed = drop(network())
    total = sum(preference(changed, part).item() for part in cut)
    assert total == pytest.approx(preference(changed, batch).item(), rel=1e-5)
    ranks = [batch.rows(slice(rank, None, 2)) for rank in range(2)]
    assert [row.number for row in ranks[1].ids] == [1, 3, 5]
    assert torch.equal(ranks[1].tokens[0:2], batch.tokens[2:4])
    assert sum(preference(changed, part).item() for part in ranks) == pytest.approx(total, rel=1e-5)


def test_a_pair_whose_targets_do_not_count_adds_nothing() -> None:
    (batch,) = pairs(batch_size=7).in_order()
    idle = batch.rows(slice(1))
    idle.targets.fill_(IGNORED)
    assert preference(network(), idle).item() == 0


def test_a_faulty_token_is_named_with_its_pair() -> None:
    (batch,) = pairs(batch_size=7).in_order()
    batch.tokens[9, 0] = 77
    with pytest.raises(ValueError, match=rf"token=77 in {batch.ids[4]} is outside"):
        network().check(batch)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beta": 0.0}, "beta=0.0 must be above 0"),
        ({"reference": [1.0] * 13}, "rows=14 reference=13: give two rows a pair"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    tokens, counted = rows()
    given = {"counted": counted, "reference": [1.0] * 14, "beta": 0.1, "pad": 0}
    with pytest.raises(ValueError, match=said):
        Preferences(tokens, **{**given, **change}, context_length=24, batch_size=3)


def test_a_loss_is_finite_however_far_the_margin() -> None:
    """-log sigmoid of a large negative number is that number, and no infinity."""
    (batch,) = pairs(batch_size=7).in_order()
    assert batch.reference is not None
    batch.reference[1::2] += 1e5
    assert math.isfinite(preference(network(), batch).item())
