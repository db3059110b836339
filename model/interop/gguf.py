"""The Llama family as llama.cpp's GGUF files name and arrange it.

Their options are a file's metadata, with ``tensors``, the names of its tensors, beside them. Files
of the ``llama`` architecture hold query and key rows in the order of Meta's own code, which rotates
neighbours (2i, 2i + 1); the others hold them as Hugging Face does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from model.architectures.gpt import PRESETS, GPTConfig
from model.interop.layout import Held, Layout, Options, halves_to_pairs, only, pairs_to_halves

_BLOCK = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.queries",
    "attn_k": "attention.keys",
    "attn_v": "attention.values",
    "attn_output": "attention.output",
    "attn_q_norm": "attention.queries_norm",
    "attn_k_norm": "attention.keys_norm",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "feed_forward.gate",
    "ffn_up": "feed_forward.expand",
    "ffn_down": "feed_forward.contract",
}


def _read(model_type: str, options: Options) -> GPTConfig:
    def told(name: str) -> str:
        return f"{model_type}.{name}"

    heads, d_model = options[told("attention.head_count")], options[told("embedding_length")]
    only(options, told("rope.scaling.type"), "none")
    d_head = options.get(told("attention.key_length"), d_model // heads)
    only(options, told("rope.dimension_count"), d_head)
    tied = "output.weight" not in options["tensors"]
    return GPTConfig(
        **PRESETS["llama"]
        | {
            "vocab_size": len(options["tokenizer.ggml.tokens"]),
            "context_length": options[told("context_length")],
            "d_model": d_model,
            "n_layers": options[told("block_count")],
            "n_heads": heads,
            "n_kv_heads": options.get(told("attention.head_count_kv")),
            "d_head": d_head,
            "d_feed_forward": options[told("feed_forward_length")],
            "rotary_base": float(options.get(told("rope.freq_base"), 10_000.0)),
            "norm_epsilon": options[told("attention.layer_norm_rms_epsilon")],
            "tied_head": tied,
            "qkv_bias": model_type == "qwen2",
            "qk_norm": model_type == "qwen3",
            "qk_gain": model_type == "qwen3",
        }
    )


def _holds(model_type: str, config: GPTConfig) -> Iterator[Held]:
    yield Held("token_embd.weight", ("embedding.weight",))
    paired = {"attn_q": config.n_heads, "attn_k": config.groups} if model_type == "llama" else {}
    for layer in range(config.n_layers):
        for theirs, ours in _BLOCK.items():
            for kind in ("weight", "bias"):
                name, held = f"blk.{layer}.{theirs}.{kind}", (f"blocks.{layer}.{ours}.{kind}",)
                if heads := paired.get(theirs):
                    yield Held(name, held, pairs_to_halves(heads), halves_to_pairs(heads))
                else:
                    yield Held(name, held)
    yield Held("output_norm.weight", ("norm.weight",))
    yield Held("output.weight", ("head.weight",))


GGUF = {
    model_type: Layout(
        model_type=model_type,
        class_name=f"a GGUF file of {model_type}",
        read=partial(_read, model_type),
        holds=partial(_holds, model_type),
        head="output.weight",
    )
    for model_type in ("llama", "qwen2", "qwen3")
}
