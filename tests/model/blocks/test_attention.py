"""Letters: B batch, T positions, D d_model, H heads, K d_head."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks.attention import MultiHeadAttention, attend, attend_fused
from model.blocks.masks import apart, causal, positions_within, recent, same_document
from model.blocks.positions import Rotary

B, T, D, H = 2, 7, 24, 4


def make_layer(n_kv_heads: int = H, **settings: Any) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(D, H, n_kv_heads, **settings)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))


def test_book_simplified_attention():
    """Book 3.3: the six rows of "Your journey starts with one step", unscaled scores."""
    rows = torch.tensor(
        [
            [0.43, 0.15, 0.89],
            [0.55, 0.87, 0.66],
            [0.57, 0.85, 0.64],
            [0.22, 0.58, 0.33],
            [0.77, 0.25, 0.10],
            [0.05, 0.80, 0.55],
        ]
    )
    # attend divides by sqrt(K); the simplified rung does not.
    context = attend(rows * 3**0.5, rows, rows)
    expected = torch.tensor([0.4419, 0.6515, 0.5683])
    torch.testing.assert_close(context[1], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_fused_equals_readable_in_value_and_gradient(masked):
    inputs = torch.randn(3, B, H, T, 6, generator=torch.Generator().manual_seed(2))
    results = []
    for rung in (attend, attend_fused):
        leaf = inputs.clone().requires_grad_()
        value = rung(*leaf, causal(T) if masked else None)
        value.square().sum().backward()
        results.append((value, leaf.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("n_kv_heads", [H, 2, 1])
@pytest.mark.parametrize("given", [False, True])
def test_fused_layer_equals_readable_layer(x, n_kv_heads, given):
    visible = torch.ones(B, 1, 1, T, dtype=torch.bool)
    visible[0, ..., 2] = False
    results = []
    for fused in (True, False):
        layer = make_layer(n_kv_heads, qk_norm=True, fused=fused)
        value = layer(x, visible if given else None, Rotary(D // H, T, 100.0))
        value.square().sum().backward()
        results.append((value, [p.grad for p in layer.parameters()]))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("position", range(T - 1))
def test_the_future_cannot_reach_the_past(x, position, fused):
    layer = make_layer(fused=fused)
    changed = x.clone()
    changed[:, position + 1 :] += 1.0
    before, after = layer(x), layer(changed)
    past = slice(None), slice(position + 1)
    torch.testing.assert_close(before[past], after[past])
    assert not torch.allclose(before[:, position + 1 :], after[:, position + 1 :])


def test_without_the_causal_rule_the_future_reaches_the_past(x):
    layer = make_layer(causal=False)
    changed = x.clone()
    changed[:, -1] += 1.0
    assert not torch.allclose(layer(x)[:, 0], layer(changed)[:, 0])


@pytest.mark.parametrize("d_head", [None, 5])
def test_many_heads_equal_single_heads_side_by_side(x, d_head):
    layer = make_layer(d_head=d_head)
    k = d_head or D // H
    heads = []
    for head in range(H):
        rows = slice(head * k, (head + 1) * k)
        queries, keys, values = (
            x @ projection.weight[rows].T
            for projection in (layer.queries, layer.keys, layer.values)
        )
        heads.append(attend(queries, keys, values, causal(T)))
    torch.testing.assert_close(layer(x), torch.cat(heads, dim=-1) @ layer.output.weight.T)


def test_grouped_heads_equal_full_heads_with_repeated_weights(x):
    grouped, full = make_layer(2), make_layer(H)
    weights = grouped.state_dict()
    for name in ("keys.weight", "values.weight"):
        heads = weights[name].unflatten(0, (2, D // H))
        weights[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(weights)
    torch.testing.assert_close(grouped(x), full(x))


def test_a_hidden_key_is_not_read(x):
    layer = make_layer(causal=False)
    visible = torch.ones(1, 1, 1, T, dtype=torch.bool)
    visible[..., 3] = False
    changed = x.clone()
    changed[:, 3] += 1.0
    others = [0, 1, 2, 4, 5, 6]
    torch.testing.assert_close(layer(x, visible)[:, others], layer(changed, visible)[:, others])


def test_rotary_scores_depend_on_the_distance_alone():
    rotary = Rotary(8, 32, 10_000.0)
    query, key = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))
    scores = [(rotary(query, i) @ rotary(key, i + 5).T).item() for i in range(20)]
    assert max(scores) - min(scores) < 1e-5
    assert abs(scores[0] - (query @ key.T).item()) > 1e-3
    torch.testing.assert_close(rotary(query, 0), query)


@pytest.mark.parametrize("scaling", [(8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 64)])
def test_scaled_rotation_is_llama_3_1(scaling):
    """The table of ``transformers``, whose angles are fp32: near positions differ by rounding."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    factor, low, high, original = scaling
    told = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": factor}
    told |= {"low_freq_factor": low, "high_freq_factor": high}
    told |= {"original_max_position_embeddings": original}
    config = LlamaConfig(hidden_size=256, num_attention_heads=2, rope_parameters=told)
    speed, _ = ROPE_INIT_FUNCTIONS["llama3"](config)
    angle = torch.arange(200)[:, None] * speed
    rotary = Rotary(128, 200, 500_000.0, scaling)
    torch.testing.assert_close(rotary.cosine, angle.cos(), atol=5e-5, rtol=0)
    torch.testing.assert_close(rotary.sine, angle.sin(), atol=5e-5, rtol=0)
    plain = Rotary(128, 200, 500_000.0)
    changed = (rotary.sine[1] - plain.sine[1]).abs() > 1e-3 * plain.sine[1].abs()
    assert 0 < changed.sum() < 64
    torch.testing.assert_close(rotary.sine[1, -1], plain.sine[1, -1] / factor)


