"""NanoChat (karpathy/nanochat), our ``modern``, in transformers' ``NanoChatForCausalLM``.

It rotates in the other direction, so the halves of each head's query and key rows are exchanged.
It normalises after the rotation; without gains the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.interop.layout import Held, Layout, Options, exchange_halves, only
from model.interop.llama import rotary_from, rotary_to, shape_from, shape_to


def _read(options: Options) -> GPTConfig:
    only(options, "hidden_act", "relu2")
    only(options, "attention_bias", False)
    cap = options.get("final_logit_softcapping", 15.0)
    values = shape_from(options) | rotary_from(options) | {"logit_cap": cap}
    return GPTConfig(**PRESETS["modern"] | values)


def _write(config: GPTConfig) -> dict[str, Any]:
    return {
        "model_type": "nanochat",
        "architectures": ["NanoChatForCausalLM"],
        "hidden_act": "relu2",
        **shape_to(config),
        **rotary_to(config),
        "final_logit_softcapping": config.logit_cap,
        "attention_bias": False,
    }


def _holds(config: GPTConfig) -> Iterator[Held]:
    yield Held("model.embed_tokens.weight", ("embedding.weight",))
    queries, keys = exchange_halves(config.n_heads), exchange_halves(config.groups)
    for layer in range(config.n_layers):
        theirs, ours = f"model.layers.{layer}.", f"blocks.{layer}."
        attention = (theirs + "self_attn.", ours + "attention.")
        for name, part, change in (("q_proj", "queries", queries), ("k_proj", "keys", keys)):
            held = (f"{attention[1]}{part}.weight",)
            yield Held(f"{attention[0]}{name}.weight", held, change, change)
        for name, part in (("v_proj", "values"), ("o_proj", "output")):
            yield Held(f"{attention[0]}{name}.weight", (f"{attention[1]}{part}.weight",))
        for name, part in (("fc1", "expand"), ("fc2", "contract")):
            yield Held(f"{theirs}mlp.{name}.weight", (f"{ours}feed_forward.{part}.weight",))
    yield Held("lm_head.weight", ("head.weight",))


NANOCHAT = Layout(
    model_type="nanochat",
    preset="modern",
    class_name="NanoChatForCausalLM",
    read=_read,
    write=_write,
    holds=_holds,
    prefix="model.",
    since="5.0",
)
