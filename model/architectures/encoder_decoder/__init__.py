"""The original Transformer: an encoder reads the source, a decoder writes the target.

Vaswani et al. 2017 (preset ``original``). The ``modern`` preset keeps the plan but uses
the parts of today's decoders (``gpt``'s); on the budget of a small processor it learns far faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.architectures import Architecture
from model.architectures.encoder_decoder.config import (
    PRESETS,
    EncoderDecoderConfig,
    flops_per_token,
)

if TYPE_CHECKING:
    from model.architectures.encoder_decoder.network import Transformer


def _build(config: EncoderDecoderConfig) -> Transformer:
    from model.architectures.encoder_decoder.network import Transformer

    return Transformer(config)


ARCHITECTURE = Architecture(
    name="encoder_decoder",
    config=EncoderDecoderConfig,
    build=_build,
    objective="sequence_to_sequence",
    presets=PRESETS,
    tiny=EncoderDecoderConfig(
        **PRESETS["modern"],
        vocab_size=64,
        context_length=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        n_heads=2,
    ),
    flops=lambda config, asked: flops_per_token(config, asked) / 2,  # of a source or a target
)
