"""What a BERT is made of.

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
    """A decoder's decisions are an encoder's too, and two more.

    ``vocab_size`` is the tokenizer's: the mask is a token of the network's own, one above.
    """

    norm_first: bool = True  # before each part of a block (Xiong et al. 2020), or after its sum
    head_transform: bool = False  # features are multiplied, bent and normed before the head

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None:
            raise ValueError(f"window={self.window} is a decoder's: a bert reads all; leave it out")


def parameter_count(config: BERTConfig) -> int:
    """All parameters: a decoder's of the same shape, and these.

    The mask's row in the embedding, D; no norm at the end unless ``norm_first``; the transform's
    matrix D D, its norm, and with ``bias`` its bias D. A tied head is the embedding but for the
    mask's row.
    """
    d = config.d_model
    norm = d * (1 + config.bias) if config.norm == "layer" else d * config.norm_gain
    transform = d * d + norm + d * config.bias if config.head_transform else 0
    last = 0 if config.norm_first else norm
    return stack_parameters(config) + d - last + transform


def flops_per_token(config: BERTConfig, asked: float) -> int:
    """Floating-point operations to train on one token at full context, forward and backward.

    A decoder's (``blocks.config``), but the head, D V, and its transform, D D, are only
    computed at the share of tokens that is asked for. Here no half of the attention is hidden.
    """
    head = config.d_model * config.vocab_size
    transform = config.d_model**2 if config.head_transform else 0
    return stack_flops(config) - 6 * head + round(6 * asked * (head + transform))


# The first is what a recipe gets that names none. The GELU is the tanh form of the released code.
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
