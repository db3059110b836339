"""A text's label, by a classifier."""

from __future__ import annotations

from typing import Any

import torch

from pipelines.tokens.turns import encode_labelled


def shares(network: Any, tokenizer: Any, text: str) -> list[float]:
    """The probability of each label, in the order of the head's outputs."""
    where = next(network.parameters()).device
    tokens = encode_labelled(tokenizer, text, network.context_length)
    last = torch.tensor([len(tokens) - 1], device=where)
    network.eval()
    with torch.inference_mode():
        logits = network(torch.tensor([tokens], device=where), last)[0]
    found: list[float] = logits.softmax(-1).tolist()
    return found
