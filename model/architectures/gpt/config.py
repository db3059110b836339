"""The configuration of a GPT, and its presets.

Letters: D d_model, L n_layers, G n_kv_heads, K d_head, V vocab_size, R pair_rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.blocks.config import MODERN, StackConfig, check_sizes
from model.blocks.config import flops_per_token as stack_flops
from model.blocks.config import parameter_count as stack_parameters

READ_BY_GATES = 32  # so many features of a token decide a gate; more bring nothing (nanochat)


@dataclass(frozen=True, kw_only=True)
class GPTConfig(StackConfig):
    """All settings of the network. The defaults are those of the preset ``modern``.

    The last four are the parts of the preset ``quick`` (model/architectures/gpt/identity.py). No
    stock class of another library has them.
    """

    embedding_skip: bool = False  # each block starts from a x + b embedding (modded-nanogpt 2024)
    value_embeddings: bool = False  # a table of each block adds to its values (Zhou et al. 2024)
    previous_token: bool = False  # each embedding gets a share of the one before (modded-nanogpt)
    pair_rows: int | None = None  # a hashed table of token pairs; rows below V squared share

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "pair_rows", optional=True)

    @property
    def gate_width(self) -> int:
        """How many features of a token decide a gate."""
        return min(READ_BY_GATES, self.d_model)

    @property
    def looks_back(self) -> int:
        """How many tokens before a token its embedding depends on."""
        return self.previous_token + (self.pair_rows is not None)


def gate_count(config: GPTConfig) -> int:
    """How many weights of gates multiply a token: G of each block, and the previous token's one."""
    gates = config.value_embeddings * config.n_layers * config.groups + config.previous_token
    return gates * config.gate_width


def parameter_count(config: GPTConfig) -> int:
    """The number of all parameters: those of the stack (``blocks.config``), and these.

    The gates; value embeddings V G K in each block; the pair table R D; two scalars a block for
    the skip from the embedding, and one for the previous token.
    """
    values = config.value_embeddings * config.n_layers * config.vocab_size
    return (
        stack_parameters(config)
        + gate_count(config)
        + values * config.groups * config.per_head
        + (config.pair_rows or 0) * config.d_model
        + 2 * config.embedding_skip * config.n_layers
        + config.previous_token
    )


def flops_per_token(config: GPTConfig, asked: float = 1.0) -> int:
    """As in ``blocks.config``, with the gates: 6 a weight. Look-ups in tables are not counted."""
    return stack_flops(config, asked) + 6 * gate_count(config)


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
# For minutes of training: ``modern`` with tables (benchmarks/chat_loss-2026-11-30.md).
_QUICK: dict[str, Any] = {
    **MODERN,
    "embedding_skip": True,
    "value_embeddings": True,
    "previous_token": True,
    "pair_rows": 32_768,
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
    "quick": _QUICK,
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
