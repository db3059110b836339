"""Counts, configuration, and the network as a pure function of (config, seed)."""

import json
import math
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, catalogue, find
from model.architectures.gpt.config import GPTConfig, flops_per_token, parameter_count
from model.blocks.attention import MultiHeadAttention

GPT = find("gpt")
GPT2_SIZES = {  # book chapter 4: layers, heads, width; untied, tied, both without qkv_bias; MB
    "small": (12, 12, 768, 163_009_536, 124_412_160, 621.83),
    "medium": (24, 16, 1024, 406_212_608, 354_749_440, 1549.58),
    "large": (36, 20, 1280, 838_220_800, 773_891_840, 3197.56),
    "xl": (48, 25, 1600, 1_637_792_000, 1_557_380_800, 6247.68),
}
LLAMA_3 = {"vocab_size": 128_256, "rotary_base": 500_000.0, "n_heads": 32, "n_kv_heads": 8}
RELEASED: dict[str, tuple[dict[str, Any], int]] = {  # each as it was published
    "GPT-2": ({"preset": "gpt2-small", "vocab_size": 50_257}, 124_439_808),
    "GPT-2 medium": ({"preset": "gpt2-medium", "vocab_size": 50_257}, 354_823_168),
    "GPT-2 large": ({"preset": "gpt2-large", "vocab_size": 50_257}, 774_030_080),
    "GPT-2 XL": ({"preset": "gpt2-xl", "vocab_size": 50_257}, 1_557_611_200),
    "SmolLM2 135M": ({"preset": "smollm2", "vocab_size": 49_152}, 134_515_008),
    "TinyLlama 1.1B": (
        {"preset": "llama", "vocab_size": 32_000, "d_model": 2048, "n_layers": 22, "n_heads": 32}
        | {"n_kv_heads": 4, "d_feed_forward": 5632},
        1_100_048_384,
    ),
    "Llama 3.2 1B": (
        {"preset": "llama", **LLAMA_3, "d_model": 2048, "n_layers": 16, "d_feed_forward": 8192}
        | {"tied_head": True, "rotary_scaling": (32.0, 1.0, 4.0, 8192)},
        1_235_814_400,
    ),
    "Llama 3 8B": (
        {"preset": "llama", **LLAMA_3, "d_model": 4096, "n_layers": 32, "d_feed_forward": 14_336},
        8_030_261_248,
    ),
    "Qwen3 0.6B": (
        {"preset": "llama", "vocab_size": 151_936, "d_model": 1024, "n_layers": 28, "n_heads": 16}
        | {"n_kv_heads": 8, "d_head": 128, "d_feed_forward": 3072, "tied_head": True}
        | {"qk_norm": True, "qk_gain": True},
        596_049_920,
    ),
}
SHAPES = {
    "modern": GPT.configure("modern", vocab_size=96, d_model=32, n_layers=3, n_heads=4),
    "gpt2": GPT.configure("gpt2", vocab_size=96, d_model=32, n_layers=2, n_heads=4),
    "grouped swiglu": GPT.configure(
        "modern", vocab_size=50, d_model=48, n_heads=6, n_kv_heads=2, feed_forward="swiglu"
    ),
    "mixed": GPT.configure(
        "modern", vocab_size=50, norm="layer", bias=True, qkv_bias=True, feed_forward="swiglu"
    ),
    "tied": GPT.configure("modern", vocab_size=50, tied_head=True, d_feed_forward=100),
    "llama": GPT.configure("llama", vocab_size=50, context_length=32, d_model=48),
    "quick": GPT.configure(
        "quick", vocab_size=50, context_length=32, d_model=48, n_kv_heads=2, pair_rows=97
    ),
    "pairs in a tied network": GPT.configure("gpt2", vocab_size=50, n_layers=2, pair_rows=40),
    "qwen": GPT.configure(
        "llama",
        vocab_size=50,
        context_length=32,
        d_model=40,
        n_heads=6,
        d_head=16,
        qk_norm=True,
        qk_gain=True,
        qkv_bias=True,
        window=12,
        rotary_scaling=(4.0, 1.0, 2.0, 8),
    ),
}


