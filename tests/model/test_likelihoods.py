"""Likelihoods of answers: what is shared is read once, and nothing else changes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from model import likelihoods
from model.architectures import build, find
from model.batches.batching import IGNORED, Batch
from model.likelihoods import Asked, log_likelihoods, row_log_likelihoods

VOCABULARY, LENGTH = 40, 24


def network_of(preset: str = "modern", **more: Any) -> Any:
    """A network that is not as it begins, when every token is equally likely."""
    sizes = {"vocab_size": VOCABULARY, "context_length": LENGTH, "d_model": 32}
    config = find("gpt").configure(preset, **sizes, n_layers=2, n_heads=4, **more)
    network = build("gpt", config, 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def questions_of(count: int, seed: int = 0) -> list[list[Asked]]:
    """Questions with one to four answers of one to five tokens, after up to ten."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        context = [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 10))]
        answers = [
            [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 5))]
            for _ in range(draw.randint(1, 4))
        ]
        found.append([Asked([*context, *answer], len(answer)) for answer in answers])
    return found


def by_hand(network: Any, asked: Asked) -> tuple[float, bool]:
    """The plain form: one text, all logits, one token after the other."""
    tokens = torch.tensor([list(asked.tokens[-(LENGTH + 1) :])])
    with torch.no_grad():
        likely = network.eval()(tokens[:, :-1])[0].log_softmax(-1)
    places = range(tokens.shape[1] - 1 - min(asked.asked, tokens.shape[1] - 1), tokens.shape[1] - 1)
    nats = sum(float(likely[place, tokens[0, place + 1]]) for place in places)
    return nats, all(int(likely[p].argmax()) == int(tokens[0, p + 1]) for p in places)


@pytest.mark.parametrize("preset", ["modern", "gpt2", "quick"])
def test_likelihoods_are_those_of_each_text_alone(preset: str) -> None:
    network, questions = network_of(preset), questions_of(30)
    found = log_likelihoods(network, questions)
    assert [len(one) for one in found] == [len(one) for one in questions]
    for question, likely in zip(questions, found, strict=True):
        for asked, one in zip(question, likely, strict=True):
            nats, greedy = by_hand(network, asked)
            assert one.nats == pytest.approx(nats, abs=2e-4)
            assert (one.tokens, one.greedy) == (asked.asked, greedy)


def test_some_answers_are_the_likeliest() -> None:
    network = network_of()
    text = [3, 1, 4]
    with torch.no_grad():
        for _ in range(3):
            text.append(int(network(torch.tensor([text]))[0, -1].argmax()))
    ((said, other),) = log_likelihoods(network, [[Asked(text, 3), Asked([*text[:-1], 0], 3)]])
    assert said.greedy
    assert not other.greedy
    assert said.nats > other.nats


@pytest.mark.parametrize("tokens", [1, 40, 300, 8192])
def test_how_many_are_read_together_decides_nothing(tokens: int) -> None:
    network, questions = network_of(), questions_of(25, seed=3)
    whole = log_likelihoods(network, questions)
    parts = log_likelihoods(network, questions, tokens_at_once=tokens)
    for one, other in zip(itertools.chain(*whole), itertools.chain(*parts), strict=True):
        assert one.nats == pytest.approx(other.nats, abs=2e-4)
        assert one[1:] == other[1:]


def test_what_is_shared_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four answers to a long question: the question is read in one pass, the answers in another."""
    network, read = network_of(), []
    plain = network.continued
    monkeypatch.setattr(
        network,
        "continued",
        lambda tokens, cache: read.append(tokens.shape) or plain(tokens, cache),
    )
    question = [Asked([*range(16), answer, 1, 2], 3) for answer in (20, 21, 22, 23)]
    (found,) = log_likelihoods(network, [question])
    assert read == [(1, 16), (4, 2)]
    assert found[2].nats == pytest.approx(by_hand(network, question[2])[0], abs=1e-4)


def test_what_all_questions_begin_with_is_read_once_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Solved examples before each question: one row for all, one for each question, the answers."""
    monkeypatch.setattr(likelihoods, "LEAD", 4)
    network, read = network_of("quick"), []
    plain = network.continued
    monkeypatch.setattr(
        network,
        "continued",
        lambda tokens, cache: read.append(tuple(tokens.shape)) or plain(tokens, cache),
    )
    solved = [9, 8, 7, 6, 5]
    questions = [
        [Asked([*solved, *context, *answer], len(answer)) for answer in ([1, 2], [3, 4], [2])]
        for context in ([10, 11, 12], [13], [14, 15])
    ]
    found = log_likelihoods(network, questions)
    assert read == [(1, 5), (3, 3), (6, 1)]
    for asked, one in zip(itertools.chain(*questions), itertools.chain(*found), strict=True):
        assert one.nats == pytest.approx(by_hand(network, asked)[0], abs=2e-4)
    whole = [[Asked(one.tokens, len(one.tokens) - 1) for one in q] for q in questions]
    told = itertools.chain(*log_likelihoods(network, whole))
    for asked, one in zip(itertools.chain(*whole), told, strict=True):
        assert one.nats == pytest.approx(by_hand(network, asked)[0], abs=3e-4)


