"""Classification of a text."""

from __future__ import annotations

from typing import Any

import torch

from model.evaluation import evaluating
from pipelines.tokens.turns import encode_labelled


def shares(network: Any, tokenizer: Any, text: str) -> list[float]:
    """The probability of each label, in the order of the head's outputs."""
    device = next(network.parameters()).device
    tokens = encode_labelled(tokenizer, text, network.context_length)
    last = torch.tensor([len(tokens) - 1], device=device)
    with evaluating(network), torch.inference_mode():
        logits = network(torch.tensor([tokens], device=device), last)[0]
    probabilities: list[float] = logits.softmax(-1).tolist()
    return probabilities
