"""GPT: a decoder-only transformer, from GPT-2's layout to today's, by configuration.

Radford et al. 2019 (``gpt2``); the ``modern`` preset follows karpathy/nanochat, in a shape that
transformers' stock ``NanoChatForCausalLM`` holds exactly (see ``Rotary`` in model/layers.py for
the one reordering of weights that this takes). The network itself is model/decoder.py.

Letters: T context_length, D d_model, L n_layers, H n_heads, G n_kv_heads, K d_head, F
d_feed_forward, V vocab_size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from model.architectures import Architecture

if TYPE_CHECKING:
    from model.decoder import Decoder

Positions = Literal["rotary", "learned"]
Norm = Literal["rms", "layer"]
FeedForward = Literal["squared_relu", "gelu", "swiglu"]
Initialisation = Literal["zero_output", "gpt2"]


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Every decision about the network. The defaults are the ``modern`` preset's."""

    vocab_size: int
    context_length: int = 256
    d_model: int = 256
    n_layers: int = 4
    n_heads: int = 4
    n_kv_heads: int | None = None  # None: as many as n_heads; fewer: grouped queries
    d_feed_forward: int | None = None  # None: 4 D; for swiglu 8/3 D rounded up to a multiple of 64
    positions: Positions = "rotary"
    rotary_base: float = 10_000.0
    norm: Norm = "rms"  # rms has no parameters, layer has gain and (with bias) shift
    feed_forward: FeedForward = "squared_relu"
    qk_norm: bool = True  # normalise queries and keys after the rotation
    bias: bool = False  # in every linear layer but query, key, value and head; in the norms
    qkv_bias: bool = False
    tied_head: bool = False
    embedding_norm: bool = True  # a norm right after the embedding
    logit_cap: float | None = 15.0  # logits = cap tanh(logits / cap)
    dropout: float = 0.0
    initialisation: Initialisation = "zero_output"

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "d_model", "n_layers", "n_heads")
        for name in (*sizes, "n_kv_heads", "d_feed_forward"):
            value = getattr(self, name)
            optional = name not in sizes and value is None
            if not optional and (type(value) is not int or value < 1):
                raise ValueError(f"{name}={value!r} must be a whole number from 1")
        for name, choices in (
            ("positions", Positions),
            ("norm", Norm),
            ("feed_forward", FeedForward),
            ("initialisation", Initialisation),
        ):
            if getattr(self, name) not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown: use one of {known}")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model={self.d_model} must be a multiple of n_heads={self.n_heads}")
        if self.n_heads % self.groups:
            raise ValueError(
                f"n_heads={self.n_heads} must be a multiple of n_kv_heads={self.groups}"
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"d_head={self.d_head} must be even for rotary: change n_heads")
        if not self.rotary_base > 1:
            raise ValueError(f"rotary_base={self.rotary_base} must be above 1, such as 10000")
        if self.logit_cap is not None and not 0 < self.logit_cap < math.inf:
            raise ValueError(f"logit_cap={self.logit_cap} must be positive, or null for none")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def groups(self) -> int:
        """Key and value heads, G."""
        return self.n_kv_heads or self.n_heads

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward, F."""
        if self.d_feed_forward is not None:
            return self.d_feed_forward
        # Three matrices at 8/3 D hold what two hold at 4 D (Shazeer 2020).
        return (
            64 * math.ceil(self.d_model / 24) if self.feed_forward == "swiglu" else 4 * self.d_model
        )


def matrix_count(config: GPTConfig) -> int:
    """Weights that a token is multiplied with, head included, embeddings excluded.

    A block: queries D D, keys and values 2 D G K, output D D, feed-forward 2 D F (swiglu 3 D F);
    the head: D V, tied or not.
    """
    d, k = config.d_model, config.d_head
    attention = 2 * d * d + 2 * d * config.groups * k
    feed_forward = (3 if config.feed_forward == "swiglu" else 2) * d * config.hidden
    return config.n_layers * (attention + feed_forward) + d * config.vocab_size


def parameter_count(config: GPTConfig) -> int:
    """All parameters; a tied head is counted once.

    To the matrices come: the embedding V D (unless the head is it), learned positions T D, the
    norms (two a block, one at the end, one after the embedding if wanted; D for the gain and D for
    the shift, rms none) and the biases (a block: D + 2 G K for query, key and value; D for the
    output; F + D for the feed-forward, with swiglu 2 F + D).
    """
    d = config.d_model
    embedding = 0 if config.tied_head else config.vocab_size * d
    positions = config.context_length * d if config.positions == "learned" else 0
    norms = 2 * config.n_layers + 1 + config.embedding_norm
    norm = (d + d * config.bias) if config.norm == "layer" else 0
    qkv_bias = (d + 2 * config.groups * config.d_head) * config.qkv_bias
    hidden = config.hidden * (2 if config.feed_forward == "swiglu" else 1)
    biases = qkv_bias + (d + hidden + d) * config.bias
    return matrix_count(config) + embedding + positions + norms * norm + config.n_layers * biases


def flops_per_token(config: GPTConfig) -> int:
    """Floating-point operations to train on one token at full context, forward and backward.

    A weight costs a multiply and an add forward, twice that backward (to the input and to the
    weight): 6. Attention multiplies queries with keys and weights with values: 2 D T each forward,
    so 12 D T a block with the backward pass. The causal half is not subtracted, so that shares of
    a machine's peak compare with published ones (Chowdhery et al. 2022, appendix B).
    """
    attention = 12 * config.d_model * config.context_length
    return 6 * matrix_count(config) + config.n_layers * attention


def _build(config: GPTConfig) -> Decoder:
    from model.decoder import Decoder

    return Decoder(config)


PRESETS: dict[str, dict[str, Any]] = {
    "modern": {
        "positions": "rotary",
        "rotary_base": 10_000.0,
        "norm": "rms",
        "feed_forward": "squared_relu",
        "qk_norm": True,
        "bias": False,
        "qkv_bias": False,
        "tied_head": False,
        "embedding_norm": True,
        "logit_cap": 15.0,
        "initialisation": "zero_output",
    },
    "gpt2": {
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
    },
}

ARCHITECTURE = Architecture(
    name="gpt",
    config=GPTConfig,
    build=_build,
    objective="next_token",
    presets=PRESETS,
    tiny=GPTConfig(vocab_size=64, context_length=16, d_model=32, n_layers=2, n_heads=2),
)
