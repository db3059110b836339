"""The encoder-decoder: equal to two others' of the same weights, blind where it must be, searched.

Letters: B batch, S source positions, T target positions, V vocabulary.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, find
from model.architectures.encoder_decoder import stacks
from model.architectures.encoder_decoder.config import (
    EncoderDecoderConfig,
    flops_per_token,
    parameter_count,
)
from model.architectures.encoder_decoder.network import Transformer
from model.architectures.encoder_decoder.search import pad, translate
from model.batches.batching import IGNORED, Batch
from model.batches.examples import Examples
from model.blocks.attention import MultiHeadAttention, attend
from model.evaluation import mean_loss
from model.training.loop import Saved, Step, snapshot, train
from model.training.objectives import sequence_to_sequence
from model.training.optim import Optimizer

V, LENGTH = 50, 12
ENCODER_DECODER = find("encoder_decoder")
SMALL = {"vocab_size": V, "context_length": LENGTH, "d_model": 32, "n_heads": 4}
LAYERS = {"encoder_layers": 2, "decoder_layers": 3}
SHAPES = {
    preset: ENCODER_DECODER.configure(preset, **SMALL, **LAYERS, dropout=0.0)
    for preset in ("modern", "original")
}
SHAPES |= {
    "learned positions": replace(SHAPES["original"], positions="learned", norm_first=True),
    "mixed": replace(SHAPES["modern"], norm="layer", bias=True, tied_head=True, d_feed_forward=40),
}
BEGIN, END = 0, 1


def stirred(config: EncoderDecoderConfig, seed: int = 0) -> Transformer:
    """No output at zero, so that every part has an effect."""
    network: Any = build("encoder_decoder", config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return network


def drawn(*shape: int, seed: int = 3) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES)
def network(request) -> Transformer:
    return stirred(SHAPES[request.param])


@pytest.fixture
def batch() -> Batch:
    """Eight pairs of different lengths."""
    generator = torch.Generator().manual_seed(5)

    def rows(least: int) -> list[list[int]]:
        lengths = torch.randint(least, LENGTH + 1, (8,), generator=generator).tolist()
        return [torch.randint(2, V, (n,), generator=generator).tolist() for n in lengths]

    targets = [[BEGIN, *row[:-1], END] for row in rows(3)]
    return Examples(
        targets,
        counted=[[True] * len(row) for row in targets],
        sources=rows(2),
        pad=END,
        context_length=LENGTH,
        batch_size=8,
    ).batch(0)


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_and_flops_are_what_the_docstrings_derive(shape, monkeypatch):
    config = SHAPES[shape]
    network = build("encoder_decoder", config, 0)
    assert sum(p.numel() for p in network.parameters()) == parameter_count(config)

    monkeypatch.setattr(stacks, "attend_fused", attend)  # the counter sees products
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            module.fused = False
    tokens = drawn(2, LENGTH)
    with FlopCounterMode(display=False) as counter:
        network(tokens, tokens).sum().backward()
    assert counter.get_total_flops() == flops_per_token(config) * tokens.numel()


def test_the_original_is_the_papers_base_model():
    """Vaswani et al. 2017, table 3: 65 million parameters, six and six layers."""
    config = ENCODER_DECODER.configure("original", vocab_size=37_000)
    assert (config.encoder_layers, config.decoder_layers, config.d_model) == (6, 6, 512)
    assert (config.hidden, config.dropout, config.label_smoothing) == (2048, 0.1, 0.1)
    with torch.device("meta"):
        network = ENCODER_DECODER.build(config)
    assert sum(p.numel() for p in network.parameters()) == parameter_count(config)
    assert 62e6 < parameter_count(config) < 66e6


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"n_heads": 5}, "d_model=32 must be a multiple of n_heads=5"),
        ({"encoder_layers": 0}, "encoder_layers=0 must be a whole number"),
        ({"n_heads": 32}, "d_head=1 must be even for rotary"),
        ({"d_model": 33, "n_heads": 1, "positions": "sinusoidal"}, "d_model=33 must be even"),
        ({"norm": "batch"}, "norm='batch' is unknown: use one of layer, rms"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1.0 must be at least 0 and below 1"),
        ({"logit_cap": 0.0}, "logit_cap=0.0 must be positive"),
    ],
)
def test_a_wrong_option_is_named(wrong, told):
    with pytest.raises(ValueError, match=told):
        ENCODER_DECODER.configure("modern", **{**SMALL, **wrong})


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_is_drawn_from_the_seed_alone(shape):
    config = SHAPES[shape]
    torch.manual_seed(1)
    first = build("encoder_decoder", config, 5).state_dict()
    forgotten: Any = ENCODER_DECODER.build(config)
    for parameter in forgotten.parameters():
        parameter.data.fill_(math.nan)
    forgotten.initialise(torch.Generator().manual_seed(5))
    for name, tensor in forgotten.state_dict().items():
        assert torch.equal(tensor, first[name]), name
    other = build("encoder_decoder", config, 6).state_dict()
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_the_first_loss_of_modern_is_that_of_a_guess(batch):
    network: Any = build("encoder_decoder", SHAPES["modern"], 0)
    loss = mean_loss(network, sequence_to_sequence, [batch]).nats
    assert loss == pytest.approx(math.log(V), abs=0.01)


# --- others' networks of the same weights -------------------------------------------------------


def copied(ours: Transformer, layers: nn.ModuleList, stack: str, names: dict[str, str]) -> None:
    """Give each block of our ``stack`` to a layer of torch's, whose projections are joined."""
    for block, layer in zip(getattr(ours, stack).blocks, layers, strict=True):
        for mine, theirs in names.items():
            source, target = block.get_submodule(mine), layer.get_submodule(theirs)
            if isinstance(target, nn.MultiheadAttention):
                parts = (source.queries, source.keys, source.values)
                target.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
                target.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
                source, target = source.output, target.out_proj
            target.load_state_dict(source.state_dict())


