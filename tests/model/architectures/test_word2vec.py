"""word2vec: its loss, the batches that it learns from, and what is known of both beforehand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, find
from model.architectures.word2vec.config import (
    Word2VecConfig,
    flops_per_prediction,
    parameter_count,
)
from model.architectures.word2vec.contexts import Contexts, keep_probabilities, noise
from model.batches.batching import IGNORED, Batch
from model.training.loop import Saved, Step, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer
from model.training.state import weights

WORD2VEC = find("word2vec")
METHODS = ("skip_gram", "cbow")


def contexts(words: list[int], sentences: list[int] | None = None, **values: Any) -> Contexts:
    """Batches of a text, all of it in one sentence, nothing left out."""
    size = max(words) + 1
    given = {"subsample": 1.0, "batch_size": len(words), "seed": 0, **values}
    options = {k: given.pop(k) for k in ("method", "window", "negatives") if k in given}
    text = torch.tensor(words)
    return Contexts(
        text,
        torch.tensor(sentences or [0] * len(words)),
        given.pop("counts", torch.bincount(text, minlength=size)),
        Word2VecConfig(vocab_size=size, d_model=8, **options),
        **given,
    )


def rows(batch: Batch) -> Counter[tuple[tuple[int, ...], int]]:
    """The words given, in order, and the true one; how often."""
    given = [tuple(w for w in row if w != IGNORED) for row in batch.tokens.tolist()]
    return Counter(zip(given, batch.targets[:, 0].tolist(), strict=True))


# --- the network ------------------------------------------------------------------------------


def reference(given: Tensor, foretold: Tensor, batch: Batch) -> Tensor:
    """Mikolov et al. 2013b, eq. 4, term by term, the mean over all of them."""
    terms = []
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        mean = torch.stack([given[t] for t in tokens if t != IGNORED]).mean(dim=0)
        for place, word in enumerate(targets):
            if word != IGNORED:
                product = foretold[word] @ mean
                terms.append(-torch.sigmoid(product if place == 0 else -product).log())
    return torch.stack(terms).sum()


@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradients_are_those_of_the_paper(method: str) -> None:
    drawn = torch.Generator().manual_seed(0)
    words = torch.randint(9, (60,), generator=drawn).tolist()
    batches = contexts([*words, 8], method=method, window=2, negatives=3, batch_size=12)
    batch = batches.batch(0)
    assert (batch.targets == IGNORED).any(), "a word was drawn against itself"
    network: Any = build("word2vec", batches.config, seed=0).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=drawn)
    loss = OBJECTIVES["negative_sampling"](network, batch)
    loss.backward()
    given, foretold = (
        table.weight.detach().clone().requires_grad_()
        for table in (network.given, network.foretold)
    )
    expected = reference(given, foretold, batch)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(network.given.weight.grad, given.grad)
    torch.testing.assert_close(network.foretold.weight.grad, foretold.grad)


def test_two_words_end_at_the_logit_of_how_often_they_are_true() -> None:
    """With one word given, word 0 true in 3 rows of 4 and drawn in 1: its logit goes to ln 3."""
    config = Word2VecConfig(vocab_size=2, d_model=4, negatives=1)
    targets = torch.tensor([[0, 1], [0, 1], [0, 1], [1, 0]])
    batch = Batch(torch.zeros(4, 1, dtype=torch.int64), targets, ("row",) * 4)
    network: Any = build("word2vec", config, seed=0)
    optimizer = Optimizer(network, learning_rate=0.1)
    objective = OBJECTIVES["negative_sampling"]
    losses = [
        event.loss
        for event in train(network, objective, lambda _: batch, optimizer, steps=200)
        if isinstance(event, Step)
    ]
    assert losses[0] == pytest.approx(math.log(2))
    features = network.features(torch.zeros(1, 1, dtype=torch.int64))
    logits = network.logits(features, torch.tensor([[0, 1]]))
    assert logits[0].tolist() == pytest.approx([math.log(3), -math.log(3)], abs=0.01)
    assert losses[-1] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_and_operations_are_counted(method: str) -> None:
    config = Word2VecConfig(vocab_size=50, d_model=12, method=method, window=3, negatives=4)
    network = build("word2vec", config, seed=0)
    assert sum(p.numel() for p in network.parameters()) == parameter_count(config) == 1200
    assert network.context_length == config.context_length == (1 if method == "skip_gram" else 6)
    # The same products as one matrix multiplication a row, whose operations torch counts itself.
    tokens, targets = torch.zeros(7, 6, dtype=torch.int64), torch.zeros(7, 5, dtype=torch.int64)
    with FlopCounterMode(display=False) as counted:
        mean = network.features(tokens)
        (network.foretold(targets) @ mean[..., None]).sum().backward()
    mean_costs = 2 * 6 * 12 if method == "cbow" else 0
    assert flops_per_prediction(config) == counted.get_total_flops() / 7 + mean_costs


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"vocab_size": 0}, "vocab_size=0 must be a whole number from 1"),
        ({"window": 0}, "window=0 must be a whole number from 1"),
        ({"negatives": True}, "negatives=True must be a whole number from 1"),
        ({"method": "glove"}, "method='glove' is unknown: use one of skip_gram, cbow"),
    ],
)
def test_a_configuration_checks_itself(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        replace(WORD2VEC.tiny, **wrong)


# --- the batches ------------------------------------------------------------------------------


def test_a_window_of_one_gives_all_pairs_of_neighbours_and_no_other() -> None:
    batches = contexts([0, 1, 2, 3, 4], [0, 0, 0, 1, 1], window=1)
    expected = {((0,), 1), ((1,), 0), ((1,), 2), ((2,), 1), ((3,), 4), ((4,), 3)}
    assert rows(batches.batch(0)) == dict.fromkeys(expected, 1)
    cbow = contexts([0, 1, 2, 3, 4], [0, 0, 0, 1, 2], window=1, method="cbow")
    assert rows(cbow.batch(0)) == {((1,), 0): 1, ((0, 2), 1): 1, ((1,), 2): 1}


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_is_the_same_rows_however_it_is_cut(method: str) -> None:
    words = list(range(40))
    sentences = [word // 13 for word in words]
    whole = rows(contexts(words, sentences, method=method, window=4).batch(0))
    cut = contexts(words, sentences, method=method, window=4, batch_size=7)
    assert cut.steps_per_epoch == 6
    assert sum((rows(cut.batch(step)) for step in range(6)), Counter()) == whole
    assert sum((rows(cut.batch(step)) for step in range(6, 12)), Counter()) != whole
    assert all(abs(w - t) <= 4 and w // 13 == t // 13 for given, t in whole for w in given)


def test_near_words_count_more_as_often_as_the_shrinking_window_says() -> None:
    size, window = 6000, 4
    batches = contexts(list(range(size)), window=window)
    found = Counter(abs(given[0] - true) for given, true in rows(batches.batch(0)).elements())
    for apart in range(1, window + 1):
        share = (window + 1 - apart) / window  # a reach of at least that, of 1 to R drawn evenly
        expected, deviation = 2 * size * share, 2 * math.sqrt(size * share * (1 - share))
        assert found[apart] == pytest.approx(expected, abs=4 * deviation + 2 * apart)


def test_frequent_words_are_left_out_as_often_as_the_paper_says() -> None:
    counts = torch.tensor([9000, 900, 90, 10])
    kept = keep_probabilities(counts, 1e-2)
    assert kept.tolist() == pytest.approx([math.sqrt(0.01 / 0.9), math.sqrt(0.01 / 0.09), 1, 1])
    words = [0] * 9000 + [1] * 900
    batches = contexts(words, counts=torch.tensor([9000, 900]), subsample=1e-2, window=1, seed=3)
    epoch = batches._epoch(0)
    found = torch.bincount(epoch.words[epoch.words >= 0])
    for word, count in enumerate((9000, 900)):
        share = float(batches._keep[word])
        assert share < 0.4
        deviation = math.sqrt(count * share * (1 - share))
        assert int(found[word]) == pytest.approx(count * share, abs=4 * deviation)


def test_words_left_out_make_the_others_neighbours() -> None:
    """1 always stands between 0 and 2 and is nearly always left out; they then meet."""
    words = [0, 1, 1, 1, 1, 1, 1, 2] * 50
    sentences = [i // 8 for i in range(400)]
    batches = contexts(
        words, sentences, counts=torch.tensor([1, 10**9, 1]), subsample=1e-9, window=1
    )
    # Of a text in which 0 and 2 are one in 10^9, they stay and 1 goes.
    assert rows(batches.batch(0)) == {((0,), 2): 50, ((2,), 0): 50}


def test_words_are_drawn_as_often_as_the_power_of_their_count() -> None:
    counts = torch.tensor([4000, 1000, 300, 80, 20, 1])
    assert noise(counts).tolist() == pytest.approx(
        [n**0.75 / sum(m**0.75 for m in counts.tolist()) for n in counts.tolist()]
    )
    words = [5, 5] * 4000  # the true word is always 5
    batches = contexts(words, counts=counts, window=1, negatives=5)
    drawn = batches.batch(0).targets[:, 1:].flatten()
    found = torch.bincount(drawn[drawn != IGNORED], minlength=6).tolist()
    assert found[5] == 0
    found[5] = int((drawn == IGNORED).sum())
    expected = [len(drawn) * share for share in noise(counts).tolist()]
    chi = sum((f - e) ** 2 / e for f, e in zip(found, expected, strict=True))
    # Five degrees of freedom: 99.9 % of draws lie between these.
    assert 0.16 < chi < 22.1


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_pure_in_seed_and_step(method: str) -> None:
    words = torch.randint(30, (500,), generator=torch.Generator().manual_seed(1)).tolist()
    given = {"method": method, "batch_size": 64, "subsample": 0.05}
    one, two = contexts(words, **given), contexts(words, **given)
    late = one.batch(20)
    for step in (3, 0, 20):
        torch.manual_seed(step)
        before = torch.random.get_rng_state()
        first, second = one.batch(step), two.batch(step)
        assert torch.equal(first.tokens, second.tokens)
        assert torch.equal(first.targets, second.targets)
        assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(late.targets, two.batch(20).targets)
    other = contexts(words, **given, seed=1)
    assert rows(other.batch(0)) != rows(one.batch(0))


@pytest.mark.parametrize("method", METHODS)
def test_training_goes_on_bit_for_bit(method: str) -> None:
    words = torch.randint(30, (400,), generator=torch.Generator().manual_seed(1)).tolist()
    batches = contexts(words, method=method, batch_size=80, window=2)

    def run(seed: int, state: Any = None) -> tuple[Any, list[Any]]:
        network = build("word2vec", batches.config, seed)
        events = train(
            network,
            OBJECTIVES["negative_sampling"],
            batches.batch,
            Optimizer(network, learning_rate=0.01),
            steps=12,
            checkpoint_every=4,
            state=state,
        )
        return network, [event.state for event in events if isinstance(event, Saved)]

    whole, saved = run(0)
    again, _ = run(1, saved[0])
    assert saved[0].step == 4
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name]), name


def test_a_step_without_neighbours_takes_the_next_that_has_some() -> None:
    """Only the last two words are neighbours; a step takes one word."""
    batches = contexts([0, 1, 2, 3], [0, 1, 2, 2], window=1, batch_size=1, negatives=1)
    for step in range(12):
        batch = batches.batch(step)
        assert (batch.tokens.item(), batch.targets[0, 0].item()) in {(2, 3), (3, 2)}
        assert list(batch.ids) == [f"step {step}, pair 0"]
        assert torch.equal(batches.batch(step).targets, batch.targets)


def test_the_names_of_pairs_can_be_cut() -> None:
    ids = contexts([0, 1, 2, 3], [0, 0, 0, 0], window=1, batch_size=4).batch(0).ids
    assert ids[1:3][0] == ids[1] == "step 0, pair 1"
    assert len(ids[1:3]) == 2


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^step=0: no word of the epoch has a neighbour; add"):
        contexts([0, 1, 2], [0, 1, 2]).batch(0)
    with pytest.raises(ValueError, match=r"^subsample=0"):
        contexts([0, 1], subsample=0)
    with pytest.raises(ValueError, match=r"^batch_size=0 must be at least 1"):
        contexts([0, 1], batch_size=0)
    with pytest.raises(ValueError, match=r"^words=2 sentences=1: give each word a sentence"):
        contexts([0, 1], [0])
