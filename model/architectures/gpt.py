"""GPT: a decoder-only transformer, from GPT-2's layout to today's, by configuration.

Radford et al. 2019 (``gpt2``), Touvron et al. 2023 (``llama``), and with a norm of queries and keys
Qwen3 (Yang et al. 2025). The ``modern`` preset follows karpathy/nanochat, in a shape that
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
    d_head: int | None = None  # None: D / H
    d_feed_forward: int | None = None  # None: 4 D; for swiglu 8/3 D rounded up to a multiple of 64
    window: int | None = None  # a position reads itself and the window - 1 before it; None: all
    positions: Positions = "rotary"
    rotary_base: float = 10_000.0
    # Llama 3.1: factor, low and high frequency factor, original context; see ``Rotary``
    rotary_scaling: tuple[float, float, float, int] | None = None
    norm: Norm = "rms"  # layer has a gain and (with bias) a shift
    norm_gain: bool = False  # a gain for rms
    norm_epsilon: float | None = None  # None: 1e-6 for rms, 1e-5 for layer
    feed_forward: FeedForward = "squared_relu"
    qk_norm: bool = True  # rms of each head's queries and keys, before the rotation
    qk_gain: bool = False  # a gain for each of the two, shared by the heads
    bias: bool = False  # in every linear layer but query, key, value and head; in the norms
    qkv_bias: bool = False
    tied_head: bool = False
    embedding_norm: bool = True  # a norm right after the embedding
    logit_cap: float | None = 15.0  # logits = cap tanh(logits / cap)
    dropout: float = 0.0
    initialisation: Initialisation = "zero_output"

    def __post_init__(self) -> None:
        if isinstance(self.rotary_scaling, list):  # as it is read from a file
            object.__setattr__(self, "rotary_scaling", tuple(self.rotary_scaling))
        self._check_sizes()
        self._check_choices()
        self._check_numbers()

    def _check_sizes(self) -> None:
        sizes = ("vocab_size", "context_length", "d_model", "n_layers", "n_heads")
        for name in (*sizes, "n_kv_heads", "d_head", "d_feed_forward", "window"):
            value = getattr(self, name)
            optional = name not in sizes and value is None
            if not optional and (type(value) is not int or value < 1):
                raise ValueError(f"{name}={value!r} must be a whole number from 1")
        if self.d_head is None and self.d_model % self.n_heads:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of n_heads={self.n_heads}: "
                "change one, or give d_head"
            )
        if self.n_heads % self.groups:
            raise ValueError(
                f"n_heads={self.n_heads} must be a multiple of n_kv_heads={self.groups}"
            )
        if self.positions == "rotary" and self.per_head % 2:
            mend = "n_heads" if self.d_head is None else "it"
            raise ValueError(f"d_head={self.per_head} must be even for rotary: change {mend}")

    def _check_choices(self) -> None:
        for name, choices in (
            ("positions", Positions),
            ("norm", Norm),
            ("feed_forward", FeedForward),
            ("initialisation", Initialisation),
        ):
            if getattr(self, name) not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown: use one of {known}")
        for name, wanted, given in (
            ("norm_gain", "norm='rms'", self.norm == "rms"),
            ("qk_gain", "qk_norm=True", self.qk_norm),
            ("rotary_scaling", "positions='rotary'", self.positions == "rotary"),
        ):
            if getattr(self, name) and not given:
                raise ValueError(
                    f"{name}={getattr(self, name)} is of use with {wanted} alone: "
                    f"set that, or leave {name} out"
                )

    def _check_numbers(self) -> None:
        if not 1 < self.rotary_base < math.inf:
            raise ValueError(f"rotary_base={self.rotary_base} must be above 1, such as 10000")
        if self.norm_epsilon is not None and not 0 < self.norm_epsilon < 1:
            raise ValueError(
                f"norm_epsilon={self.norm_epsilon} must be small and above 0, such as 1e-5"
            )
        if self.logit_cap is not None and not 0 < self.logit_cap < math.inf:
            raise ValueError(f"logit_cap={self.logit_cap} must be positive, or null for none")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")
        if self.rotary_scaling is None:
            return
        try:
            factor, low, high, context = self.rotary_scaling
            right = 1 <= factor < math.inf and 0 < low < high < math.inf and context >= 1
        except (TypeError, ValueError):  # not four, or not numbers
            right = False
        if not right:
            raise ValueError(
                f"rotary_scaling={self.rotary_scaling} must be a factor from 1, a low and a higher "
                "frequency factor and the original context, such as [8, 1, 4, 8192]"
            )

    @property
    def per_head(self) -> int:
        """Width of a head, K."""
        return self.d_head or self.d_model // self.n_heads

    @property
    def epsilon(self) -> float:
        """What every norm adds to the mean square before it divides by the root."""
        return self.norm_epsilon or (1e-6 if self.norm == "rms" else 1e-5)

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

    A block: queries and output D H K each, keys and values D G K each, feed-forward 2 D F (swiglu
    3 D F). The head: D V, tied or not.
    """
    attention = 2 * config.d_model * (config.n_heads + config.groups) * config.per_head
    matrices = 3 if config.feed_forward == "swiglu" else 2
    feed_forward = matrices * config.d_model * config.hidden
    return config.n_layers * (attention + feed_forward) + config.d_model * config.vocab_size