ENCODER_NAMES = {"attention": "self_attn", "attention_norm": "norm1", "expand": "linear1"}
ENCODER_NAMES |= {"contract": "linear2", "feed_forward_norm": "norm2"}
DECODER_NAMES = ENCODER_NAMES | {"cross": "multihead_attn", "cross_norm": "norm2"}
DECODER_NAMES |= {"feed_forward_norm": "norm3"}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
def test_it_is_torchs_transformer(norm_first):
    """Post-norm as in the paper, and pre-norm; torch has another norm at the end of either."""
    config = replace(SHAPES["original"], norm_first=norm_first)
    ours = stirred(config)
    theirs = nn.Transformer(
        config.d_model,
        config.n_heads,
        config.encoder_layers,
        config.decoder_layers,
        config.hidden,
        dropout=0.0,
        batch_first=True,
        norm_first=norm_first,
    ).eval()
    copied(ours, theirs.encoder.layers, "encoder", ENCODER_NAMES)
    copied(ours, theirs.decoder.layers, "decoder", DECODER_NAMES)
    for stack in ("encoder", "decoder"):
        if norm_first:
            getattr(theirs, stack).norm.load_state_dict(getattr(ours, stack).norm.state_dict())
        else:
            getattr(theirs, stack).norm = None
    sources, tokens = drawn(3, 9), drawn(3, 7, seed=4)
    sources[1, 6:] = sources[2, 3:] = IGNORED
    hidden = sources == IGNORED

    def embedded(ids: Tensor) -> Tensor:
        scaled = ours.embedding(ids.clamp_min(0)) * config.d_model**0.5
        return scaled + ours.decoder.waves[: ids.shape[1]]

    features = theirs(
        embedded(sources),
        embedded(tokens),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(7),
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
        tgt_is_causal=True,
    )
    torch.testing.assert_close(
        ours.features(ours.read(sources), tokens), features, atol=1e-4, rtol=1e-4
    )


MARIAN = {"attention": "self_attn", "attention_norm": "self_attn_layer_norm", "expand": "fc1"}
MARIAN |= {"contract": "fc2", "feed_forward_norm": "final_layer_norm"}
MARIAN |= {"cross": "encoder_attn", "cross_norm": "encoder_attn_layer_norm"}
PROJECTIONS = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj", "output": "out_proj"}


