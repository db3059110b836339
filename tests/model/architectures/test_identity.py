"""The tables and gates of the preset ``quick``, against the same network written out.

Letters: B batch, T positions, D d_model, V vocabulary, R rows of the pair table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.architectures import build, find
from model.architectures.gpt.identity import pair_rows_of

GPT = find("gpt")
V, R, T = 50, 97, 12
CONFIG = GPT.configure(
    "quick", vocab_size=V, context_length=T, d_model=40, n_layers=3, n_heads=4, pair_rows=R
)
PARTS = {
    "embedding_skip": False,
    "value_embeddings": False,
    "previous_token": False,
    "pair_rows": None,
}
TOKENS = torch.randint(V, (3, T), generator=torch.Generator().manual_seed(4))


def stirred(**changes: Any) -> Any:
    """A network none of whose weights is zero."""
    network = build("gpt", replace(CONFIG, **changes), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return network


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def written_out(network: Any, tokens: list[int]) -> Tensor:
    """The features (T, D) of one text, token by token, from the weights alone."""
    w = dict(network.named_parameters())
    rows = []
    for place, token in enumerate(tokens):
        row = w["embedding.weight"][token]
        if place:
            pair = (
                token * 1_640_531_527 % 2147483647 + tokens[place - 1] * 1_013_904_223 % 2147483647
            )
            row = row + w["pairs.vectors.weight"][pair % 2147483647 % R]
        rows.append(norm(row))
    start = []
    for place, row in enumerate(rows):
        share = w["previous.scale"] * torch.sigmoid(w["previous.gate.weight"] @ row[:32])
        start.append(row + share * rows[place - 1] if place else row)
    x = embedded = torch.stack(start)
    for layer, block in enumerate(network.blocks):
        x = w["kept"][layer] * x + w["skipped"][layer] * embedded
        n = norm(x)
        parts = block.attention
        queries, keys, values = (
            (n @ part.weight.T).unflatten(-1, (4, 10)).transpose(0, 1)
            for part in (parts.queries, parts.keys, parts.values)
        )
        table = w[f"value_embeddings.{layer}.vectors.weight"][tokens].unflatten(-1, (4, 10))
        gates = 2 * torch.sigmoid(n[:, :32] @ w[f"value_embeddings.{layer}.gate.weight"].T)
        values = values + (table * gates[..., None]).transpose(0, 1)
        queries, keys = (network.rotary(norm(t)) for t in (queries, keys))
        read = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + read.transpose(0, 1).flatten(1) @ parts.output.weight.T
        hidden = norm(x) @ block.feed_forward.expand.weight.T
        x = x + hidden.relu().square() @ block.feed_forward.contract.weight.T
    return norm(x)


def test_it_is_the_network_written_out() -> None:
    network = stirred()
    found = network.features(TOKENS)
    for row, tokens in zip(found, TOKENS.tolist(), strict=True):
        torch.testing.assert_close(row, written_out(network, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_preset_is_on(part: str) -> None:
    """Without a part the same weights compute something else."""
    whole, without = stirred(), stirred(**{part: PARTS[part]})
    kept = {
        name: tensor for name, tensor in whole.state_dict().items() if name in without.state_dict()
    }
    assert len(kept) < len(whole.state_dict())
    without.load_state_dict(kept)
    assert not torch.allclose(whole(TOKENS), without(TOKENS), atol=1e-3)


def test_without_its_parts_it_is_modern() -> None:
    sizes = {"vocab_size": V, "context_length": T, "d_model": 40, "n_layers": 3, "n_heads": 4}
    assert replace(CONFIG, **PARTS) == GPT.configure("modern", **sizes)


def test_every_part_learns_and_begins_without_effect_on_the_first_loss() -> None:
    """After one step against it, each new weight that starts at zero has a gradient."""
    network = build("gpt", CONFIG, 0)
    assert network.pairs is not None
    assert network.previous is not None
    zero = [network.pairs.vectors.weight, network.previous.scale, network.skipped]
    assert all((weight == 0).all() for weight in zero)
    assert (network.kept == 1).all()
    network = stirred()
    network(TOKENS).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_rows_of_pairs_are_those_of_whole_numbers() -> None:
    """Also where ids are as large as any vocabulary's."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint((1 << 31) - 2, (2, 30), generator=generator)
    found = pair_rows_of(tokens, 32_768)
    prime = (1 << 31) - 1
    for row, numbers in zip(found.tolist(), tokens.tolist(), strict=True):
        for place in range(1, 30):
            expected = (1_640_531_527 * numbers[place] + 1_013_904_223 * numbers[place - 1]) % prime
            assert row[place] == expected % 32_768


def test_pairs_spread_over_the_rows() -> None:
    """All pairs of 256 tokens into as many rows: no row gets far more than its share."""
    before, own = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    tokens = torch.stack([before.flatten(), own.flatten()], dim=1)
    counts = torch.bincount(pair_rows_of(tokens, 4096)[:, 1], minlength=4096)
    assert counts.min() > 0
    assert counts.max() < 40  # 16 on average
    order = pair_rows_of(torch.tensor([[3, 7], [7, 3]]), 4096)[:, 1]
    assert order[0] != order[1]


def test_the_first_token_has_nothing_before_it() -> None:
    """Neither the end of its own row nor another document of it."""
    network = stirred()
    changed = TOKENS.clone()
    changed[:, -1] = (changed[:, -1] + 1) % V
    torch.testing.assert_close(network(TOKENS)[:, :-1], network(changed)[:, :-1])
