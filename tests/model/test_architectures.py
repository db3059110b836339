"""Counts, configuration, and the network as a pure function of (config, seed)."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.architectures import build, catalogue, find
from model.architectures.gpt import GPTConfig, flops_per_token, parameter_count
from model.attention import MultiHeadAttention

GPT = find("gpt")
GPT2 = {"vocab_size": 50257, "context_length": 1024}
SIZES = {  # layers, heads, width, untied, tied (ACCEPTANCE chapter 4)
    "small": (12, 12, 768, 163_009_536, 124_412_160),
    "medium": (24, 16, 1024, 406_212_608, 354_749_440),
    "large": (36, 20, 1280, 838_220_800, 773_891_840),
    "xl": (48, 25, 1600, 1_637_792_000, 1_557_380_800),
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tied", [False, True])
def test_gpt2_sizes(size, tied):
    layers, heads, width, untied_count, tied_count = SIZES[size]
    config = GPT.configure(
        "gpt2",
        **GPT2,
        n_layers=layers,
        n_heads=heads,
        d_model=width,
        qkv_bias=False,
        tied_head=tied,
    )
    expected = tied_count if tied else untied_count
    assert count(built_on_meta(config)) == parameter_count(config) == expected


def test_gpt2_small_as_released_and_its_parts():
    config = GPT.configure("gpt2", **GPT2, n_layers=12, n_heads=12, d_model=768)
    network = built_on_meta(config)
    assert count(network) == parameter_count(config) == 124_439_808
    assert count(network.blocks[0].feed_forward) == 4_722_432
    biased = count(network.blocks[0].attention)
    assert biased - 3 * 768 == 2_360_064


def test_gpt3_builds_on_the_meta_device():
    config = GPT.configure(
        "gpt2", vocab_size=50257, context_length=2048, n_layers=96, n_heads=96, d_model=12288
    )
    assert 174e9 < count(built_on_meta(config)) == parameter_count(config) < 176e9


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


@pytest.mark.parametrize("preset", ["modern", "gpt2"])
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
        ({"d_model": 20}, "d_head=5 must be even"),
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
    from model.objectives import OBJECTIVES

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
