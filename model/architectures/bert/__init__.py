"""BERT: an encoder that reads a text in both directions and predicts its masked words.

Devlin et al. 2019 (preset ``bert``), without next-sentence prediction and its segment embeddings,
which later work found of no use (Liu et al. 2019). The ``modern`` preset uses the parts of
``gpt``'s ``modern`` preset and learns several times faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.architectures import Architecture
from model.architectures.bert.config import PRESETS, BERTConfig, flops_per_token

if TYPE_CHECKING:
    from model.architectures.bert.network import Encoder


def _build(config: BERTConfig) -> Encoder:
    from model.architectures.bert.network import Encoder

    return Encoder(config)


ARCHITECTURE = Architecture(
    name="bert",
    config=BERTConfig,
    build=_build,
    objective="masked_token",
    presets=PRESETS,
    tiny=BERTConfig(vocab_size=64, context_length=16, d_model=32, n_layers=2, n_heads=2),
    flops=flops_per_token,
)
