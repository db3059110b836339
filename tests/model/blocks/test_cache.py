"""What is read from the cache is what a plain pass would give. Letters: V vocabulary, T context."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.architectures import build, find
from model.architectures.gpt.config import GPTConfig
from model.blocks.attention import MultiHeadAttention
from model.blocks.cache import Reader
from model.inference.generation import ends_with, generate, generate_batch, stream_batch

V, T = 40, 16
SMALL = {"vocab_size": V, "context_length": T, "d_model": 32, "n_layers": 2, "n_heads": 4}
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"preset": name} for name in ("modern", "gpt2", "llama")},
    "quick": {"preset": "quick", "pair_rows": 97},
    "quick, grouped": {"preset": "quick", "pair_rows": 7, "n_kv_heads": 2, "window": 5},
    "learned with pairs": {"preset": "gpt2", "pair_rows": 30},
    "learned with the previous token": {"preset": "gpt2", "previous_token": True},
    "grouped": {"preset": "modern", "n_kv_heads": 2, "feed_forward": "swiglu"},
    "one key head": {"preset": "gpt2", "n_kv_heads": 1, "dropout": 0.5},
    "rotary without qk_norm": {"preset": "modern", "qk_norm": False, "norm": "layer", "bias": True},
    "learned with qk_norm": {"preset": "gpt2", "qk_norm": True, "norm": "rms", "tied_head": False},
    "window": {"preset": "modern", "window": 5},
    "learned and window": {"preset": "gpt2", "window": 3, "n_kv_heads": 2},
    "qwen and window": {
        **{"preset": "llama", "d_head": 6, "qk_norm": True, "qk_gain": True, "window": 4},
        "rotary_scaling": (4.0, 1.0, 2.0, 8),
    },
}
PROMPTS = [[1, 2, 3], [7], list(range(12)), list(range(20, 36)), [5, 5, 5, 5, 5], [9] * 30]
SAMPLING = {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1}


def stirred(config: GPTConfig) -> Any:
    """No output at zero, so that every block has an effect."""
    network = build("gpt", config, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.15)
    return network


@pytest.fixture(scope="module", params=VARIANTS)
def network(request: pytest.FixtureRequest) -> Any:
    return stirred(find("gpt").configure(**{**SMALL, **VARIANTS[request.param]}))


@pytest.fixture(scope="module")
def modern() -> Any:
    return stirred(find("gpt").configure("modern", **SMALL, n_kv_heads=2))


@pytest.mark.parametrize("fused", [True, False])
def test_ragged_rows_in_pieces_are_the_rows_read_whole(network: Any, fused: bool) -> None:
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            module.fused = fused
    network.eval()
    tokens = torch.randint(V, (3, T), generator=torch.Generator().manual_seed(2))
    begins, whole = [5, 1, 3], network(tokens)
    cache = network.cache(3, T)
    first = network.logits(network.continued(tokens[:, : max(begins)], cache))
    torch.testing.assert_close(first, whole[:, : max(begins)], atol=1e-5, rtol=1e-5)
    cache.lengths = list(begins)  # what lies behind them is padding from here on
    for width in (1, 4, 1, 5):  # pieces of one token and of several, on top of what is held
        places = torch.tensor(cache.lengths)[:, None] + torch.arange(width)
        piece = tokens.gather(1, places)
        found = network.logits(network.continued(piece, cache))
        wanted = whole.gather(1, places[..., None].expand(-1, -1, V))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert cache.lengths == [begin + 11 for begin in begins]
    assert not cache.keys.requires_grad


def test_rows_are_dropped_reordered_repeated_and_cut(network: Any) -> None:
    network.eval()
    tokens = torch.randint(V, (3, 9), generator=torch.Generator().manual_seed(3))
    cache = network.cache(3, T)
    network.continued(tokens[:, :8], cache)
    for rows in ([2, 0, 1], [1, 1], [0, 1, 1]):
        cache.select(rows)
        tokens = tokens[rows]
        cache.lengths = [8] * len(rows)
        found = network.logits(network.continued(tokens[:, 8:], cache))
        torch.testing.assert_close(found[:, 0], network(tokens)[:, 8], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("choosing", [{"temperature": 0}, SAMPLING])
@pytest.mark.parametrize("prompt", [[3], list(range(15)), list(range(30))])
def test_cached_tokens_are_the_uncached(
    network: Any, prompt: list[int], choosing: dict[str, Any]
) -> None:
    """Also past the context, where the window slides."""
    plain, cached = (
        generate(network, prompt, max_new_tokens=20, seed=4, cached=cached, **choosing)
        for cached in (False, True)
    )
    assert cached == plain
    assert len(plain) == 20


@pytest.mark.parametrize("choosing", [{"temperature": 0}, SAMPLING])
def test_each_of_many_is_as_alone(network: Any, choosing: dict[str, Any]) -> None:
    seeds = [11, 5, 7, 11, 2, 3]
    together = generate_batch(network, PROMPTS, seeds=seeds, max_new_tokens=8, **choosing)
    for prompt, seed, tokens in zip(PROMPTS, seeds, together, strict=True):
        alone = generate(network, prompt, seed=seed, max_new_tokens=8, cached=False, **choosing)
        assert tokens == alone


@settings(max_examples=25)
@given(
    prompts=st.lists(
        st.lists(st.integers(0, V - 1), min_size=1, max_size=20), min_size=1, max_size=5
    ),
    stop=st.sets(st.integers(0, V - 1), max_size=6),
    ending=st.lists(st.integers(0, V - 1), min_size=1, max_size=2),
    count=st.integers(0, 12),
)
def test_each_ends_by_itself(
    modern: Any, prompts: list[list[int]], stop: set[int], ending: list[int], count: int
) -> None:
    told = {"max_new_tokens": count, "stop": stop, "until": ends_with(ending), "temperature": 2.0}
    together = generate_batch(modern, prompts, **told)
    for seed, (prompt, tokens) in enumerate(zip(prompts, together, strict=True)):
        assert tokens == generate(modern, prompt, seed=seed, cached=False, **told)
        assert len(tokens) <= count
        assert not stop & set(tokens)
        assert not any(tokens[: i + 1][-len(ending) :] == ending for i in range(len(tokens) - 1))


def test_logits_of_the_reader_are_those_of_a_plain_pass(network: Any) -> None:
    """Texts that grow by one, by three, leave, and outgrow the context."""
    generator = torch.Generator().manual_seed(5)
    texts = {number: list(prompt) for number, prompt in enumerate(PROMPTS)}
    reader = Reader(network, len(texts), T)
    for grown in (1, 1, 3, 1, 2, 1, 4, 1):
        found = reader.read(texts)
        assert list(found) == list(texts)
        network.eval()
        for number, text in texts.items():
            plain = network(torch.tensor([text[-T:]]))[0, -1]
            torch.testing.assert_close(found[number], plain, atol=1e-5, rtol=1e-5)
        if grown == 3:
            del texts[1]
        for text in texts.values():
            text += torch.randint(V, (grown,), generator=generator).tolist()


def test_each_token_is_read_once_while_it_fits(modern: Any) -> None:
    read: list[int] = []
    hook = modern.embedding.register_forward_hook(lambda _, args, __: read.append(args[0].numel()))
    generate(modern, [1, 2, 3], max_new_tokens=T, temperature=0)
    # 3 tokens hold 13 more until the context is full; then all of it is read for every token.
    assert read == [3, *[1] * 12, T, T, T]
    read.clear()
    generate_batch(modern, [[1, 2, 3], [4]], max_new_tokens=3, temperature=0)
    hook.remove()
    assert read == [6, 2, 2]


def test_tokens_come_as_they_are_made(modern: Any) -> None:
    made = stream_batch(modern, [[1], [2, 3]], max_new_tokens=3, seeds=[1, 2])
    assert [number for number, _ in itertools.islice(made, 4)] == [0, 1, 0, 1]
    assert modern.training
    assert generate_batch(modern, [], max_new_tokens=3) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_cache_is_of_the_networks_dtype(dtype: torch.dtype) -> None:
    network: Any = stirred(find("gpt").configure("modern", **SMALL)).to(dtype).eval()
    cache = network.cache(1, 8)
    assert cache.keys.dtype == dtype
    assert cache.keys.shape == (2, 1, 8, 4, 8)
    tokens = torch.arange(8)[None]
    pieces = [network.continued(piece, cache) for piece in tokens.split([3, 1, 1, 3], dim=1)]
    limit = 0.1 if dtype == torch.bfloat16 else 1e-6
    plain = network.features(tokens)
    torch.testing.assert_close(torch.cat(pieces, dim=1), plain, atol=limit, rtol=limit)


def test_it_works_under_autocast(modern: Any) -> None:
    modern.eval()
    tokens, cache = torch.arange(8)[None], modern.cache(1, 8)
    with torch.autocast("cpu", torch.bfloat16):
        pieces = [modern.continued(piece, cache) for piece in tokens.split([3, 1, 4], dim=1)]
    plain = modern.features(tokens)
    torch.testing.assert_close(torch.cat(pieces, dim=1).float(), plain, atol=0.2, rtol=0.1)


def test_what_does_not_fit_is_named(modern: Any) -> None:
    with pytest.raises(ValueError, match="length=17 exceeds context_length=16"):
        modern.cache(1, T + 1)
    cache = modern.cache(1, 4)
    modern.continued(torch.zeros(1, 3, dtype=torch.int64), cache)
    with pytest.raises(ValueError, match="length=5 exceeds the cache's 4"):
        modern.continued(torch.zeros(1, 2, dtype=torch.int64), cache)
    with pytest.raises(ValueError, match="rows=2 exceed the cache's 1"):
        cache.select([0, 0])
    with pytest.raises(ValueError, match="seeds=1 prompts=2"):
        generate_batch(modern, [[1], [2]], max_new_tokens=1, seeds=[0])
    with pytest.raises(ValueError, match=r"ending=\[\]"):
        ends_with([1], [])