def test_queries_and_keys_are_normalised_then_rotated(x):
    layer = make_layer(2, qk_norm=True, qk_gain=True, epsilon=1e-3)
    rotary, generator = Rotary(D // H, T, 100.0), torch.Generator().manual_seed(3)
    for norm in (layer.queries_norm, layer.keys_norm):
        norm.weight.data.normal_(1, 0.5, generator=generator)

    def heads(projection: nn.Linear, gain: Tensor | None = None) -> Tensor:
        found = projection(x).unflatten(-1, (-1, D // H)).transpose(1, 2)
        if gain is not None:
            found = rotary(F.rms_norm(found, (D // H,), gain, 1e-3))
        return found.repeat_interleave(H // found.shape[1], dim=1)

    queries = heads(layer.queries, layer.queries_norm.weight)
    keys, values = heads(layer.keys, layer.keys_norm.weight), heads(layer.values)
    mixed = attend(queries, keys, values, causal(T)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x, None, rotary), mixed @ layer.output.weight.T)
    names = {name for name in layer.state_dict() if "norm" in name}
    assert names == {"queries_norm.weight", "keys_norm.weight"}
    assert not [name for name in make_layer(qk_norm=True).state_dict() if "norm" in name]


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"n_heads=5.*or give d_head"):
        MultiHeadAttention(D, 5)
    assert MultiHeadAttention(D, 5, d_head=3).output.in_features == 15


def test_a_window_as_mask():
    positions = torch.tensor([[0, 1, 2, 3], [3, 4, 5, 6]])
    visible = recent(3, positions, 7)
    assert visible.shape == (2, 1, 4, 7)
    for b, i, j in itertools.product(range(2), range(4), range(7)):
        assert visible[b, 0, i, j] == (positions[b, i] - j < 3)


def test_documents_as_masks_and_positions():
    documents = torch.tensor([[0, 0, 0, 1, 1, 2], [5, 4, 4, 4, 4, 4]])
    assert positions_within(documents).tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 3, 4]]
    visible = same_document(documents)
    assert visible.shape == (2, 1, 6, 6)
    for b, i, j in itertools.product(range(2), range(6), range(6)):
        assert visible[b, 0, i, j] == (documents[b, i] == documents[b, j])


@pytest.mark.parametrize("fused", [True, False])
def test_a_layer_reads_its_document_alone(x, fused):
    layer = make_layer(fused=fused)
    visible = same_document(torch.tensor([[0, 0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1, 1]]))
    together = layer(x, visible)
    for row, start, stop in [(0, 0, 3), (0, 3, 6), (0, 6, 7), (1, 0, 1), (1, 1, 7)]:
        own = layer(x[row : row + 1, start:stop])[0]
        torch.testing.assert_close(together[row, start:stop], own)


def test_stretches_are_those_of_the_documents():
    documents = torch.tensor([[0] * 70 + [1] * 90, [1] * 40 + [2] * 120])
    assert apart(documents).lengths == (70, 90, 40, 120)
    assert torch.equal(apart(documents).mask, same_document(documents))
    assert apart(torch.tensor([[0] * 100, [7] * 100])) is None
    many = torch.arange(100).repeat(2, 1)
    assert torch.equal(apart(many), same_document(many))  # a call for each token would take longer
