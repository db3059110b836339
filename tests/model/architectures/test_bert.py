"""The encoder: it reads both sides and nothing beyond, and equals transformers' BERT."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, find
from model.architectures.bert.config import BERTConfig, flops_per_token, parameter_count
from model.batches.batching import IGNORED, Batch
from model.blocks import masks
from model.blocks.attention import MultiHeadAttention
from model.blocks.kernels import capped_logits
from model.evaluation import mean_loss
from model.training.loop import Step, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer

BERT = find("bert")
SMALL = {"vocab_size": 60, "context_length": 20, "d_model": 40, "n_layers": 2, "n_heads": 4}
SHAPES = {
    "modern": BERT.configure("modern", **SMALL),
    "bert": BERT.configure("bert", **SMALL, dropout=0.0),
    "norm first": BERT.configure("bert", **SMALL, norm_first=True, dropout=0.0),
    "grouped swiglu": BERT.configure(
        **SMALL, n_kv_heads=2, feed_forward="swiglu", norm_gain=True, head_transform=True
    ),
}


def stirred(config: BERTConfig, seed: int = 0) -> torch.nn.Module:
    """A network none of whose weights is zero: a fresh one's blocks may add nothing yet."""
    network = build("bert", config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return network.eval()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(60, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_change_anywhere_reaches_everywhere(shape):
    network, tokens = stirred(SHAPES[shape]), drawn(1, 8)
    before = network(tokens)
    for position in range(8):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % 60
        moved = (network(changed) - before).abs().amax(-1)[0]
        assert (moved > 1e-4).all(), f"{position} does not reach {moved.argmin()}"


@pytest.mark.parametrize("shortest", [1, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_documents_of_a_row_are_read_as_if_alone(shape, shortest, monkeypatch):
    monkeypatch.setattr(masks, "SHORTEST", shortest)
    network = stirred(SHAPES[shape])
    one, two = drawn(1, 7), drawn(1, 5, seed=1)
    filling = drawn(1, 3, seed=2)
    documents = torch.tensor([[0] * 7 + [1] * 5 + [2] * 3])
    together = network(torch.cat([one, two, filling], 1), documents=documents)
    torch.testing.assert_close(together[:, :7], network(one))
    torch.testing.assert_close(together[:, 7:12], network(two))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_is_the_sum_over_what_is_asked_for(shape):
    network, tokens = stirred(SHAPES[shape]), drawn(3, 9)
    targets = torch.full_like(tokens, IGNORED)
    targets[0, 2], targets[2, 5], targets[2, 6] = 4, 59, 0
    tokens[targets != IGNORED] = network.mask
    logits = network(tokens)
    assert logits.shape == (3, 9, 60), "the mask is never an answer"
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    torch.testing.assert_close(network(tokens, targets), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_match_the_network(shape):
    config = SHAPES[shape]
    network = stirred(config).double()  # in double the plain kernels run, which are counted
    assert sum(p.numel() for p in network.parameters()) == parameter_count(config)
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            module.fused = False  # the counter sees matrix products
    tokens = drawn(2, config.context_length)
    targets = torch.full_like(tokens, IGNORED)
    targets[:, :3] = tokens[:, :3]  # 3 of 20: the share that training asks for
    with FlopCounterMode(display=False) as counter:
        network(tokens, targets).backward()
    assert counter.get_total_flops() == flops_per_token(config, asked=0.15) * tokens.numel()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_is_drawn(shape):
    network = build("bert", SHAPES[shape], 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    network.initialise(torch.Generator().manual_seed(0))
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    gains = {n: p for n, p in network.named_parameters() if n.endswith("norm.weight")}
    assert all((p == 1).all() for p in gains.values())
    assert bool(gains) == (shape != "modern")


def test_overfits_a_batch_as_bert_was_published():
    config = BERT.configure("bert", **SMALL, dropout=0.0)
    network, tokens = build("bert", config, 0), drawn(4, 12)
    asked = drawn(4, 12, seed=1) < 15
    hidden, targets = tokens.masked_fill(asked, network.mask), tokens.where(asked, IGNORED)
    batch = Batch(hidden, targets, ("a", "b", "c", "d"))
    objective = OBJECTIVES["masked_token"]
    optimizer = Optimizer(network, "adamw", learning_rate=3e-3)
    events = train(network, objective, lambda _: batch, optimizer, steps=150)
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert losses[0] > 3
    assert mean_loss(network, objective, [batch]).nats < 0.1


def test_equals_transformers_bert():
    """Masked-word logits of ``BertForMaskedLM`` with random weights, mapped by name."""
    transformers = pytest.importorskip("transformers", reason="transformers is a test dependency")
    network = stirred(SHAPES["bert"])
    about = transformers.BertConfig(
        vocab_size=61,
        hidden_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=160,
        max_position_embeddings=20,
        hidden_act="gelu_new",  # the tanh form, which the released code has
        attn_implementation="eager",
    )
    theirs = transformers.BertForMaskedLM(about).eval()
    theirs.load_state_dict(_in_their_names(dict(network.named_parameters())), strict=False)
    with torch.no_grad():
        theirs.bert.embeddings.token_type_embeddings.weight.zero_()
        theirs.cls.predictions.bias.zero_()
        tokens = drawn(3, 20)
        tokens[:, ::4] = network.mask
        told = theirs(input_ids=tokens, output_hidden_states=True)
        features = network.features(tokens)
        torch.testing.assert_close(features, told.hidden_states[-1], atol=1e-4, rtol=0)
        torch.testing.assert_close(network(tokens), told.logits[..., :60], atol=1e-4, rtol=0)
    assert told.logits.abs().max() > 1, "equal because they are nothing"


def _in_their_names(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters under BertForMaskedLM's names; KeyError for one without a place there."""
    layer = {
        "attention.queries": "attention.self.query",
        "attention.keys": "attention.self.key",
        "attention.values": "attention.self.value",
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feed_forward.expand": "intermediate.dense",
        "feed_forward.contract": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    outside = {
        "embedding": "bert.embeddings.word_embeddings",
        "positions": "bert.embeddings.position_embeddings",
        "embedding_norm": "bert.embeddings.LayerNorm",
        "transform.mix": "cls.predictions.transform.dense",
        "transform.norm": "cls.predictions.transform.LayerNorm",
    }
    found = {}
    for name, tensor in ours.items():
        module, _, kind = name.rpartition(".")
        if module.startswith("blocks."):
            _, number, part = module.split(".", 2)
            found[f"bert.encoder.layer.{number}.{layer[part]}.{kind}"] = tensor
        else:
            found[f"{outside[module]}.{kind}"] = tensor
    return found


@pytest.mark.parametrize("preset", BERT.presets)
def test_untrained_loss_is_that_of_a_uniform_guess(preset):
    network = build("bert", BERT.configure(preset, vocab_size=500), 0).eval()
    tokens = torch.randint(500, (4, 64), generator=torch.Generator().manual_seed(0))
    loss = network(torch.full_like(tokens, network.mask), tokens).item() / tokens.numel()
    assert loss == pytest.approx(torch.tensor(500.0).log().item(), abs=0.1)


def test_capped_logits_are_the_modern_presets():
    network = stirred(SHAPES["modern"])
    tokens = drawn(1, 6)
    expected = capped_logits(network.features(tokens), network.head.weight, 15.0)
    assert torch.equal(network(tokens), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window": 4}, "window=4 is for decoders alone: leave it out of a bert"),
        ({"d_model": 30}, "d_model=30 must be a multiple of n_heads=4"),
        ({"norm_frist": True}, "did you mean 'norm_first'"),
    ],
)
def test_a_wrong_configuration_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        BERT.configure(**{**SMALL, **values})


def test_too_long_a_sequence_is_refused():
    network = build("bert", BERT.tiny, 0)
    with pytest.raises(ValueError, match="length=17 exceeds context_length=16"):
        network(torch.zeros(1, 17, dtype=torch.int64))
