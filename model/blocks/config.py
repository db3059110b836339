"""The configuration of a block, and of a stack of blocks between an embedding and a head.

Letters: T context_length, D d_model, L n_layers, H n_heads, G n_kv_heads, K d_head, F
d_feed_forward, V vocab_size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Positions = Literal["rotary", "learned"]
Norm = Literal["rms", "layer"]
FeedForward = Literal["squared_relu", "gelu", "swiglu"]
Initialisation = Literal["zero_output", "gpt2"]

# The parts of karpathy/nanochat. The shape has the defaults of the configuration.
MODERN: dict[str, Any] = {
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
}


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Attention and feed-forward, each with a norm."""

    d_model: int = 256
    n_heads: int = 4
    n_kv_heads: int | None = None  # None: as many as n_heads; fewer: grouped queries
    d_head: int | None = None  # None: D / H
    d_feed_forward: int | None = None  # None: 4 D; for swiglu 8/3 D rounded up to a multiple of 64
    norm: Norm = "rms"  # layer has a gain and (with bias) a shift
    norm_gain: bool = False  # a gain for rms
    norm_epsilon: float | None = None  # None: 1e-6 for rms, 1e-5 for layer
    feed_forward: FeedForward = "squared_relu"
    qk_norm: bool = True  # rms of each head's queries and keys, before the rotation
    qk_gain: bool = False  # a gain for each of the two, shared by the heads
    bias: bool = False  # in every linear layer but query, key, value and head; in the norms
    qkv_bias: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self, "d_model", "n_heads")
        check_sizes(self, "n_kv_heads", "d_head", "d_feed_forward", optional=True)
        check_choices(self, norm=Norm, feed_forward=FeedForward)
        if self.d_head is None and self.d_model % self.n_heads:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of n_heads={self.n_heads}: "
                "change one, or give d_head"
            )
        if self.n_heads % self.groups:
            raise ValueError(
                f"n_heads={self.n_heads} must be a multiple of n_kv_heads={self.groups}"
            )
        check_use(self, "norm_gain", "norm='rms'", self.norm == "rms")
        check_use(self, "qk_gain", "qk_norm=True", self.qk_norm)
        if self.norm_epsilon is not None and not 0 < self.norm_epsilon < 1:
            raise ValueError(
                f"norm_epsilon={self.norm_epsilon} must be small and above 0, such as 1e-5"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")

    @property
    def per_head(self) -> int:
        """Width of a head, K."""
        return self.d_head or self.d_model // self.n_heads

    @property
    def epsilon(self) -> float:
        """The number that every norm adds to the mean square before it takes the root."""
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


@dataclass(frozen=True, kw_only=True)
class StackConfig(BlockConfig):
    """An embedding, blocks, a norm and a head. The defaults are those of ``MODERN``."""

    vocab_size: int
    context_length: int = 256
    n_layers: int = 4
    window: int | None = None  # a token reads itself and the window - 1 before it; None: all
    positions: Positions = "rotary"
    rotary_base: float = 10_000.0
    # Llama 3.1: factor, low and high frequency factor, original context; see ``Rotary``
    rotary_scaling: tuple[float, float, float, int] | None = None
    tied_head: bool = False
    embedding_norm: bool = True  # a norm right after the embedding
    logit_cap: float | None = 15.0  # logits = cap tanh(logits / cap)
    initialisation: Initialisation = "zero_output"

    def __post_init__(self) -> None:
        if isinstance(self.rotary_scaling, list):  # a file holds a list
            object.__setattr__(self, "rotary_scaling", tuple(self.rotary_scaling))
        check_sizes(self, "vocab_size", "context_length", "n_layers")
        check_sizes(self, "window", optional=True)
        super().__post_init__()
        check_choices(self, positions=Positions, initialisation=Initialisation)
        self._check_rotation()
        if self.logit_cap is not None and not 0 < self.logit_cap < math.inf:
            raise ValueError(f"logit_cap={self.logit_cap} must be positive, or null for none")

    def _check_rotation(self) -> None:
        if self.positions == "rotary" and self.per_head % 2:
            mend = "n_heads" if self.d_head is None else "it"
            raise ValueError(f"d_head={self.per_head} must be even for rotary: change {mend}")
        check_use(self, "rotary_scaling", "positions='rotary'", self.positions == "rotary")
        if not 1 < self.rotary_base < math.inf:
            raise ValueError(f"rotary_base={self.rotary_base} must be above 1, such as 10000")
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


def check_sizes(config: Any, *names: str, optional: bool = False) -> None:
    """Raises ValueError for a field that is not a whole number from 1 (or None if optional)."""
    for name in names:
        value = getattr(config, name)
        if not (optional and value is None) and (type(value) is not int or value < 1):
            raise ValueError(f"{name}={value!r} must be a whole number from 1")


def check_choices(config: Any, **choices: Any) -> None:
    """Raises ValueError for a field whose value is none of its literals."""
    for name, literals in choices.items():
        if getattr(config, name) not in get_args(literals):
            known = ", ".join(get_args(literals))
            raise ValueError(f"{name}={getattr(config, name)!r} is unknown: use one of {known}")


def check_use(config: Any, name: str, needed: str, holds: bool) -> None:
    """Raises ValueError for a field that is set although its condition ``needed`` fails."""
    if getattr(config, name) and not holds:
        raise ValueError(
            f"{name}={getattr(config, name)} works with {needed} alone: "
            f"set that, or leave {name} out"
        )


def matrix_count(config: StackConfig) -> int:
    """How many weights multiply a token, with the head and without embeddings.

    A block has D H K for queries and for output, D G K for keys and for values, 2 D F for the
    feed-forward (swiglu 3 D F). The head has D V, tied or not.
    """
    attention = 2 * config.d_model * (config.n_heads + config.groups) * config.per_head
    matrices = 3 if config.feed_forward == "swiglu" else 2
    feed_forward = matrices * config.d_model * config.hidden
    return config.n_layers * (attention + feed_forward) + config.d_model * config.vocab_size


def parameter_count(config: StackConfig) -> int:
    """The number of all parameters; a tied embedding and head count once.

    Besides the matrices there are: the embedding V D (if the head is not tied to it); learned
    positions T D; the norms (two in a block, one at the end, with ``embedding_norm`` one after the
    embedding), where layer has a gain D and with ``bias`` a shift D, and rms has a gain D with
    ``norm_gain``; with ``qk_gain`` the gains of queries and keys, 2 K in a block; the biases (in a
    block H K + 2 G K for query, key and value, D for the output, and F + D for the feed-forward,
    with swiglu 2 F + D).
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


def flops_per_token(config: StackConfig, asked: float = 1.0) -> int:
    """Floating-point operations to train on one token at full context, forward and backward.

    The head, D V, is computed at the share ``asked`` of the tokens, whose targets count.

    A weight costs 6: a multiply and an add forward, and twice that backward (for the gradients of
    the input and of the weight). Attention multiplies queries with keys and weights with values:
    2 H K T each forward, so 12 H K T a block with the backward pass. The hidden causal half is not
    subtracted, so that shares of a machine's peak compare with published ones (Chowdhery et al.
    2022, appendix B). The positions that a window hides are not subtracted either: a window is a
    mask, and the products behind it are computed. Norms, rotation and softmax are not counted.
    """
    attention = 12 * config.n_heads * config.per_head * config.context_length
    unasked = round((1 - asked) * config.d_model * config.vocab_size)
    return 6 * (matrix_count(config) - unasked) + config.n_layers * attention