def test_it_is_transformers_marian():
    """The translators of Tiedemann and Thottingal 2020 are this network: equal logits."""
    from transformers import MarianConfig, MarianMTModel

    config = SHAPES["original"]
    ours = stirred(config)
    marian = MarianConfig(
        vocab_size=V,
        max_position_embeddings=LENGTH,
        d_model=config.d_model,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        encoder_attention_heads=config.n_heads,
        decoder_attention_heads=config.n_heads,
        encoder_ffn_dim=config.hidden,
        decoder_ffn_dim=config.hidden,
        activation_function="relu",
        scale_embedding=True,
        dropout=0.0,
        pad_token_id=END,
        eos_token_id=END,
        forced_eos_token_id=None,
        decoder_start_token_id=BEGIN,
    )
    theirs = MarianMTModel(marian).eval()
    theirs.model.shared.weight.data = ours.embedding.weight.data
    for stack in ("encoder", "decoder"):
        for block, layer in zip(
            getattr(ours, stack).blocks, getattr(theirs.model, stack).layers, strict=True
        ):
            for mine, their in MARIAN.items():
                if not hasattr(layer, their):
                    continue
                state = block.get_submodule(mine).state_dict()
                for name, other in PROJECTIONS.items():
                    state = {key.replace(f"{name}.", f"{other}."): t for key, t in state.items()}
                getattr(layer, their).load_state_dict(state)
    sources, tokens = drawn(3, 9), drawn(3, 7, seed=4)
    sources[1, 6:] = sources[2, 3:] = IGNORED
    with torch.inference_mode():
        logits = theirs(
            input_ids=sources.clamp_min(0),
            attention_mask=(sources != IGNORED).long(),
            decoder_input_ids=tokens,
        ).logits
        torch.testing.assert_close(ours(sources, tokens), logits, atol=1e-4, rtol=1e-4)


# --- masks --------------------------------------------------------------------------------------


def test_padding_in_the_source_reaches_nothing(network):
    """Short sources in a wide batch are to the network as if each were alone."""
    sources, tokens = drawn(3, 9), drawn(3, 7, seed=4)
    lengths = [9, 5, 1]
    for row, length in enumerate(lengths):
        sources[row, length:] = IGNORED
    logits = network(sources, tokens)
    for row, length in enumerate(lengths):
        alone = network(sources[row : row + 1, :length], tokens[row : row + 1])[0]
        torch.testing.assert_close(logits[row], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("position", [0, 3, 5])
def test_the_future_of_the_target_cannot_reach_its_past(network, position):
    sources, tokens = drawn(2, 9), drawn(2, 7, seed=4)
    changed = tokens.clone()
    changed[:, position + 1 :] = (changed[:, position + 1 :] + 1) % V
    before, after = network(sources, tokens), network(sources, changed)
    torch.testing.assert_close(before[:, : position + 1], after[:, : position + 1])
    assert not torch.allclose(before[:, position + 1], after[:, position + 1])


def test_every_target_position_reads_every_source_token(network):
    sources, tokens = drawn(1, 6), drawn(1, 4, seed=4)
    logits = network(sources, tokens)
    for position in range(6):
        changed = sources.clone()
        changed[0, position] = (changed[0, position] + 1) % V
        assert (network(changed, tokens) != logits).any(dim=-1).all()


def test_cross_weights_are_shares_of_what_is_visible(network):
    sources, tokens = drawn(2, 9), drawn(2, 7, seed=4)
    sources[1, 4:] = IGNORED
    weights = network.cross_weights(sources, tokens)
    assert weights.shape == (3, 2, 4, 7, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 4, 7))
    assert weights[:, 1, :, :, 4:].max() == 0
    first = network.cross_attentions()[0]
    assert not first._forward_hooks  # nothing looks on any longer


def test_what_is_too_long_is_refused(network):
    for sources, tokens, what in ((13, 4, "source"), (4, 13, "target")):
        with pytest.raises(ValueError, match=f"{what} of length=13 exceeds context_length=12"):
            network(drawn(1, sources), drawn(1, tokens))


# --- one word at a time -------------------------------------------------------------------------


def test_cached_is_uncached(network):
    sources, tokens = drawn(3, 9), drawn(3, 8, seed=4)
    sources[1, 4:] = IGNORED
    memory = network.read(sources)
    cache = network.cache(3, 8)
    pieces = [network.continued(memory, part, cache) for part in tokens.split([1, 3, 1, 3], dim=1)]
    features = network.features(memory, tokens)
    torch.testing.assert_close(torch.cat(pieces, dim=1), features, atol=1e-4, rtol=1e-4)


def sources_of(count: int, vocab_size: int = V) -> list[list[int]]:
    generator = torch.Generator().manual_seed(7)
    lengths = torch.randint(1, LENGTH + 1, (count,), generator=generator).tolist()
    return [torch.randint(2, vocab_size, (n,), generator=generator).tolist() for n in lengths]


