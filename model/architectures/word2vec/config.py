"""The configuration of word2vec.

Letters: V vocab_size, D d_model, C context_length, N negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Method = Literal["skip_gram", "cbow"]


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """The size of the vectors, and which word is predicted from which."""

    vocab_size: int
    d_model: int = 100
    method: Method = "skip_gram"  # word to neighbour; cbow: mean of the neighbours to word
    window: int = 5  # the farthest neighbour, in words
    negatives: int = 5  # random words for each true one

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "window", "negatives"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number from 1")
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise ValueError(f"method={self.method!r} is unknown: use one of {known}")

    @property
    def context_length(self) -> int:
        """How many input words there are, at most, C: one, or those on both sides."""
        return 1 if self.method == "skip_gram" else 2 * self.window


def parameter_count(config: Word2VecConfig) -> int:
    """Two vectors for each word, 2 V D: one as an input, one as a target."""
    return 2 * config.vocab_size * config.d_model


def flops_per_prediction(config: Word2VecConfig) -> int:
    """Floating-point operations to learn from one true word, forward and backward.

    Forward, there are 1 + N dot products of a multiply and an add: 2 D each. Backward, the gradient
    of the input mean takes as many, and that of the 1 + N target vectors too. The mean takes C D
    additions, and its gradient goes back to C vectors; skip-gram has no mean. Reading and updating
    rows takes most of the time, but is no arithmetic and is not counted.
    """
    mean = 2 * config.context_length * config.d_model if config.context_length > 1 else 0
    return 6 * config.d_model * (1 + config.negatives) + mean


PRESETS: dict[str, dict[str, Any]] = {}
