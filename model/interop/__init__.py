"""Name maps between a ``Decoder``'s tensors and other formats; tensors in, tensors out.

layout     the class of a layout: strict reading and writing follow from a list of tensors
gpt2       GPT-2
llama      Llama, Mistral, Qwen2, Qwen3
nanochat   NanoChat, which can represent our ``modern`` preset
gguf       the Llama family in llama.cpp's files
glassllm   a small network with a NumPy reference
"""

from __future__ import annotations

from model.architectures.gpt.config import GPTConfig
from model.interop.gguf import GGUF
from model.interop.glassllm import GLASSLLM
from model.interop.gpt2 import GPT2
from model.interop.layout import Layout
from model.interop.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from model.interop.nanochat import NANOCHAT

__all__ = ["GGUF", "GLASSLLM", "LAYOUTS", "Layout", "find", "layout_for"]

LAYOUTS = {layout.model_type: layout for layout in (GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, NANOCHAT)}
"""The layouts of transformers' stock classes, in the order in which an export tries them."""


def find(model_type: str) -> Layout:
    """The layout of a ``model_type`` of transformers. Raises ValueError for an unknown one."""
    if model_type not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise ValueError(f"model_type={model_type!r} is unknown: known are {known}")
    return LAYOUTS[model_type]


def layout_for(config: GPTConfig) -> Layout:
    """The layout of the first stock class that can represent the configuration.

    Raises ValueError if none can; the message names the options that the nearest class, with the
    fewest differences, does not support.
    """
    missing = {name: layout.cannot_hold(config) for name, layout in LAYOUTS.items()}
    nearest = min(LAYOUTS, key=lambda name: len(missing[name]))
    if missing[nearest]:
        raise ValueError(
            f"no stock class of transformers holds this network: {'; '.join(missing[nearest])} "
            f"(the nearest class); train with preset: {LAYOUTS[nearest].preset}, without these"
            " options"
        )
    return LAYOUTS[nearest]