def test_answers_of_one_token_need_no_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    network, read = network_of(), []
    plain = network.features
    monkeypatch.setattr(
        network, "features", lambda tokens, *more: read.append(tokens.shape) or plain(tokens, *more)
    )
    question = [Asked([*range(9), answer], 1) for answer in (20, 21, 22)]
    (found,) = log_likelihoods(network, [question])
    assert read == [(1, 9)]
    assert sum(2.718281828**one.nats for one in found) < 1


def test_a_long_text_is_cut_at_its_left() -> None:
    network = network_of()
    long = Asked([5] * 30 + list(range(20)), 4)
    short = Asked(long.tokens[-(LENGTH + 1) :], 4)
    ((cut,), (whole,)) = log_likelihoods(network, [[long], [short]])
    assert cut.nats == pytest.approx(whole.nats, abs=1e-5)
    ((all_of_it,),) = log_likelihoods(network, [[Asked([1] * 40, 39)]])
    assert all_of_it.tokens == LENGTH, "more tokens than the context holds cannot be asked"


def test_long_questions_share_nothing_but_have_equal_likelihoods() -> None:
    """Padding them would need more slots than the context has."""
    network = network_of()
    questions = [
        [Asked([*range(22), 1, 2], 2), Asked([*range(22), 3], 1)],
        [Asked([7, *range(9, 28)], 19), Asked([7, *range(10, 29)], 19)],
    ]
    found = log_likelihoods(network, questions)
    for asked, one in zip(itertools.chain(*questions), itertools.chain(*found), strict=True):
        assert one.nats == pytest.approx(by_hand(network, asked)[0], abs=2e-4)


def test_dropout_is_off_and_on_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 52: an evaluation with dropout is random."""
    network, questions = network_of("gpt2", dropout=0.5).train(), questions_of(5)
    modes: set[bool] = set()
    plain = F.dropout

    def spy(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        modes.add(training and p > 0)
        return plain(x, p, training, inplace)

    monkeypatch.setattr(F, "dropout", spy)
    first, second = log_likelihoods(network, questions), log_likelihoods(network, questions)
    assert first == second
    assert modes == {False}
    assert network.training


def test_faults_are_named() -> None:
    network = network_of()
    for wrong in (Asked([1], 1), Asked([1, 2], 0), Asked([1, 2], 2)):
        with pytest.raises(ValueError, match="question 1: tokens="):
            log_likelihoods(network, [[Asked([1, 2], 1)], [wrong]])
    with pytest.raises(ValueError, match="question 0 has a token outside vocab_size=40"):
        log_likelihoods(network, [[Asked([1, 40], 1)]])
    assert log_likelihoods(network, []) == []


def test_rows_of_a_batch_have_their_own_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihoods, "LOGITS", 3 * VOCABULARY)
    network = network_of().eval()
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(VOCABULARY, (3, 10), generator=generator)
    targets = torch.randint(VOCABULARY, (3, 10), generator=generator)
    targets[0, 4:], targets[2, :] = IGNORED, IGNORED
    nats, counts = row_log_likelihoods(network, Batch(tokens, targets, ("a", "b", "c")))
    loss = F.cross_entropy(network(tokens).transpose(1, 2), targets, reduction="none")
    assert counts.tolist() == [4, 10, 0]
    assert nats.tolist() == pytest.approx((-loss.sum(1)).tolist(), abs=1e-4)
