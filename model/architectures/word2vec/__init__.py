"""word2vec: a vector for each word, trained to tell its neighbours from random words.

Mikolov et al. 2013a (skip-gram and CBOW) and 2013b (negative sampling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.architectures import Architecture
from model.architectures.word2vec.config import PRESETS, Word2VecConfig

if TYPE_CHECKING:
    from model.architectures.word2vec.network import Word2Vec


def _build(config: Word2VecConfig) -> Word2Vec:
    from model.architectures.word2vec.network import Word2Vec

    return Word2Vec(config)


ARCHITECTURE = Architecture(
    name="word2vec",
    config=Word2VecConfig,
    build=_build,
    objective="negative_sampling",
    presets=PRESETS,
    tiny=Word2VecConfig(vocab_size=64, d_model=32, window=2, negatives=3),
)