def end_of(network: Transformer, sources: list[list[int]]) -> int:
    """A token that the translation of the first source comes to."""
    return translate(network, sources, begin=BEGIN, end=-1)[0][3]


def greedy(network: Transformer, source: list[int], end: int) -> list[int]:
    """The slow reference: everything read anew for each token."""
    target = [BEGIN]
    for _ in range(LENGTH):
        logits = network(torch.tensor([source]), torch.tensor([target]))[0, -1]
        if (token := int(logits.argmax())) == end:
            break
        target.append(token)
    return target[1:]


def likelihood(network: Transformer, source: list[int], target: Sequence[int], end: int) -> float:
    """Log-probability of a target with its end, or of one that fills the context."""
    room = network.context_length
    tokens = torch.tensor([[BEGIN, *target][:room]])
    logits = network(torch.tensor([source]), tokens)[0]
    return -F.cross_entropy(logits, torch.tensor([*target, end][:room]), reduction="sum").item()


def test_one_beam_is_greedy(network):
    sources = sources_of(9)
    end = end_of(network, sources)
    found = translate(network, sources, begin=BEGIN, end=end, rows=4)
    assert found == [greedy(network, source, end) for source in sources]
    assert min(map(len, found)) < LENGTH  # not all are cut by the context


def test_many_sources_are_translated_as_each_alone(network):
    sources = sources_of(7)
    search = {"begin": BEGIN, "end": end_of(network, sources), "beams": 3}
    together = translate(network, sources, **search)
    assert together == [translate(network, [source], **search)[0] for source in sources]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beams_find_what_scores_higher(network, length_penalty):
    """Of a search that drops texts no single one is sure, so the mean is what must not fall."""
    sources, means = sources_of(12), []
    end = end_of(network, sources)
    for beams in (1, 4):
        settings = {"beams": beams, "length_penalty": length_penalty}
        found = translate(network, sources, begin=BEGIN, end=end, **settings)
        scores = [
            likelihood(network, source, target, end)
            / min(len(target) + 1, LENGTH) ** length_penalty
            for source, target in zip(sources, found, strict=True)
        ]
        means.append(sum(scores) / len(scores))
    assert means[1] > means[0]


