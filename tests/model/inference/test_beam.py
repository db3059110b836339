"""Beam search against every text there is, and against a plain search. Letter: V vocabulary."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from model.architectures import build, find
from model.inference.beam import Hypothesis, beam_search
from model.inference.generation import generate

V = 5


def stirred(seed: int, **sizes: int) -> Any:
    config = find("gpt").configure(
        "modern", vocab_size=V, d_model=16, n_layers=2, n_heads=2, **{"context_length": 8, **sizes}
    )
    network = build("gpt", config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
    return network


@pytest.fixture(scope="module", params=[1, 3])
def network(request: pytest.FixtureRequest) -> Any:
    return stirred(request.param)


@functools.cache
def following(network: Any, *text: int) -> list[float]:
    """Log-probabilities of what follows, from a plain pass."""
    window = torch.tensor([text[-network.context_length :]])
    with torch.no_grad():
        return network.eval()(window)[0, -1].double().log_softmax(0).tolist()


def every_text(network: Any, prompt: list[int], stop: int, count: int) -> Iterator[Any]:
    """(tokens, log-probability, tokens counted) of all texts that stop or have ``count`` tokens."""
    for n in range(1, count + 1):
        others = [token for token in range(V) if token != stop]
        for tokens in itertools.product(*[others] * (n - 1), range(V)):
            if tokens[-1] != stop and n < count:
                continue
            likelihood = sum(
                following(network, *prompt, *tokens[:i])[token] for i, token in enumerate(tokens)
            )
            ended = tokens[-1] == stop
            yield list(tokens[:-1] if ended else tokens), likelihood, n


def shown(found: list[Hypothesis]) -> tuple[list[list[int]], torch.Tensor]:
    return [h.tokens for h in found], torch.tensor([[h.likelihood, h.score] for h in found])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -0.5])
def test_wide_enough_it_ranks_all_texts(network: Any, length_penalty: float) -> None:
    found = beam_search(
        network, [1, 2], beams=500, max_new_tokens=3, length_penalty=length_penalty, stop={0}
    )
    wanted = [
        Hypothesis(tokens, likelihood, likelihood / n**length_penalty)
        for tokens, likelihood, n in every_text(network, [1, 2], 0, 3)
    ]
    wanted.sort(key=lambda h: -h.score)
    assert len(found) == 1 + 4 + 16 * V
    assert shown(found)[0] == shown(wanted)[0]
    torch.testing.assert_close(shown(found)[1], shown(wanted)[1], atol=1e-4, rtol=1e-4)
    if length_penalty == 0:  # then all of them together are certain
        total = torch.tensor([h.likelihood for h in found]).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-4)


def plain_search(
    network: Any, prompt: list[int], beams: int, count: int, penalty: float, stop: int
) -> list[Hypothesis]:
    """No cache, no early end."""
    live, finished = [(0.0, list[int]())], []
    for n in range(1, count + 1):
        grown = []
        for likelihood, tokens in live:
            for token, more in enumerate(following(network, *prompt, *tokens)):
                total = likelihood + more
                if token == stop:
                    finished.append(Hypothesis(tokens, total, total / n**penalty))
                else:
                    grown.append((total, [*tokens, token]))
        live = sorted(grown, reverse=True)[:beams]
    finished += [Hypothesis(tokens, total, total / count**penalty) for total, tokens in live]
    return sorted(finished, key=lambda h: -h.score)[:beams]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 2.0, -1.0])
@pytest.mark.parametrize(("beams", "count"), [(1, 6), (3, 12), (4, 5)])
def test_narrow_it_is_the_plain_search(
    network: Any, beams: int, count: int, penalty: float, cached: bool
) -> None:
    """Also past the context of 8, and where the search ends early."""
    options = {"beams": beams, "max_new_tokens": count, "length_penalty": penalty, "stop": {3}}
    found = beam_search(network, [1, 2, 4], cached=cached, **options)
    wanted = plain_search(network, [1, 2, 4], beams, count, penalty, 3)
    assert shown(found)[0] == shown(wanted)[0]
    torch.testing.assert_close(shown(found)[1], shown(wanted)[1], atol=1e-4, rtol=1e-4)


def test_one_beam_without_a_stop_is_greedy(network: Any) -> None:
    (found,) = beam_search(network, [2], beams=1, max_new_tokens=12)
    assert found.tokens == generate(network, [2], max_new_tokens=12, temperature=0)


def test_it_ends_once_nothing_better_can_come(network: Any) -> None:
    """The likeliest text stops at once."""
    passes: list[int] = []
    hook = network.embedding.register_forward_hook(lambda *_: passes.append(1))
    likeliest = generate(network, [1], max_new_tokens=1, temperature=0)[0]
    passes.clear()
    beam_search(network, [1], beams=1, max_new_tokens=50, stop={likeliest})
    assert len(passes) == 1
    beam_search(network, [1], beams=2, max_new_tokens=50, stop={4}, forbid={0, 1, 2, 3})
    hook.remove()
    assert len(passes) == 2  # nothing is left to go on with


def test_what_is_forbidden_never_comes(network: Any) -> None:
    found = beam_search(network, [1], beams=9, max_new_tokens=3, forbid={0, 2}, stop={0, 4})
    assert len(found) == 9  # of 1 + 2 + 4 that stop and 8 that do not
    assert {token for h in found for token in h.tokens} == {1, 3}
    only = beam_search(network, [1], beams=3, max_new_tokens=4, forbid={0, 1, 2, 3}, stop={4})
    assert [(h.tokens, h.score) for h in only] == [([], 0.0)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"beams": 0}, "beams=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"length_penalty": float("nan")}, "length_penalty=nan"),
        ({"prompt_tokens": []}, "prompt_tokens"),
        ({"prompt_tokens": [V]}, "prompt token=5"),
    ],
)
def test_settings_out_of_range_are_named(
    network: Any, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        beam_search(network, **{"prompt_tokens": [1], "beams": 2, "max_new_tokens": 2, **changed})