def built_on_meta(config: GPTConfig) -> torch.nn.Module:
    with torch.device("meta"):
        return GPT.build(config)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def stirred(config: GPTConfig, seed: int = 0) -> torch.nn.Module:
    """A network none of whose weights is zero: a fresh one's blocks add nothing yet."""
    network = build("gpt", config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return network


@pytest.mark.parametrize("size", GPT2_SIZES)
def test_gpt2_sizes_of_the_book(size):
    *shape, untied_count, tied_count, megabytes = GPT2_SIZES[size]
    book = {"vocab_size": 50_257, "qkv_bias": False}
    tied = GPT.configure(f"gpt2-{size}", **book)
    assert [tied.n_layers, tied.n_heads, tied.d_model] == shape
    assert tied.context_length == 1024
    assert count(built_on_meta(tied)) == parameter_count(tied) == tied_count
    untied = GPT.configure(f"gpt2-{size}", **book, tied_head=False)
    network = built_on_meta(untied)
    assert count(network) == parameter_count(untied) == untied_count
    held = sum(parameter.nbytes for parameter in network.parameters())
    assert round(held / 2**20, 2) == megabytes


def test_parts_of_gpt2_small():
    config = GPT.configure("gpt2-small", vocab_size=50_257, qkv_bias=False)
    block = built_on_meta(config).blocks[0]
    assert count(block.feed_forward) == 4_722_432
    assert count(block.attention) == 2_360_064


@pytest.mark.parametrize("name", RELEASED)
def test_released_models_have_their_published_size(name):
    values, published = RELEASED[name]
    config = GPT.configure(**values)
    assert count(built_on_meta(config)) == parameter_count(config) == published


def test_gpt3_builds_on_the_meta_device():
    config = GPT.configure("gpt3-175b", vocab_size=50_257)
    assert (config.n_layers, config.n_heads, config.d_model) == (96, 96, 12_288)
    assert config.context_length == 2048
    # 96 blocks of 12 D^2 make 173.9 thousand million weights, the embeddings some 0.6 more.
    assert count(built_on_meta(config)) == parameter_count(config) == 174_604_259_328


@pytest.mark.parametrize("preset", GPT.presets)
def test_a_preset_stands_by_itself(preset):
    config = GPT.configure(preset, vocab_size=512)
    assert count(built_on_meta(config)) == parameter_count(config)
    assert GPTConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_a_configuration_survives_a_file():
    config = SHAPES["qwen"]
    again = GPTConfig(**json.loads(json.dumps(asdict(config))))
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_match_the_network(shape):
    config = SHAPES[shape]
    network = stirred(config)
    assert count(network) == parameter_count(config)

    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            module.fused = False  # the counter sees matrix products
    tokens = torch.zeros(2, config.context_length, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        network(tokens).sum().backward()
    assert counter.get_total_flops() == flops_per_token(config) * tokens.numel()


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_a_pure_function_of_config_and_seed(shape):
    config = SHAPES[shape]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build("gpt", config, seed=5).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = build(GPT, config, seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build("gpt", config, seed=6).state_dict()
    assert not torch.equal(first["embedding.weight"], third["embedding.weight"])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_is_drawn(shape):
    """A parameter that ``initialise`` forgets keeps what it was before."""
    network = build("gpt", SHAPES[shape], 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    network.initialise(torch.Generator().manual_seed(0))
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    gains = [p for name, p in network.named_parameters() if name.endswith("norm.weight")]
    assert all((gain == 1).all() for gain in gains)


@pytest.mark.parametrize("preset", ["modern", "quick", "gpt2", "llama"])
def test_untrained_loss_is_that_of_a_uniform_guess(preset):
    config = GPT.configure(preset, vocab_size=500)
    tokens = torch.randint(500, (4, 65), generator=torch.Generator().manual_seed(0))
    logits = build("gpt", config, 0)(tokens[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert abs(loss - math.log(500)) < 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_future_cannot_reach_the_past(shape):
    network = stirred(SHAPES[shape])
    tokens = torch.randint(50, (1, 12), generator=torch.Generator().manual_seed(0))
    for position in range(11):
        changed = tokens.clone()
        changed[:, position + 1 :] = (changed[:, position + 1 :] + 1) % 50
        before, after = network(tokens), network(changed)
        torch.testing.assert_close(before[:, : position + 1], after[:, : position + 1])
        assert not torch.allclose(before[:, position + 1], after[:, position + 1])


def test_logit_cap_bounds_and_equals_its_formula():
    config = SHAPES["modern"]
    network = stirred(config)
    tokens = torch.arange(20)[None]
    features = network.features(tokens)
    expected = 15 * torch.tanh(features @ network.head.weight.T / 15)
    torch.testing.assert_close(network(tokens), expected)


def test_too_long_a_sequence_is_refused():
    network = build("gpt", GPT.tiny, 0)
    with pytest.raises(ValueError, match=r"length=17 exceeds context_length=16"):
        network(torch.zeros(1, 17, dtype=torch.int64))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"d_model": 30}, "d_model=30 must be a multiple of n_heads=4"),
        ({"n_kv_heads": 3}, "n_heads=4 must be a multiple of n_kv_heads=3"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"n_layers": True}, "n_layers=True"),
        ({"positions": "rotery"}, "positions='rotery'"),
        ({"d_model": 20}, "d_head=5 must be even for rotary: change n_heads"),
        ({"d_head": 7}, "d_head=7 must be even for rotary: change it"),
        ({"d_head": 0}, "d_head=0 must be a whole number"),
        ({"window": 0}, "window=0 must be a whole number"),
        ({"pair_rows": 0}, "pair_rows=0 must be a whole number"),
        ({"norm_epsilon": 0.0}, r"norm_epsilon=0.0 must be .* above 0"),
        ({"norm": "layer", "norm_gain": True}, "norm_gain=True works with norm='rms' alone"),
        ({"qk_norm": False, "qk_gain": True}, "qk_gain=True works with qk_norm=True alone"),
        ({"rotary_scaling": [8.0, 1.0, 4.0]}, r"rotary_scaling=.* must be a factor from 1"),
        ({"rotary_scaling": [8.0, 4.0, 1.0, 64]}, "a low and a higher frequency factor"),
        ({"rotary_scaling": "8"}, "rotary_scaling=8 must be"),
        (
            {"positions": "learned", "rotary_scaling": [8.0, 1.0, 4.0, 64]},
            "with positions='rotary' alone",
        ),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"logit_cap": 0.0}, "logit_cap=0.0"),
        ({"d_modle": 64}, "did you mean 'd_model'"),
    ],
)
def test_a_wrong_configuration_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        GPT.configure("modern", vocab_size=64, **values)


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match="did you mean 'gpt'"):
        find("gtp")
    with pytest.raises(ValueError, match="did you mean 'modern'"):
        GPT.configure("moden", vocab_size=64)


