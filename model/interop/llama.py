"""Llama (Touvron et al. 2023) and the families with the same layout: Mistral, Qwen2, Qwen3.

Their rotation is the same as ours (``Rotary``, model/blocks/positions.py), so no row is moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.interop.layout import Held, Layout, Options, only

# Of a block: their layers and ours. A layer that a configuration lacks is left out.
_BLOCK = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.queries",
    "self_attn.k_proj": "attention.keys",
    "self_attn.v_proj": "attention.values",
    "self_attn.o_proj": "attention.output",
    "self_attn.q_norm": "attention.queries_norm",
    "self_attn.k_norm": "attention.keys_norm",
    "post_attention_layernorm": "feed_forward_norm",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.expand",
    "mlp.down_proj": "feed_forward.contract",
}


def rotary_from(options: Options) -> dict[str, Any]:
    """Our rotary options from theirs, as transformers before or since version 5 writes them."""
    parameters = options.get("rope_parameters") or {}
    scaling = options.get("rope_scaling") or parameters
    only({**options, **scaling}, "partial_rotary_factor", 1.0, None)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "linear" and scaling.get("factor") == 1.0:
        kind = "default"
    only({"rope_type": kind}, "rope_type", "default", "llama3")
    base = parameters.get("rope_theta", options.get("rope_theta", 10_000.0))
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return {
        "rotary_base": float(base or 10_000.0),
        "rotary_scaling": tuple(map(_number, (scaling[n] for n in names)))
        if kind == "llama3"
        else None,
    }


def _number(value: Any) -> Any:
    """The number that a JSON value stands for: true is 1."""
    return int(value) if isinstance(value, bool) else value


def rotary_to(config: GPTConfig) -> dict[str, Any]:
    """The inverse of ``rotary_from``, under the names that every version of transformers reads."""
    options: dict[str, Any] = {"rope_theta": config.rotary_base, "rope_scaling": None}
    if config.rotary_scaling is not None:
        factor, low, high, original = config.rotary_scaling
        options["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": float(factor),
            "low_freq_factor": float(low),
            "high_freq_factor": float(high),
            "original_max_position_embeddings": original,
        }
    return options


def shape_from(options: Options) -> dict[str, Any]:
    """Our sizes from theirs, under the names that most of their classes use."""
    return {
        "vocab_size": options["vocab_size"],
        "context_length": options["max_position_embeddings"],
        "d_model": options["hidden_size"],
        "n_layers": options["num_hidden_layers"],
        "n_heads": options["num_attention_heads"],
        "n_kv_heads": options.get("num_key_value_heads"),
        "d_head": options.get("head_dim"),
        "d_feed_forward": options["intermediate_size"],
        "norm_epsilon": options.get("rms_norm_eps", 1e-6),
        "tied_head": options.get("tie_word_embeddings", False),
    }


def shape_to(config: GPTConfig) -> dict[str, Any]:
    """The inverse of ``shape_from``."""
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.groups,
        "head_dim": config.per_head,
        "intermediate_size": config.hidden,
        "rms_norm_eps": config.epsilon,
        "tie_word_embeddings": config.tied_head,
        "attention_dropout": 0.0,
    }


def _read(model_type: str, options: Options) -> GPTConfig:
    only(options, "hidden_act", "silu", "swish")
    values = PRESETS["llama"] | shape_from(options) | rotary_from(options)
    match model_type:
        case "llama":
            only(options, "attention_bias", options.get("mlp_bias", False))
            values |= {"bias": options.get("mlp_bias", False)}
            values |= {"qkv_bias": values["bias"]}
        case "mistral":
            values |= {"window": options.get("sliding_window", 4096)}
        case "qwen2":
            values |= {"qkv_bias": True, "window": _qwen_window(options)}
        case "qwen3":
            only(options, "attention_bias", False)
            values |= {"qk_norm": True, "qk_gain": True, "window": _qwen_window(options)}
            values |= {"d_head": options.get("head_dim", 128)}
    config = GPTConfig(**values)
    if model_type == "llama" and config.d_model % config.n_heads:  # even with a head_dim
        raise ValueError(
            f"hidden_size={config.d_model} must be a multiple of "
            f"num_attention_heads={config.n_heads}"
        )
    return config


def _qwen_window(options: Options) -> int | None:
    """The window, which Qwen must have in all layers or in none to be supported."""
    if not options.get("use_sliding_window", False) or options.get("sliding_window") is None:
        return None
    only(options, "max_window_layers", 0)
    return int(options["sliding_window"])


def _write(model_type: str, class_name: str, config: GPTConfig) -> dict[str, Any]:
    options: dict[str, Any] = {
        "model_type": model_type,
        "architectures": [class_name],
        "hidden_act": "silu",
    }
    options |= shape_to(config) | rotary_to(config)
    match model_type:
        case "llama":
            options |= {"attention_bias": config.bias, "mlp_bias": config.bias}
        case "mistral":
            options |= {"sliding_window": config.window}
        case _:
            windows = {"sliding_window": config.window, "max_window_layers": 0}
            options |= {"use_sliding_window": config.window is not None}
            options |= windows if config.window is not None else {}
    return options


def _holds(config: GPTConfig) -> Iterator[Held]:
    yield Held("model.embed_tokens.weight", ("embedding.weight",))
    for layer in range(config.n_layers):
        for theirs, ours in _BLOCK.items():
            for kind in ("weight", "bias"):
                name = f"blocks.{layer}.{ours}.{kind}"
                yield Held(f"model.layers.{layer}.{theirs}.{kind}", (name,))
    yield Held("model.norm.weight", ("norm.weight",))
    yield Held("lm_head.weight", ("head.weight",))


def _layout(model_type: str, class_name: str) -> Layout:
    return Layout(
        model_type=model_type,
        class_name=class_name,
        read=partial(_read, model_type),
        write=partial(_write, model_type, class_name),
        holds=_holds,
        prefix="model.",
        ignored=r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
    )


LLAMA = _layout("llama", "LlamaForCausalLM")
MISTRAL = _layout("mistral", "MistralForCausalLM")
QWEN2 = _layout("qwen2", "Qwen2ForCausalLM")
QWEN3 = replace(_layout("qwen3", "Qwen3ForCausalLM"), since="4.51")
