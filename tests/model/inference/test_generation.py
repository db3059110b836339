from collections import Counter

import pytest
import torch

from model.architectures import build, find
from model.inference.generation import ends_with, generate, stream
from model.inference.sampling import Sampling, filtered, penalised

CONFIG = find("gpt").configure("gpt2", vocab_size=40, context_length=8, d_model=32, dropout=0.5)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    network = build("gpt", CONFIG, 0)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            parameter.add_(noise, alpha=0.3)
    return network


def draws(logits: list[float], count: int = 2000, **settings: float) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(**settings)
    return Counter(sampling.choose(torch.tensor(logits), [], generator) for _ in range(count))


def test_greedy_takes_the_likeliest_and_crops_to_the_context(network):
    prompt, tokens = [3, 1, 2], [3, 1, 2]
    network.eval()
    for _ in range(12):
        with torch.no_grad():
            tokens.append(int(network(torch.tensor([tokens[-8:]]))[0, -1].argmax()))
    network.train()
    assert generate(network, prompt, max_new_tokens=12, temperature=0) == tokens[3:]
    assert network.training


def test_a_seed_decides_the_draws_and_nothing_else_does(network):
    settings = {"max_new_tokens": 20, "temperature": 2.0}
    one = generate(network, [1], seed=1, **settings)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    assert generate(network, [1], seed=1, **settings) == one
    assert torch.equal(before, torch.get_rng_state())
    assert generate(network, [1], seed=2, **settings) != one


def test_streamed_tokens_are_the_generated_ones(network):
    tokens = stream(network, [1], max_new_tokens=5, seed=3)
    first = next(tokens)
    assert network.training
    assert [first, *tokens] == generate(network, [1], max_new_tokens=5, seed=3)


def test_it_ends_at_a_stop_which_is_not_given(network):
    tokens = generate(network, [1], max_new_tokens=20, temperature=0)
    stop = tokens[4]
    ended = generate(network, [1], max_new_tokens=20, temperature=0, stop={stop})
    assert ended == tokens[: tokens.index(stop)]


def test_it_ends_behind_a_sequence_or_when_told(network):
    settings = {"max_new_tokens": 20, "temperature": 3.0, "seed": 6}
    tokens = generate(network, [1], **settings)
    ending = tokens[6:8]
    first = next(i for i in range(2, 21) if tokens[i - 2 : i] == ending)
    assert generate(network, [1], until=ends_with([50], ending), **settings) == tokens[:first]
    told = []
    assert generate(network, [1], until=told.append, **settings) == tokens
    assert told == [tokens[:i] for i in range(1, 21)]  # without the prompt
    words = [f"<{token}>" for token in range(40)]

    def said(new):
        return words[tokens[4]] + words[tokens[5]] in "".join(words[token] for token in new)

    last = next(i for i in range(2, 21) if tokens[i - 2 : i] == tokens[4:6])
    assert generate(network, [1], until=said, **settings) == tokens[:last]


def test_what_is_forbidden_never_comes(network):
    allowed = {3, 17}
    forbid = set(range(40)) - allowed
    tokens = generate(network, [1], max_new_tokens=30, temperature=5.0, forbid=forbid)
    assert set(tokens) <= allowed
    assert generate(network, [1], max_new_tokens=1, temperature=0, forbid=forbid)[0] in allowed


LOGITS = torch.tensor([0.5, 0.1, 0.3, 0.1]).log()


def test_top_k_keeps_so_many():
    kept = filtered(LOGITS, top_k=2).isfinite().tolist()
    assert kept == [True, False, True, False]
    assert filtered(LOGITS, top_k=9).equal(LOGITS)
    assert set(draws(LOGITS.tolist(), top_k=1)) == {0}


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {0}), (0.6, {0, 2}), (0.85, {0, 1, 2}), (1, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p, kept):
    finite = filtered(LOGITS, top_p=top_p).isfinite().nonzero().flatten().tolist()
    assert set(finite) == kept


@pytest.mark.parametrize(
    ("min_p", "kept"), [(0.1, {0, 1, 2, 3}), (0.3, {0, 2}), (0.59, {0, 2}), (0.61, {0}), (1, {0})]
)
def test_min_p_keeps_what_reaches_a_share_of_the_likeliest(min_p, kept):
    finite = filtered(LOGITS, min_p=min_p).isfinite().nonzero().flatten().tolist()
    assert set(finite) == kept
    assert set(draws(LOGITS.tolist(), 300, min_p=min_p)) == kept


def test_the_filters_narrow_one_another():
    kept = filtered(LOGITS, top_k=3, top_p=0.85, min_p=0.5).isfinite().tolist()
    assert kept == [True, False, True, False]
    # Heat comes first: evened out, the second is above the share that it missed.
    assert set(draws(LOGITS.tolist(), min_p=0.7)) == {0}
    assert set(draws(LOGITS.tolist(), min_p=0.7, temperature=2.0)) == {0, 2}


def test_draws_follow_the_temperature():
    plain = draws(LOGITS.tolist())
    for token, share in enumerate([0.5, 0.1, 0.3, 0.1]):
        assert plain[token] / 2000 == pytest.approx(share, abs=0.04)
    cold = draws(LOGITS.tolist(), temperature=0.5)
    assert cold[0] / 2000 == pytest.approx(0.25 / 0.36, abs=0.04)


def test_the_penalty_makes_what_was_seen_less_likely():
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert penalised(logits, [0, 1, 0], 2.0).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0]


def test_the_penalty_is_for_what_the_context_holds(network):
    tokens = [1]
    network.eval()
    for _ in range(20):
        with torch.no_grad():
            logits = network(torch.tensor([tokens[-8:]]))[0, -1]
        for seen in set(tokens[-8:]):
            logits[seen] = logits[seen] / 3 if logits[seen] > 0 else logits[seen] * 3
        tokens.append(int(logits.argmax()))
    settings = {"max_new_tokens": 20, "temperature": 0, "repetition_penalty": 3.0}
    assert generate(network, [1], **settings) == tokens[1:]
    assert len(set(tokens)) < len(tokens)  # forgotten ones come again


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_tokens": []}, "prompt_tokens"),
        ({"prompt_tokens": [40]}, "prompt token=40"),
        ({"forbid": {41}}, "forbid=41"),
        ({"forbid": set(range(40))}, "allow at least one"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"min_p": 1.5}, "min_p=1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0.0"),
    ],
)
def test_settings_out_of_range_are_named(network, settings, message):
    with pytest.raises(ValueError, match=message):
        generate(network, **{"prompt_tokens": [1], "max_new_tokens": 1, **settings})
