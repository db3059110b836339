"""Each rung of attention equals the one below it under the same weights, or adds one thing.

Letters: B batch, T positions, D d_model, H heads, K d_head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.architectures import find
from model.architectures.gpt.config import GPTConfig
from model.batches.batching import IGNORED, Batch
from model.blocks.attention import MultiHeadAttention, SelfAttention, SimplifiedAttention, shares
from model.blocks.masks import causal
from model.blocks.positions import Rotary
from model.evaluation import mean_loss
from model.inference.generation import generate
from model.ladder import RUNGS, Rung, attention_maps, honest_loss, on_rung
from model.training.loop import train
from model.training.objectives import next_token
from model.training.optim import Optimizer
from model.training.state import weights

B, T, D, H = 2, 7, 24, 4
K = D // H
V = 11
CONFIG: GPTConfig = find("gpt").configure(
    "gpt2",
    vocab_size=V,
    context_length=T,
    d_model=D,
    n_layers=2,
    n_heads=H,
    n_kv_heads=2,
    qkv_bias=False,
)
BY_NAME = {rung.name: rung for rung in RUNGS}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))


def single(*, is_causal: bool, d_head: int = D) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(D, d_head, causal=is_causal)


def many(n_kv_heads: int = H, *, fused: bool = False) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(D, H, n_kv_heads, fused=fused)


def assert_equal(
    one: Callable[[Tensor], Tensor],
    other: Callable[[Tensor], Tensor],
    x: Tensor,
    *parameters: list[Tensor],
) -> None:
    """The same value, and the same gradient by x and by each list of parameters."""
    slope = torch.randn(one(x).shape, generator=torch.Generator().manual_seed(2))
    found = []
    for layer, own in zip((one, other), parameters or ([], []), strict=True):
        leaf = x.clone().requires_grad_()
        value = layer(leaf)
        found.append((value, torch.autograd.grad(value, [leaf, *own], slope)))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


# --- each rung and the one below -----------------------------------------------------------------


def test_simplified_is_a_mean_weighted_by_likeness(x: Tensor) -> None:
    context = SimplifiedAttention()(x)
    for b in range(B):
        for t in range(T):
            likeness = [math.exp(float(x[b, t] @ x[b, s])) for s in range(T)]
            mean = sum(w * x[b, s] for s, w in enumerate(likeness)) / sum(likeness)
            torch.testing.assert_close(context[b, t], mean, atol=1e-5, rtol=1e-4)


def test_self_attention_with_projections_that_do_nothing_is_simplified(x: Tensor) -> None:
    layer = single(is_causal=False)
    with torch.no_grad():
        for projection in (layer.queries, layer.keys, layer.values):
            projection.weight.copy_(torch.eye(D))
        layer.queries.weight.mul_(D**0.5)  # the rung below does not scale
    assert_equal(layer, SimplifiedAttention(), x)


def test_causal_is_self_attention_on_what_came_before(x: Tensor) -> None:
    masked, free = single(is_causal=True), single(is_causal=False)

    def each_prefix(x: Tensor) -> Tensor:
        return torch.stack([free(x[:, : t + 1])[:, -1] for t in range(T)], dim=1)

    assert_equal(masked, each_prefix, x, [*masked.parameters()], [*free.parameters()])


def test_a_masked_softmax_is_a_softmax_masked_and_divided_anew(x: Tensor) -> None:
    def masked_after(x: Tensor) -> Tensor:
        left = shares(x, x) * causal(T)
        return left / left.sum(dim=-1, keepdim=True)

    assert_equal(lambda x: shares(x, x, causal(T)), masked_after, x)


def test_many_heads_are_single_heads_side_by_side(x: Tensor) -> None:
    layer = many()
    heads = [single(is_causal=True, d_head=K) for _ in range(H)]
    with torch.no_grad():
        for number, head in enumerate(heads):
            rows = slice(number * K, (number + 1) * K)
            for name in ("queries", "keys", "values"):
                getattr(head, name).weight.copy_(getattr(layer, name).weight[rows])

    def side_by_side(x: Tensor) -> Tensor:
        mixed: Tensor = layer.output(torch.cat([head(x) for head in heads], dim=-1))
        return mixed

    assert_equal(layer, side_by_side, x)
    leaf = x.clone()
    for attention in (layer, side_by_side):
        attention(leaf).square().sum().backward()  # also fills the gradients of the weights
    stacked = torch.cat([head.values.weight.grad for head in heads])  # type: ignore[misc]
    torch.testing.assert_close(layer.values.weight.grad, stacked)


def test_one_head_of_many_is_the_causal_rung(x: Tensor) -> None:
    below = single(is_causal=True)
    layer = MultiHeadAttention(D, 1, fused=False)
    same = below.state_dict() | {"output.weight": torch.eye(D)}
    layer.load_state_dict(same)
    assert_equal(layer, below, x, [*layer.parameters()][:3], [*below.parameters()])


def test_grouped_queries_are_many_heads_whose_keys_repeat(x: Tensor) -> None:
    grouped, full = many(2), many()
    repeated = grouped.state_dict()
    for name in ("keys.weight", "values.weight"):
        by_head = repeated[name].unflatten(0, (2, K))
        repeated[name] = by_head.repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(repeated)
    assert_equal(grouped, full, x, [grouped.queries.weight], [full.queries.weight])


@pytest.mark.parametrize("n_kv_heads", [H, 2, 1])
def test_fused_is_readable(x: Tensor, n_kv_heads: int) -> None:
    fused, readable = many(n_kv_heads, fused=True), many(n_kv_heads)
    assert_equal(fused, readable, x, [*fused.parameters()], [*readable.parameters()])


# --- what every rung can do ----------------------------------------------------------------------


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_only_the_rungs_without_a_mask_look_ahead(rung: Rung, x: Tensor) -> None:
    torch.manual_seed(0)
    layer = rung.attention(CONFIG)
    changed = x.clone()
    changed[:, 4:] += 1.0
    assert torch.allclose(layer(x)[:, :4], layer(changed)[:, :4]) is not rung.looks_ahead


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
@pytest.mark.parametrize("turned", [False, True])
def test_the_weights_that_are_looked_at_are_those_that_are_used(
    rung: Rung, x: Tensor, turned: bool
) -> None:
    torch.manual_seed(0)
    layer: Any = rung.attention(CONFIG)
    heads = layer.n_heads if isinstance(layer, MultiHeadAttention) else 1
    rotary = Rotary(D // heads, T, 100.0) if turned else None
    seen = torch.ones(B, 1, 1, T, dtype=torch.bool)
    seen[0, ..., 2] = False
    used = layer.weights(x, seen, rotary)
    assert used.shape == (B, heads, T, T)
    torch.testing.assert_close(used.sum(dim=-1), torch.ones(B, heads, T))
    assert used[0, ..., 3:, 2].abs().max() == 0
    values = x[:, None] if isinstance(layer, SimplifiedAttention) else None
    if values is None:
        values = layer.values(x).unflatten(-1, (-1, D // heads)).transpose(1, 2)
        values = values.repeat_interleave(heads // values.shape[1], dim=1)
    mixed = (used @ values).transpose(1, 2).flatten(2)
    expected = layer.output(mixed) if heads > 1 else mixed
    torch.testing.assert_close(layer(x, seen, rotary), expected)


def test_a_rung_without_a_memory_says_so(x: Tensor) -> None:
    for layer in (SimplifiedAttention(), single(is_causal=True)):
        with pytest.raises(ValueError, match="cached=False"):
            layer(x, remember=lambda keys, values: (keys, values))


# --- the same network on each rung ---------------------------------------------------------------


def test_networks_differ_in_their_attention_alone() -> None:
    plain = weights(on_rung(BY_NAME["fused"], CONFIG, 5))
    shared = {name for name in plain if ".attention." not in name}
    assert len(shared) == 2 + 2 + 2 * 8  # embeddings, last norm; two norms, feed-forward a block
    for rung in RUNGS:
        found = weights(on_rung(rung, CONFIG, 5))
        assert {name for name in found if ".attention." not in name} == shared
        for name in shared:
            assert torch.equal(found[name], plain[name]), (rung.name, name)
        inside = [tensor for name, tensor in found.items() if name.endswith("queries.weight")]
        assert all(0.015 < tensor.std() < 0.025 for tensor in inside)  # the table of initialise


def some_batches() -> Iterator[Batch]:
    """Two batches, one with targets that do not count."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        tokens = torch.randint(V, (3, T + 1), generator=generator)
        yield Batch(tokens[:, :-1], tokens[:, 1:].clone(), ("",) * 3)
    tokens = torch.randint(V, (2, T + 1), generator=generator)
    targets = tokens[:, 1:].clone()
    targets[1, 3:] = IGNORED
    yield Batch(tokens[:, :-1], targets, ("",) * 2)


