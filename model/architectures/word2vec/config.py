"""What word2vec foretells from what, and the size of its vectors.

Letters: V vocab_size, D d_model, C context_length, N negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Method = Literal["skip_gram", "cbow"]


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """The size of the vectors, and what is foretold from what."""

    vocab_size: int
    d_model: int = 100
    method: Method = "skip_gram"  # a neighbour from a word; cbow: a word from its neighbours' mean
    window: int = 5  # the farthest neighbour, in words
    negatives: int = 5  # words that are drawn against each true one

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
        """The most words that are given at once, C: one, or those on both sides."""
        return 1 if self.method == "skip_gram" else 2 * self.window


def parameter_count(config: Word2VecConfig) -> int:
    """Two vectors a word, 2 V D: one for where it is given, one for where it is foretold."""
    return 2 * config.vocab_size * config.d_model


def flops_per_prediction(config: Word2VecConfig) -> int:
    """Floating-point operations to learn from one true word, forward and backward.

    Forward, 1 + N dot products of a multiply and an add: 2 D each. Backward, the same again to the
    given mean and to the 1 + N vectors. The mean takes C D additions, of which each given vector
    gets its gradient back; skip-gram has nothing to add up. Reading and updating the rows, which
    takes most of the time, is not arithmetic and not counted.
    """
    mean = 2 * config.context_length * config.d_model if config.context_length > 1 else 0
    return 6 * config.d_model * (1 + config.negatives) + mean


PRESETS: dict[str, dict[str, Any]] = {}
