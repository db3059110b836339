"""The configuration of a GPT, and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.blocks.config import MODERN, StackConfig


@dataclass(frozen=True, kw_only=True)
class GPTConfig(StackConfig):
    """All settings of the network. The defaults are those of the preset ``modern``."""


_GPT2: dict[str, Any] = {
    "positions": "learned",
    "norm": "layer",
    "feed_forward": "gelu",
    "qk_norm": False,
    "bias": True,
    "qkv_bias": True,
    "tied_head": True,
    "embedding_norm": False,
    "logit_cap": None,
    "initialisation": "gpt2",
}
_LLAMA: dict[str, Any] = {
    "norm": "rms",
    "norm_gain": True,
    "norm_epsilon": 1e-5,
    "feed_forward": "swiglu",
    "qk_norm": False,
    "embedding_norm": False,
    "logit_cap": None,
    "initialisation": "gpt2",
}


def _shape(n_layers: int, n_heads: int, d_model: int, context_length: int) -> dict[str, Any]:
    return {
        "n_layers": n_layers,
        "n_heads": n_heads,
        "d_model": d_model,
        "context_length": context_length,
    }


# A recipe that names no preset gets the first. A preset without a shape takes GPTConfig's.
PRESETS: dict[str, dict[str, Any]] = {
    "modern": MODERN,
    "gpt2": _GPT2,
    "gpt2-small": {**_GPT2, **_shape(12, 12, 768, 1024)},
    "gpt2-medium": {**_GPT2, **_shape(24, 16, 1024, 1024)},
    "gpt2-large": {**_GPT2, **_shape(36, 20, 1280, 1024)},
    "gpt2-xl": {**_GPT2, **_shape(48, 25, 1600, 1024)},
    "gpt3-175b": {**_GPT2, **_shape(96, 96, 12_288, 2048)},
    "llama": {**_LLAMA, "n_kv_heads": 2},
    "smollm2": {
        **_LLAMA,
        **_shape(30, 9, 576, 8192),
        "n_kv_heads": 3,
        "d_feed_forward": 1536,
        "rotary_base": 100_000.0,
        "tied_head": True,
    },
}
