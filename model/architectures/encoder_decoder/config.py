"""The configuration of an encoder-decoder.

Letters: S source positions, T target positions, D d_model, L layers, H heads, K d_head, F
d_feed_forward, V vocab_size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Positions = Literal["sinusoidal", "learned", "rotary"]
Norm = Literal["layer", "rms"]
FeedForward = Literal["relu", "squared_relu"]
Initialisation = Literal["xavier", "zero_output"]


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """All settings of the network. The defaults are those of the preset ``original``."""

    vocab_size: int  # source and target share one vocabulary and one embedding
    context_length: int = 256  # the longest source and the longest target
    d_model: int = 512
    encoder_layers: int = 6
    decoder_layers: int = 6
    n_heads: int = 8
    d_feed_forward: int | None = None  # None: 4 D
    positions: Positions = "sinusoidal"  # rotary applies to self-attention alone
    norm: Norm = "layer"  # layer has a gain and (with bias) a shift, rms has neither
    norm_first: bool = False  # norm before each part (Xiong et al. 2020); False: after each sum
    feed_forward: FeedForward = "relu"
    qk_norm: bool = False  # rms of each head's queries and keys, before the rotation
    bias: bool = True  # in every linear layer but the head, and in the norms
    tied_head: bool = True  # the head is the embedding
    embedding_norm: bool = False  # a norm after the embedding, in place of a factor sqrt(D)
    logit_cap: float | None = None  # logits = cap tanh(logits / cap)
    dropout: float = 0.1
    label_smoothing: float = 0.1  # in the training loss alone (Szegedy et al. 2016)
    initialisation: Initialisation = "xavier"

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "d_model", "encoder_layers", "decoder_layers")
        for name in (*sizes, "n_heads", "d_feed_forward"):
            value = getattr(self, name)
            optional = name == "d_feed_forward" and value is None
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
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"d_head={self.d_head} must be even for rotary: change n_heads")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even for sinusoidal positions")
        if self.logit_cap is not None and not 0 < self.logit_cap < math.inf:
            raise ValueError(f"logit_cap={self.logit_cap} must be positive, or null for none")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0 and below 1")

    @property
    def d_head(self) -> int:
        """Width of a head, K."""
        return self.d_model // self.n_heads

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward, F."""
        return self.d_feed_forward or 4 * self.d_model


def matrix_count(config: EncoderDecoderConfig) -> tuple[int, int]:
    """How many weights multiply a source token, and how many a target token; no embeddings.

    Self-attention has 4 D D a block (queries, keys, values, output), a feed-forward 2 D F. A target
    token is also multiplied with the queries and output of cross-attention, 2 D D a block, and with
    the head, D V, tied or not. Source tokens are multiplied with the keys and values of
    cross-attention, 2 D D for each block of the decoder.
    """
    square = config.d_model**2
    block = 4 * square + 2 * config.d_model * config.hidden
    source = config.encoder_layers * block + config.decoder_layers * 2 * square
    head = config.d_model * config.vocab_size
    return source, config.decoder_layers * (block + 2 * square) + head


def parameter_count(config: EncoderDecoderConfig) -> int:
    """The number of all parameters; a tied embedding and head count once.

    Besides the matrices there are: the embedding V D (if the head is not tied to it); learned
    positions T D for each side; the norms (two in a block of the encoder, three in a block of the
    decoder; with ``norm_first`` one at the end of each side; with ``embedding_norm`` one at its
    beginning), where a layer norm has a gain D and with bias a shift D; the biases (4 D in an
    attention, F + D in a feed-forward).
    """
    d, encoder, decoder = config.d_model, config.encoder_layers, config.decoder_layers
    embedding = 0 if config.tied_head else config.vocab_size * d
    positions = 2 * config.context_length * d if config.positions == "learned" else 0
    norms = 2 * encoder + 3 * decoder + 2 * config.norm_first + 2 * config.embedding_norm
    norm = d * (1 + config.bias) if config.norm == "layer" else 0
    biases = 4 * d * (encoder + 2 * decoder) + (config.hidden + d) * (encoder + decoder)
    vectors = norms * norm + biases * config.bias
    return sum(matrix_count(config)) + embedding + positions + vectors


def flops_per_token(config: EncoderDecoderConfig, asked: float = 1.0) -> int:
    """Floating-point operations to train on one target token and one source token.

    Source and target both fill the context, T = S, so there are as many of each. As in
    model/blocks/config.py a weight costs 6 and an attention 12 D T with the backward pass. A block
    of the encoder has one attention, a block of the decoder two. Masks save nothing. The head is
    computed at the share ``asked`` of the target tokens.
    """
    attentions = config.encoder_layers + 2 * config.decoder_layers
    attention = 12 * config.d_model * config.context_length
    unasked = round((1 - asked) * config.d_model * config.vocab_size)
    return 6 * (sum(matrix_count(config)) - unasked) + attentions * attention


# A recipe that names no preset gets the first. A preset without a shape takes the config's.
PRESETS: dict[str, dict[str, Any]] = {
    "modern": {
        "positions": "rotary",
        "norm": "rms",
        "norm_first": True,
        "feed_forward": "squared_relu",
        "qk_norm": True,
        "bias": False,
        "tied_head": False,
        "embedding_norm": True,
        "logit_cap": 15.0,
        "dropout": 0.0,
        "label_smoothing": 0.0,
        "initialisation": "zero_output",
    },
    "original": {
        "positions": "sinusoidal",
        "norm": "layer",
        "norm_first": False,
        "feed_forward": "relu",
        "qk_norm": False,
        "bias": True,
        "tied_head": True,
        "embedding_norm": False,
        "logit_cap": None,
        "dropout": 0.1,
        "label_smoothing": 0.1,
        "initialisation": "xavier",
    },
}
