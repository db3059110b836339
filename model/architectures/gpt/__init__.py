"""GPT: a decoder-only transformer, from GPT-2's layout to today's, by configuration.

Radford et al. 2019 (``gpt2``), Touvron et al. 2023 (``llama``), and with a norm of queries and keys
Qwen3 (Yang et al. 2025). The ``modern`` preset follows karpathy/nanochat, in a shape that
transformers' stock ``NanoChatForCausalLM`` represents exactly (``Rotary`` in
model/blocks/positions.py names the one reordering of weights that this needs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.architectures import Architecture
from model.architectures.gpt.config import PRESETS, GPTConfig, flops_per_token

if TYPE_CHECKING:
    from model.architectures.gpt.network import Decoder


def _build(config: GPTConfig) -> Decoder:
    from model.architectures.gpt.network import Decoder

    return Decoder(config)


ARCHITECTURE = Architecture(
    name="gpt",
    config=GPTConfig,
    build=_build,
    objective="next_token",
    presets=PRESETS,
    tiny=GPTConfig(vocab_size=64, context_length=16, d_model=32, n_layers=2, n_heads=2),
    flops=flops_per_token,
)
