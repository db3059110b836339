"""Documents side by side in a row are to the network as if each were alone.

Letters: B batch, T positions, V vocabulary.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.architectures import build, find
from model.architectures.gpt.config import GPTConfig
from model.batches.batching import IGNORED, Batch, DocumentPiece, TokenStream
from model.batches.packing import Packed
from model.blocks import masks
from model.blocks.attention import MultiHeadAttention
from model.training.loop import Step, train
from model.training.objectives import next_token
from model.training.optim import Optimizer

V, T = 50, 24
GPT = find("gpt")
SHAPES = {
    preset: GPT.configure(
        preset, vocab_size=V, context_length=T, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2
    )
    for preset in ("modern", "gpt2")
}
SHAPES["quick"] = replace(SHAPES["modern"], **GPT.presets["quick"] | {"pair_rows": 97})
SHAPES |= {f"{name}, window": replace(config, window=4) for name, config in SHAPES.items()}
LENGTHS = [[9, 1, 7, 5], [24], [3, 3, 11], [20, 4]]


def stirred(config: GPTConfig) -> nn.Module:
    """No output at zero, so that every block has an effect."""
    network = build("gpt", config, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


@pytest.fixture(params=["stretches", "masks"])
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Rows of documents, two of the rows with padding behind them.

    Attention goes from stretch to stretch, or reads all of a row under a mask.
    """
    monkeypatch.setattr(masks, "SHORTEST", 1 if request.param == "stretches" else T)
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(V, (len(LENGTHS), T), generator=generator)
    targets = torch.randint(V, (len(LENGTHS), T), generator=generator)
    documents = torch.zeros_like(tokens)
    for row, lengths in enumerate(LENGTHS):
        numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        documents[row] = len(lengths)
        documents[row, : len(numbers)] = numbers
        targets[row, len(numbers) :] = IGNORED
    return Batch(tokens, targets, ("",) * len(LENGTHS), documents=documents)


def alone(batch: Batch) -> list[tuple[int, slice, Tensor, Tensor]]:
    """Row, place, tokens and targets (1, n) of each document."""
    found = []
    for row, lengths in enumerate(LENGTHS):
        start = 0
        for length in lengths:
            place = slice(start, start + length)
            found.append(
                (row, place, batch.tokens[row : row + 1, place], batch.targets[row, place])
            )
            start += length
    return found


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_those_of_each_document_alone(packed, shape, fused):
    network = stirred(SHAPES[shape])
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            module.fused = fused
    together = network(packed.tokens, documents=packed.documents)
    for row, place, tokens, _ in alone(packed):
        torch.testing.assert_close(together[row, place], network(tokens)[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, network(packed.tokens), atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_each_document_alone(packed, shape):
    network = stirred(SHAPES[shape])

    def gradients(loss: Tensor) -> tuple[Tensor, list[Tensor]]:
        return loss.detach(), list(torch.autograd.grad(loss, list(network.parameters())))

    together = gradients(next_token(network, packed))
    total = sum(network(tokens, targets[None]) for _, _, tokens, targets in alone(packed))
    apart = gradients(total)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_change_never_reaches_another_document(packed, shape):
    network = stirred(SHAPES[shape])
    before = network(packed.tokens, documents=packed.documents)
    for row, place, _, _ in alone(packed):
        changed = packed.tokens.clone()
        changed[row, place] = (changed[row, place] + 1) % V
        after = network(changed, documents=packed.documents)
        own = torch.zeros(before.shape[:2], dtype=torch.bool)
        own[row, place] = True
        assert torch.equal(before[~own], after[~own])
        assert not torch.allclose(before[own], after[own])


@pytest.mark.parametrize("shape", SHAPES)
def test_one_document_a_row_is_as_without(packed, shape):
    network = stirred(SHAPES[shape])
    documents = torch.arange(len(packed.tokens))[:, None].expand(-1, T)
    plain, told = network(packed.tokens), network(packed.tokens, documents=documents)
    torch.testing.assert_close(told, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("shape", ["modern", "gpt2"])
def test_what_lies_beyond_the_window_cannot_reach(shape, window):
    """Each of two blocks reads window - 1 tokens back."""
    network = stirred(replace(SHAPES[shape], window=window))
    reach = 2 * (window - 1)
    tokens = torch.randint(V, (1, T), generator=torch.Generator().manual_seed(3))
    before = network(tokens)
    for place in (0, 3, T - 1 - reach):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % V
        differs = (before - network(changed)).abs().amax(-1)[0]
        assert differs[:place].eq(0).all()
        assert differs[place : place + reach + 1].gt(1e-5).all()
        assert differs[place + reach + 1 :].eq(0).all()


@pytest.mark.parametrize("fused", [True, False])
def test_a_window_as_long_as_the_text_is_none(monkeypatch, fused):
    told: list[tuple[bool, bool]] = []
    attention = nn.functional.scaled_dot_product_attention

    def spy(*inputs: Tensor, **settings: Any) -> Tensor:
        told.append((settings["is_causal"], settings["attn_mask"] is not None))
        return attention(*inputs, **settings)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", spy)
    tokens = torch.randint(V, (2, T), generator=torch.Generator().manual_seed(3))
    found = []
    for window in (None, T, T - 1):
        network = stirred(replace(SHAPES["modern"], window=window))
        for block in network.blocks:
            block.attention.fused = fused
        found.append(network(tokens))
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)
    assert not torch.allclose(found[2][:, -1], found[0][:, -1])
    torch.testing.assert_close(found[2][:, :-1], found[0][:, :-1], atol=1e-5, rtol=1e-5)
    # The rule alone lets the kernel skip the blocks it forbids; a mask does not.
    assert told == ([(True, False)] * 4 + [(False, True)] * 2 if fused else [])


def test_the_loop_learns_from_packed_rows_bit_for_bit_the_same():
    """Eight lines by heart, of which only the first token is a choice."""
    config = replace(GPT.tiny, vocab_size=64)
    end, length = 63, 6
    lines = [[i, *[(i * 7 + j) % 60 for j in range(length)], end] for i in range(8)] * 12
    tokens = torch.tensor([token for line in lines for token in line]).to(torch.uint16)
    bounds = torch.arange(0, len(tokens) + 1, length + 2)
    stream = TokenStream([DocumentPiece(len(tokens), lambda: tokens, lambda: bounds)])

    def run() -> tuple[list[Any], nn.Module]:
        source = Packed({"a": stream}, {"a": 1.0}, config.context_length, 8, 0)
        network = build("gpt", config, 0)
        optimizer = Optimizer(network, "adamw", learning_rate=0.01)
        told = train(network, next_token, source.batch, optimizer, steps=40)
        return [event for event in told if isinstance(event, Step)], network

    (steps, one), (again, other) = run(), run()
    assert steps == again
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    # One target of 8 is drawn from eight: ln 8 / 8 = 0.26 nats is the least there is.
    assert 0.2 < steps[-1].loss < 0.5
    assert steps[0].loss > 3.5