def test_a_higher_length_penalty_favours_long_targets(network):
    sources = sources_of(12)
    search = {"begin": BEGIN, "end": end_of(network, sources), "beams": 4}
    lengths = [
        sum(map(len, translate(network, sources, **search, length_penalty=penalty)))
        for penalty in (-1.0, 0.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


def test_beams_enough_find_the_best_of_all():
    network = stirred(replace(SHAPES["modern"], vocab_size=4, context_length=3), seed=2)
    texts = [text for n in range(4) for text in itertools.product((0, 2, 3), repeat=n)]
    settings = {"beams": 27, "length_penalty": 0.0}
    for source in ([2], [3, 2, 2]):
        (found,) = translate(network, [source], begin=BEGIN, end=END, **settings)
        best = max(texts, key=lambda text: likelihood(network, source, text, END))
        assert tuple(found) == best


def test_the_length_can_be_bounded_and_settings_are_checked(network):
    sources = sources_of(3)
    search = {"begin": BEGIN, "end": END}
    bounded = translate(network, sources, **search, max_new_tokens=2, beams=2)
    assert all(len(target) <= 2 for target in bounded)
    assert translate(network, [], **search) == []
    for wrong in ({"beams": 0}, {"max_new_tokens": 0}, {"length_penalty": math.inf}):
        with pytest.raises(ValueError, match="counts must be at least 1 and the penalty"):
            translate(network, sources, **search, **wrong)
    with pytest.raises(ValueError, match=r"source=\[\]: give each source at least one token"):
        translate(network, [[3], []], **search)


# --- training -----------------------------------------------------------------------------------


def test_label_smoothing_is_torchs_in_training_alone(batch):
    network: Any = stirred(replace(SHAPES["original"], label_smoothing=0.2))
    logits = network(batch.sources, batch.tokens).flatten(0, 1)
    targets = batch.targets.flatten()
    assert (targets == IGNORED).any()  # or nothing here is padding

    sums = {"ignore_index": IGNORED, "reduction": "sum"}
    plain = F.cross_entropy(logits, targets, **sums)
    torch.testing.assert_close(sequence_to_sequence(network, batch), plain)
    assert mean_loss(network.train(), sequence_to_sequence, [batch]).nats == pytest.approx(
        plain.item() / batch.counted, rel=1e-5
    )
    smooth = F.cross_entropy(logits, targets, **sums, label_smoothing=0.2)
    torch.testing.assert_close(sequence_to_sequence(network.train(), batch), smooth)
    assert not torch.isclose(smooth, plain)


@pytest.mark.parametrize("preset", ["modern", "original"])
def test_it_overfits_a_batch(preset, batch):
    network = build("encoder_decoder", replace(SHAPES[preset], label_smoothing=0.0), 0)
    rates = {"matrix_learning_rate": 0.02, "embedding_learning_rate": 0.02}
    optimizer = Optimizer(network, "muon", learning_rate=0.02, **rates)
    events = train(
        network,
        sequence_to_sequence,
        lambda _: batch,
        optimizer,
        steps=60,
        schedule=lambda step: 1 - step / 60,  # the loss does not jump at the end
    )
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert losses[-1] < 0.05 < losses[0]
    told = [row[row != IGNORED].tolist()[:-1] for row in batch.targets]
    sources = [row[row != IGNORED].tolist() for row in batch.sources]
    for beams in (1, 3):  # those that are done leave the batch before the others
        assert translate(network, sources, begin=BEGIN, end=END, beams=beams) == told


def test_it_resumes_bit_for_bit(batch):
    """With dropout: what is random hangs on the step alone."""
    config = replace(SHAPES["original"], dropout=0.1)

    def trained(state, steps: int) -> Any:
        network = build("encoder_decoder", config, 0)
        optimizer = Optimizer(network, "muon", learning_rate=0.01)
        events = train(
            network,
            sequence_to_sequence,
            lambda _: batch,
            optimizer,
            steps=steps,
            checkpoint_every=2,
            state=state,
        )
        saved = [event for event in events if isinstance(event, Saved)]
        return snapshot(network, optimizer, steps), saved

    whole, _ = trained(None, 6)
    _, saved = trained(None, 4)
    again, _ = trained(saved[0].state, 6)
    assert saved[0].step == 2
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, again.tensors[name]), name


def test_a_token_outside_the_vocabulary_is_named():
    network = build("encoder_decoder", SHAPES["modern"], 0)
    tokens = drawn(2, 4)
    batch = Batch(tokens, tokens, ("first", "second"), sources=torch.tensor([[3, 4], [V, IGNORED]]))
    with pytest.raises(ValueError, match=f"token={V} in second is outside vocab_size={V}"):
        mean_loss(network, sequence_to_sequence, [batch])


# --- batches of pairs ---------------------------------------------------------------------------


def pairs(count: int, **changes: Any) -> Examples:
    """Source n is so many times n, its target n + 1 times."""
    numbers = range(2, 2 + count)
    targets = [[BEGIN, *[n] * (n % 7 + 1), END] for n in numbers]
    settings = {
        "counted": [[False] + [True] * (len(row) - 1) for row in targets],
        "sources": [[n] * (n % 5 + 1) for n in numbers],
        "pad": END,
        "context_length": LENGTH,
        "batch_size": 4,
        "seed": 1,
    }
    return Examples(targets, **{**settings, **changes})


def test_a_batch_keeps_source_and_target_together():
    examples, seen = pairs(22), []
    for step in range(55):  # ten epochs, in pools of five batches
        batch = examples.batch(step)
        for source, tokens, targets in zip(batch.sources, batch.tokens, batch.targets, strict=True):
            n = int(source[0])
            seen.append(n)
            assert source[source != IGNORED].tolist() == [n] * (n % 5 + 1)
            assert targets[targets != IGNORED].tolist() == [*[n] * (n % 7 + 1), END]
            assert tokens[: n % 7 + 2].tolist() == [BEGIN, *[n] * (n % 7 + 1)]
        again = pairs(22).batch(step)
        assert torch.equal(batch.sources, again.sources)
        assert torch.equal(batch.tokens, again.tokens)
    assert sorted(seen) == sorted([*range(2, 24)] * 10)
    torch.testing.assert_close(pad([[5, 5], [6]], "cpu"), torch.tensor([[5, 5], [6, IGNORED]]))


def test_wrong_sources_are_named():
    with pytest.raises(ValueError, match="examples=3 sources=2: give one per example"):
        pairs(3, sources=[[1], [2]])
    for wrong in ([], [1] * 13):
        with pytest.raises(ValueError, match=f"example 1 has source tokens={len(wrong)}"):
            pairs(2, sources=[[1], wrong])