def parameter_count(config: GPTConfig) -> int:
    """All parameters; a tied head is counted once.

    To the matrices come: the embedding V D (unless the head is it); learned positions T D; the
    norms (two a block, one at the end, one after the embedding if wanted), of which layer has a
    gain D and with bias a shift D, rms a gain D if wanted; the gains of queries and keys, 2 K a
    block, if wanted; the biases (a block: H K + 2 G K for query, key and value; D for the output;
    F + D for the feed-forward, with swiglu 2 F + D).
    """
    d, k = config.d_model, config.per_head
    embedding = 0 if config.tied_head else config.vocab_size * d
    positions = config.context_length * d if config.positions == "learned" else 0
    norms = 2 * config.n_layers + 1 + config.embedding_norm
    norm = (d + d * config.bias) if config.norm == "layer" else d * config.norm_gain
    qkv_bias = (config.n_heads + 2 * config.groups) * k * config.qkv_bias
    hidden = config.hidden * (2 if config.feed_forward == "swiglu" else 1)
    vectors = 2 * k * config.qk_gain + qkv_bias + (d + hidden + d) * config.bias
    return matrix_count(config) + embedding + positions + norms * norm + config.n_layers * vectors


def flops_per_token(config: GPTConfig) -> int:
    """Floating-point operations to train on one token at full context, forward and backward.

    A weight costs a multiply and an add forward, twice that backward (to the input and to the
    weight): 6. Attention multiplies queries with keys and weights with values: 2 H K T each
    forward, so 12 H K T a block with the backward pass. The causal half is not subtracted, so that
    shares of a machine's peak compare with published ones (Chowdhery et al. 2022, appendix B); nor
    is what a window hides: it is a mask, and the products behind it are computed. Norms, rotation
    and softmax are not counted.
    """
    attention = 12 * config.n_heads * config.per_head * config.context_length
    return 6 * matrix_count(config) + config.n_layers * attention


def _build(config: GPTConfig) -> Decoder:
    from model.decoder import Decoder

    return Decoder(config)


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


# The first is what a recipe gets that names none. Where a shape is not given it is GPTConfig's.
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

ARCHITECTURE = Architecture(
    name="gpt",
    config=GPTConfig,
    build=_build,
    objective="next_token",
    presets=PRESETS,
    tiny=GPTConfig(vocab_size=64, context_length=16, d_model=32, n_layers=2, n_heads=2),
)
