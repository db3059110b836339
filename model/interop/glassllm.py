"""The networks of the package glassllm: Llama's parts in NumPy.

Its matrices multiply from the right, and its rotation pairs neighbours (2i, 2i + 1).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.interop.layout import (
    Change,
    Held,
    Layout,
    Options,
    halves_to_pairs,
    pairs_to_halves,
)

_BLOCK = {
    "attn.W_V": "attention.values",
    "attn.W_O": "attention.output",
    "ffn.W1": "feed_forward.gate",
    "ffn.W3": "feed_forward.expand",
    "ffn.W2": "feed_forward.contract",
}
_NORMS = {"norm1": "attention_norm", "norm2": "feed_forward_norm"}


def _read(options: Options) -> GPTConfig:
    return GPTConfig(
        **PRESETS["llama"]
        | {
            "vocab_size": options["vocab_size"],
            "context_length": options["max_len"],
            "d_model": options["d_model"],
            "n_layers": options["n_layers"],
            "n_heads": options["n_heads"],
            "n_kv_heads": options["n_kv_heads"],
            "d_feed_forward": 8 * options["d_model"] // 3,
            "rotary_base": options["rope_base"],
            "norm_epsilon": options["eps"],
            "tied_head": True,
        }
    )


def _holds(config: GPTConfig) -> Iterator[Held]:
    yield Held("E", ("embedding.weight",))
    for layer in range(config.n_layers):
        theirs, ours = f"blocks.{layer}.", f"blocks.{layer}."
        heads = {"attn.W_Q": ("queries", config.n_heads), "attn.W_K": ("keys", config.groups)}
        for name, (part, count) in heads.items():
            yield Held(theirs + name, (f"{ours}attention.{part}.weight",), *_changes(count))
        for name, part in _BLOCK.items():
            yield Held(theirs + name, (f"{ours}{part}.weight",), torch.t, torch.t)
        for name, part in _NORMS.items():
            yield Held(f"{theirs}{name}.gamma", (f"{ours}{part}.weight",))
    yield Held("norm_f.gamma", ("norm.weight",))


def _changes(heads: int) -> tuple[Change, Change]:
    def read(theirs: Tensor) -> Tensor:
        return pairs_to_halves(heads)(theirs.t())

    def write(ours: Tensor) -> Tensor:
        return halves_to_pairs(heads)(ours).t()

    return read, write


GLASSLLM = Layout(model_type="glassllm", class_name="GlassLM", read=_read, holds=_holds, head="")
