"""GPT-2 (Radford et al. 2019) in the layout of ``GPT2LMHeadModel``.

Its linear layers are one-dimensional convolutions, whose weights are transposed. One of them holds
query, key and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.interop.layout import Held, Layout, Options, only

# Of a block: their layer, and our layers that it holds, in order.
_LINEAR = {
    "attn.c_attn": ("attention.queries", "attention.keys", "attention.values"),
    "attn.c_proj": ("attention.output",),
    "mlp.c_fc": ("feed_forward.expand",),
    "mlp.c_proj": ("feed_forward.contract",),
}
_NORMS = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm"}


def _read(options: Options) -> GPTConfig:
    only(options, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    only(options, "scale_attn_weights", True)
    only(options, "scale_attn_by_inverse_layer_idx", False)
    only(options, "add_cross_attention", False)
    return GPTConfig(
        **PRESETS["gpt2"]
        | {
            "vocab_size": options["vocab_size"],
            "context_length": options["n_positions"],
            "d_model": options["n_embd"],
            "n_layers": options["n_layer"],
            "n_heads": options["n_head"],
            "d_feed_forward": options.get("n_inner"),
            "norm_epsilon": options.get("layer_norm_epsilon", 1e-5),
            "tied_head": options.get("tie_word_embeddings", True),
        }
    )


def _write(config: GPTConfig) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.hidden,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.epsilon,
        "tie_word_embeddings": config.tied_head,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": 0.0,
    }


def _holds(config: GPTConfig) -> Iterator[Held]:
    yield Held("transformer.wte.weight", ("embedding.weight",))
    yield Held("transformer.wpe.weight", ("positions.weight",))
    for layer in range(config.n_layers):
        theirs, ours = f"transformer.h.{layer}", f"blocks.{layer}"
        for name, parts in _LINEAR.items():
            weights, biases = ([f"{ours}.{part}.{kind}" for part in parts] for kind in _KINDS)
            yield Held(f"{theirs}.{name}.weight", tuple(weights), torch.t, torch.t)
            yield Held(f"{theirs}.{name}.bias", tuple(biases))
        for name, part in _NORMS.items():
            yield from _norm(f"{theirs}.{name}", f"{ours}.{part}")
    yield from _norm("transformer.ln_f", "norm")
    yield Held("lm_head.weight", ("head.weight",))


_KINDS = ("weight", "bias")


def _norm(theirs: str, ours: str) -> Iterator[Held]:
    return (Held(f"{theirs}.{kind}", (f"{ours}.{kind}",)) for kind in _KINDS)


GPT2 = Layout(
    model_type="gpt2",
    preset="gpt2",
    class_name="GPT2LMHeadModel",
    read=_read,
    write=_write,
    holds=_holds,
    prefix="transformer.",
    # Old files hold the causal mask as a buffer of every block.
    ignored=r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",
)
