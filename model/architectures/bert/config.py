"""The configuration of a BERT.

Letters: T context_length, D d_model, L n_layers, F d_feed_forward, V vocab_size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.blocks.config import MODERN, StackConfig
from model.blocks.config import flops_per_token as stack_flops
from model.blocks.config import parameter_count as stack_parameters


@dataclass(frozen=True, kw_only=True)
class BERTConfig(StackConfig):
    """The settings of a decoder's stack, and two of the encoder's own.

    ``vocab_size`` is the tokenizer's. The network adds one token, the mask, with id ``vocab_size``.
    """

    norm_first: bool = True  # norm before each part (Xiong et al. 2020); False: after each sum
    head_transform: bool = False  # linear layer, GELU and norm before the head

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None:
            raise ValueError(f"window={self.window} is for decoders alone: leave it out of a bert")


def parameter_count(config: BERTConfig) -> int:
    """The number of all parameters: those of a decoder of the same shape, with these differences.

    The embedding has a row for the mask, D. There is no last norm unless ``norm_first``. The
    transform adds a matrix D D, a norm, and with ``bias`` a bias D. A tied head is the embedding
    without the mask's row.
    """
    d = config.d_model
    norm = d * (1 + config.bias) if config.norm == "layer" else d * config.norm_gain
    transform = d * d + norm + d * config.bias if config.head_transform else 0
    last = 0 if config.norm_first else norm
    return stack_parameters(config) + d - last + transform


def flops_per_token(config: BERTConfig, asked: float) -> int:
    """Floating-point operations to train on one token at full context, forward and backward.

    The count is a decoder's (``blocks.config``), but the head, D V, and its transform, D D, are
    computed at the share ``asked`` of the tokens alone. The attention has no hidden half.
    """
    head = config.d_model * config.vocab_size
    transform = config.d_model**2 if config.head_transform else 0
    return stack_flops(config) - 6 * head + round(6 * asked * (head + transform))


# A recipe that names no preset gets the first. The GELU is the tanh form of the released code.
PRESETS: dict[str, dict[str, Any]] = {
    "modern": MODERN,
    "bert": {
        "positions": "learned",
        "norm": "layer",
        "norm_epsilon": 1e-12,
        "norm_first": False,
        "feed_forward": "gelu",
        "qk_norm": False,
        "bias": True,
        "qkv_bias": True,
        "tied_head": True,
        "head_transform": True,
        "embedding_norm": True,
        "logit_cap": None,
        "dropout": 0.1,
        "initialisation": "gpt2",
    },
}