@pytest.mark.parametrize("name", ["causal", "multi-head", "grouped-query", "fused"])
def test_without_a_look_ahead_the_loss_is_honest_as_it_is(name: str) -> None:
    network = on_rung(BY_NAME[name], CONFIG, 5)
    plain = mean_loss(network, next_token, some_batches()).nats
    assert honest_loss(network, some_batches()) == pytest.approx(plain, rel=1e-5)


def learned(rung: Rung) -> nn.Module:
    """Trained on tokens of which none tells anything about the next."""
    network = on_rung(rung, CONFIG, 5)
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(V, (150, 16, T + 1), generator=generator)

    def batch(step: int) -> Batch:
        return Batch(tokens[step, :, :-1], tokens[step, :, 1:], ("",) * 16)

    optimizer = Optimizer(network, learning_rate=0.01)
    for _ in train(network, next_token, batch, optimizer, steps=len(tokens)):
        pass
    return network


def test_without_a_mask_it_copies_what_it_should_foretell() -> None:
    network = learned(BY_NAME["self-attention"])
    seen = mean_loss(network, next_token, some_batches()).nats
    # Nothing can be foretold here: honest is no better than ln V.
    assert seen < 0.5 * math.log(V) < 0.95 * math.log(V) < honest_loss(network, some_batches())
    reads = attention_maps(network, next(some_batches()).tokens[:1])[0]
    assert reads.shape == (1, T, T)
    ahead = reads[0].diagonal(1)  # of the next token
    assert ahead.mean() > 0.5


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_every_rung_writes(rung: Rung) -> None:
    network = on_rung(rung, CONFIG, 5)
    made = generate(network, [1, 2], max_new_tokens=T + 3, cached=False)
    assert len(made) == T + 3
    assert all(0 <= token < V for token in made)


def test_maps_leave_no_hook_behind() -> None:
    network: Any = on_rung(BY_NAME["fused"], CONFIG, 5)
    maps = attention_maps(network, torch.tensor([[1, 2, 3]]))
    assert [tuple(each.shape) for each in maps] == [(H, 3, 3)] * 2
    assert not any(block.attention._forward_hooks for block in network.blocks)
    with pytest.raises(ValueError, match="context_length"):
        attention_maps(network, torch.zeros(1, T + 1, dtype=torch.int64))
    assert not any(block.attention._forward_hooks for block in network.blocks)
