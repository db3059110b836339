"""Networks of transformers and ours: the same numbers, and the same names there and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.architectures.gpt.network import Decoder
from model.blocks.positions import Rotary
from model.interop import LAYOUTS, find, layout_for
from model.interop.gguf import scaling_of
from model.interop.layout import halves_to_pairs, pairs_to_halves
from model.interop.vocabulary import shortened, widened

V, T = 97, 40
SHAPE = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
GPT2_SHAPE = {"vocab_size": V, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
GPT2_SHAPE |= {"bos_token_id": 1, "eos_token_id": 1}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", GPT2_SHAPE),
    "gpt2, untied, narrow": (
        "GPT2Config",
        GPT2_SHAPE | {"tie_word_embeddings": False, "n_inner": 40, "layer_norm_epsilon": 1e-3},
    ),
    "llama": ("LlamaConfig", SHAPE),
    "llama, tied": ("LlamaConfig", SHAPE | {"tie_word_embeddings": True, "rms_norm_eps": 1e-3}),
    "llama 3.1": ("LlamaConfig", SHAPE | {"rope_parameters": SCALED}),
    "llama, biases, wide heads": (
        "LlamaConfig",
        SHAPE | {"attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "mistral": ("MistralConfig", SHAPE | {"sliding_window": 5}),
    "qwen2": ("Qwen2Config", SHAPE),
    "qwen2, window": (
        "Qwen2Config",
        SHAPE | {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 0},
    ),
    "qwen3": ("Qwen3Config", SHAPE | {"head_dim": 16}),
    "nanochat": ("NanoChatConfig", SHAPE),
    "nanochat, no cap": ("NanoChatConfig", SHAPE | {"final_logit_softcapping": None}),
}


def theirs(family: str) -> Any:
    """A network of transformers with every parameter drawn, gains and biases too."""
    name, options = FAMILIES[family]
    config = getattr(transformers, name)(**options)
    config._attn_implementation = "eager"
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.1, 0.3)
    return network


def state(network: Any) -> dict[str, Tensor]:
    """What is written to a file: a tied head once."""
    tied = set(network._tied_weights_keys) if network.config.tie_word_embeddings else set()
    return {name: t for name, t in network.state_dict().items() if name not in tied}


@pytest.fixture(params=FAMILIES)
def network(request: pytest.FixtureRequest) -> Any:
    return theirs(request.param)


def decoder(config: GPTConfig, tensors: dict[str, Tensor]) -> Decoder:
    made = Decoder(config).eval()
    made.load_state_dict(tensors)
    return made


@torch.no_grad()
def test_the_logits_are_those_of_transformers(network: Any) -> None:
    layout = find(network.config.model_type)
    config = layout.config_from(network.config.to_dict())
    ours = decoder(config, layout.tensors_from(state(network), config))
    tokens = torch.randint(V, (2, T), generator=torch.Generator().manual_seed(1))
    expected = network(tokens).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(tokens), expected, atol=1e-4, rtol=0)


def test_names_and_numbers_come_back(network: Any) -> None:
    layout = find(network.config.model_type)
    config = layout.config_from(network.config.to_dict())
    given = state(network)
    back = layout.tensors_to(layout.tensors_from(given, config), config)
    assert back.keys() == given.keys()
    assert all(torch.equal(back[name], given[name]) for name in given)
    assert layout.cannot_hold(config) == []
    # An export finds the same class.
    assert layout_for(config).model_type == network.config.model_type


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"preset": "modern"},
        {"preset": "modern", "n_kv_heads": 2, "tied_head": True, "d_feed_forward": 48},
        {"preset": "gpt2"},
        {"preset": "llama", "qk_norm": True, "qk_gain": True, "norm_epsilon": None, "window": 9},
        {"preset": "llama", "window": 3, "d_head": 10},
    ],
    ids=str,
)
def test_what_we_train_is_what_their_class_computes(options: dict[str, Any]) -> None:
    sizes = {"vocab_size": V, "context_length": 64, "d_model": 32, "n_layers": 2, "n_heads": 4}
    config = GPTConfig(**PRESETS[options["preset"]] | sizes | options_of(options))
    ours = Decoder(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in ours.parameters():
        parameter.normal_(0.1, 0.3, generator=generator)
    layout = layout_for(config)
    made = transformers.AutoConfig.for_model(**layout.config_to(config))
    network = transformers.AutoModelForCausalLM.from_config(made).eval()
    assert type(network).__name__ == layout.class_name
    written = layout.tensors_to(ours.state_dict(), config)
    missing = network.load_state_dict(written, strict=False)
    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= {"lm_head.weight"} if config.tied_head else not missing[0]
    network.tie_weights()
    tokens = torch.randint(V, (2, T), generator=generator)
    torch.testing.assert_close(network(tokens).logits, ours(tokens), atol=1e-4, rtol=0)
    back = layout.tensors_from(written, config)
    assert all(torch.equal(tensor, back[name]) for name, tensor in ours.state_dict().items())


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "preset"}


LLAMA = "llama, tied"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("model.norm.weight"), "missing model.norm.weight"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra extra"),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(31)}),
            "model.norm.weight is (31,), not (32,)",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(32, dtype=torch.int8)}),
            "model.norm.weight is torch.int8, not floating point",
        ),
        (lambda t: t.update({"lm_head.weight": torch.zeros(V, 32)}), "extra lm_head.weight"),
        (lambda t: [t.pop(n) for n in list(t)[1:]], "2 layers, and 1 tensors in all"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(change: Any, told: str) -> None:
    network = theirs(LLAMA)
    layout, given = find("llama"), state(network)
    config = layout.config_from(network.config.to_dict())
    change(given)
    with pytest.raises(ValueError, match=r"^LlamaForCausalLM: ") as caught:
        layout.tensors_from(given, config)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tied_head_may_be_written_twice() -> None:
    network = theirs(LLAMA)
    layout, given = find("llama"), state(network)
    config = layout.config_from(network.config.to_dict())
    twice = given | {"lm_head.weight": given["model.embed_tokens.weight"].clone()}
    assert layout.tensors_from(twice, config).keys() == layout.tensors_from(given, config).keys()


def test_the_mend_of_a_missing_head_is_told() -> None:
    network = theirs("llama")
    layout, given = find("llama"), state(network)
    del given["lm_head.weight"]
    told = "missing lm_head.weight: .*; if its head is .* lacks tie_word_embeddings: true$"
    with pytest.raises(ValueError, match=told):
        layout.tensors_from(given, layout.config_from(network.config.to_dict()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"hidden_act": "swish"}, {"hidden_act": "silu"}),
        ({"rope_scaling": {"type": "linear", "factor": 1.0}}, {"rope_scaling": None}),
        ({"rope_scaling": {"rope_type": "linear", "factor": 1}}, {}),
    ],
)
def test_words_that_mean_the_same_give_the_same(one: Any, other: Any) -> None:
    read = find("llama").config_from
    assert read({**SHAPE, **one}) == read({**SHAPE, **other})


@pytest.mark.parametrize("change", [{"num_attention_heads": 0}, {"num_hidden_layers": 10**9}])
def test_sizes_that_cannot_be_are_refused_before_they_are_built(change: dict[str, int]) -> None:
    layout = find("llama")
    with pytest.raises(ValueError, match=r"n_heads=0|unusable|1000000000 layers, and "):
        layout.tensors_from(state(theirs("llama")), layout.config_from({**SHAPE, **change}))
    for size in (1 << 60, 1 << 100):
        wide = layout.config_from({**SHAPE, "hidden_size": size})
        with pytest.raises(
            ValueError, match="no network has the sizes of the configuration"
        ) as told:
            layout.tensors_from(state(theirs("llama")), wide)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("d_head", "base", "scaling"),
    [
        (64, 500_000.0, (32.0, 1.0, 4.0, 8192)),  # Llama 3.2
        (128, 500_000.0, (8.0, 1.0, 4.0, 8192)),  # Llama 3.1
        (64, 10_000.0, (4.0, 1.0, 4.0, 256)),
        (64, 10_000.0, (4.0, 1.0, 2.5, 300)),
        (64, 10_000.0, (4.0, 2.0, 12.0, 4096)),
        (16, 10_000.0, (8.0, 1.0, 4.0, 16)),
        (16, 10_000.0, (8.0, 1.0, 1.01, 16)),
    ],
)
def test_the_scaling_is_known_by_its_factors(
    d_head: int, base: float, scaling: tuple[float, float, float, int]
) -> None:
    plain = Rotary(d_head, 2, base).sine[1].double().asin()
    factors = (plain / Rotary(d_head, 2, base, scaling).sine[1].double().asin()).float().tolist()
    found = scaling_of(factors, base, d_head)
    expected = Rotary(d_head, 2000, base, scaling)
    torch.testing.assert_close(
        Rotary(d_head, 2000, base, found).sine, expected.sine, atol=0.05, rtol=0
    )
    if scaling[1:3] == (1.0, 4.0):
        assert found == pytest.approx(scaling, rel=1e-4)


def test_factors_of_another_scaling_are_refused() -> None:
    assert scaling_of([1.0] * 8, 10_000.0, 16) is None
    with pytest.raises(ValueError, match=r"rope_freqs.weight, .*: not as Llama 3.1's scaling"):
        scaling_of([1.0, 3.0, 2.0, 5.0, 1.0, 9.0, 9.0, 9.0], 10_000.0, 16)
    for wrong in ([1.0] * 7, [0.0] * 8, [float("nan")] * 8):
        with pytest.raises(ValueError, match=r"rope_freqs.weight: not a factor above 0 for each"):
            scaling_of(wrong, 10_000.0, 16)


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_files_of_the_bare_network_and_old_buffers_are_read(family: str) -> None:
    network = theirs(family)
    layout, given = find(family), state(network)
    config = layout.config_from(network.config.to_dict())
    bare = {name.removeprefix(layout.prefix): tensor for name, tensor in given.items()}
    if family == "gpt2":
        bare["h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
        bare["h.1.attn.masked_bias"] = torch.tensor(-1e4)
    expected = layout.tensors_from(given, config)
    found = layout.tensors_from(bare, config)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("model_type", "change", "told"),
    [
        ("gpt2", {"activation_function": "relu"}, "activation_function='relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope_type='yarn'"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type='linear'"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ("llama", {"attention_bias": True}, "attention_bias=True"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "max_window_layers=1"),
        ("nanochat", {"hidden_act": "silu"}, "hidden_act='silu'"),
    ],
)
def test_an_option_that_we_lack_is_named(
    model_type: str, change: dict[str, Any], told: str
) -> None:
    shape: dict[str, Any] = GPT2_SHAPE if model_type == "gpt2" else SHAPE | {"sliding_window": 4}
    with pytest.raises(ValueError, match=r"is not supported") as caught:
        find(model_type).config_from({**shape, **change})
    assert str(caught.value).startswith(told)


def test_a_missing_option_and_an_unknown_family_are_named() -> None:
    with pytest.raises(ValueError, match=r"llama: the configuration lacks 'hidden_size'"):
        find("llama").config_from({"vocab_size": 5, "max_position_embeddings": 3})
    with pytest.raises(ValueError, match=r"model_type='falcon' is unknown: .*gpt2, llama"):
        find("falcon")


@pytest.mark.parametrize(
    ("preset", "change", "told"),
    [
        ("modern", {"feed_forward": "swiglu"}, "feed_forward='swiglu': NanoChatForCausalLM has"),
        ("modern", {"window": 8}, "window=8: NanoChatForCausalLM has None"),
        ("modern", {"pair_rows": 9}, "pair_rows=9: NanoChatForCausalLM has None"),
        ("llama", {"logit_cap": 30.0}, "logit_cap=30.0: LlamaForCausalLM has None"),
        ("gpt2", {"bias": False}, "bias=False: GPT2LMHeadModel has True"),
        ("gpt2", {"n_kv_heads": 2}, "n_kv_heads=2: GPT2LMHeadModel has 4"),
    ],
)
def test_what_no_stock_class_holds_is_refused_by_its_option(
    preset: str, change: dict[str, Any], told: str
) -> None:
    config = GPTConfig(**PRESETS[preset] | {"vocab_size": V, "n_heads": 4, "n_kv_heads": None})
    layout_for(config)
    with pytest.raises(ValueError, match="no stock class of transformers") as caught:
        layout_for(replace(config, **change))
    assert told in str(caught.value)
    assert f"train with preset: {preset}, without" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_preset_quick_is_refused_with_a_preset_that_is_not() -> None:
    """Each of its parts is named."""
    config = GPTConfig(**PRESETS["quick"] | {"vocab_size": V})
    with pytest.raises(ValueError, match="train with preset: modern, without these") as caught:
        layout_for(config)
    for part in PRESETS["quick"].keys() - PRESETS["modern"].keys():
        assert f"{part}=" in str(caught.value)


def test_what_a_class_cannot_hold_is_told_by_it_too() -> None:
    config = GPTConfig(**PRESETS["gpt2"] | {"vocab_size": V})
    with pytest.raises(ValueError, match="norm='layer': LlamaForCausalLM has 'rms'"):
        find("llama").config_to(config)


def test_dropout_and_initialisation_do_not_stand_in_the_way() -> None:
    config = GPTConfig(vocab_size=V, dropout=0.1, initialisation="gpt2")
    assert layout_for(config) is LAYOUTS["nanochat"]
    # Nor does the base of a rotation that there is not.
    config = GPTConfig(**PRESETS["gpt2"] | {"vocab_size": V, "rotary_base": 500.0})
    assert layout_for(config) is LAYOUTS["gpt2"]


def test_pairs_become_halves_and_back() -> None:
    rows = torch.arange(8)[:, None]
    # Two heads of four rows: neighbours (0, 1), (2, 3) become (0, 2), (1, 3).
    assert pairs_to_halves(2)(rows)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(halves_to_pairs(2)(pairs_to_halves(2)(rows)), rows)


@torch.no_grad()
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_new_words_have_the_mean_of_the_others_logits(family: str) -> None:
    network = theirs(family)
    layout = find(network.config.model_type)
    config = layout.config_from(network.config.to_dict())
    tensors = layout.tensors_from(state(network), config)
    tokens = torch.randint(V, (1, 8), generator=torch.Generator().manual_seed(1))
    before, after = decoder(config, tensors), decoder(*widened(config, tensors, V + 2))
    logits = after(tokens)
    torch.testing.assert_close(logits[..., :V], before(tokens))
    torch.testing.assert_close(logits[..., V], before(tokens).mean(-1))
    assert widened(config, tensors, V - 5)[0] == config


@torch.no_grad()
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_shorter_context_changes_nothing_within_it(family: str) -> None:
    network = theirs(family)
    layout = find(network.config.model_type)
    config = layout.config_from(network.config.to_dict())
    tensors = layout.tensors_from(state(network), config)
    tokens = torch.randint(V, (1, 8), generator=torch.Generator().manual_seed(1))
    short = decoder(*shortened(config, tensors, 8))
    assert short.context_length == 8
    torch.testing.assert_close(short(tokens), decoder(config, tensors)(tokens))
    with pytest.raises(ValueError, match="context_length=65: the network was made for 64"):
        shortened(config, tensors, 65)