def test_the_catalogue_needs_no_torch():
    code = "import sys; from model.architectures import catalogue; catalogue(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "model.architectures.gpt" in run.stdout.split()
    assert "torch" not in run.stdout.split()


def test_every_architecture_names_a_known_objective():
    from model.training.objectives import OBJECTIVES

    assert {a.objective for a in catalogue().values()} <= set(OBJECTIVES)


def reference_gpt2(w: dict[str, Tensor], tokens: Tensor, n_heads: int) -> Tensor:
    """GPT-2 written out anew, from the paper's description and its released shapes."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    length = tokens.shape[1]
    x = w["embedding.weight"][tokens] + w["positions.weight"][:length]
    layers = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    for layer in range(layers):
        at = f"blocks.{layer}"
        h = norm(x, f"{at}.attention_norm")
        q, k, v = (linear(h, f"{at}.attention.{n}") for n in ("queries", "keys", "values"))
        mixed = torch.zeros_like(x)
        size = x.shape[-1] // n_heads
        for head in range(n_heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(length):
                scores = (k[:, : t + 1, part] * q[:, t : t + 1, part]).sum(-1) / math.sqrt(size)
                likelihood = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
                mixed[:, t, part] = (likelihood[..., None] * v[:, : t + 1, part]).sum(1)
        x = x + linear(mixed, f"{at}.attention.output")
        h = linear(norm(x, f"{at}.feed_forward_norm"), f"{at}.feed_forward.expand")
        inner = math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)
        h = 0.5 * h * (1 + torch.tanh(inner))
        x = x + linear(h, f"{at}.feed_forward.contract")
    return norm(x, "norm") @ w["embedding.weight"].T


def test_gpt2_equals_an_independent_implementation():
    network = stirred(SHAPES["gpt2"])
    tokens = torch.randint(96, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference_gpt2(dict(network.named_parameters()), tokens, n_heads=4)
        torch.testing.assert_close(network(tokens), expected, atol=1e-5, rtol=1e-4)


def reference_nanochat(w: dict[str, Tensor], tokens: Tensor, n_heads: int) -> Tensor:
    """nanochat's network with its own direction of rotation: what the stock class computes."""

    def norm(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    def turn(x: Tensor) -> Tensor:  # (B, T, K)
        length, half = x.shape[1], x.shape[2] // 2
        speed = 10_000.0 ** (-torch.arange(half) / half)
        angle = torch.arange(length)[:, None] * speed
        cosine, sine = angle.cos(), angle.sin()
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cosine + b * sine, -a * sine + b * cosine], -1)

    def exchanged(weight: Tensor) -> Tensor:
        """Each head's two halves of rows change places: all that an export has to do."""
        return weight.unflatten(0, (n_heads, 2, -1)).flip(1).flatten(0, 2)

    x = norm(w["embedding.weight"][tokens])
    layers = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    for layer in range(layers):
        at = f"blocks.{layer}"
        h = norm(x)
        q = h @ exchanged(w[f"{at}.attention.queries.weight"]).T
        k = h @ exchanged(w[f"{at}.attention.keys.weight"]).T
        v = h @ w[f"{at}.attention.values.weight"].T
        size, mixed = x.shape[-1] // n_heads, []
        for part in (slice(i * size, (i + 1) * size) for i in range(n_heads)):
            a, b = norm(turn(q[..., part])), norm(turn(k[..., part]))
            scores = a @ b.mT / math.sqrt(size)
            scores = scores + torch.full(scores.shape[1:], -math.inf).triu(1)
            mixed.append(torch.softmax(scores, -1) @ v[..., part])
        x = x + torch.cat(mixed, -1) @ w[f"{at}.attention.output.weight"].T
        h = norm(x) @ w[f"{at}.feed_forward.expand.weight"].T
        x = x + h.clamp_min(0) ** 2 @ w[f"{at}.feed_forward.contract.weight"].T
    return 15 * torch.tanh(norm(x) @ w["head.weight"].T / 15)


def test_modern_equals_nanochat():
    network = stirred(SHAPES["modern"])
    tokens = torch.randint(96, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference_nanochat(dict(network.named_parameters()), tokens, n_heads=4)
        torch.testing.assert_close(network(tokens), expected, atol=1e-5, rtol=1e-4)
