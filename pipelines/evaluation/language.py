"""A language model on held-out text: loss, perplexity, bits per byte, and continuations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from model.batches.batching import in_order
from model.evaluation import bits_per_byte, evaluating, perplexity
from model.inference.generation import generate_batch
from model.likelihoods import row_log_likelihoods
from pipelines.evaluation.intervals import Floats, Interval, bounds, of_mean, of_ratio
from pipelines.inference.replies import SAMPLING, unnamed
from pipelines.training.checkpoint import held_out_rows

if TYPE_CHECKING:
    from torch import nn

    from pipelines.tokens.artefacts import TokenShards
    from pipelines.tokens.tokenizers import Tokenizer


def language_figures(
    network: Any, shards: TokenShards, tokenizer: Tokenizer
) -> dict[str, dict[str, float]]:
    """Loss (nats a token), perplexity and bits per byte of the validation and test splits.

    The model predicts every token once, ends of text included and beginnings of text excluded. It
    predicts each token only from the tokens of its window. A window starts with the beginning of
    text if the tokenizer has one. Bits are divided by the UTF-8 bytes of the text. For the bounds
    windows are drawn, and how many bytes a token has is taken as given. Raises ValueError for a
    split without a token to predict.
    """
    return {
        split: read(network, shards, tokenizer, split).figures() for split in ("validation", "test")
    }


class WindowsRead(NamedTuple):
    """The nats (W,) and the targets (W,) of the W windows of a split, and the bytes of its text."""

    nats: Floats
    tokens: Floats
    text_bytes: int

    @property
    def loss(self) -> float:
        """Nats a token."""
        return float(self.nats.sum() / self.tokens.sum())

    @property
    def bits_per_byte(self) -> float:
        """Bits of the whole text for each of its bytes."""
        return bits_per_byte(float(self.nats.sum()), self.text_bytes)

    def bits(self, nats: float) -> float:
        """Nats a token as bits per byte."""
        return bits_per_byte(nats * float(self.tokens.sum()), self.text_bytes)

    def figures(self) -> dict[str, float]:
        """Loss, perplexity and bits per byte, each with its bounds."""
        around = of_ratio(self.nats, self.tokens)
        measures: dict[str, Callable[[float], float]] = {
            "loss": float,
            "perplexity": perplexity,
            "bits_per_byte": self.bits,
        }
        figures: dict[str, float] = {}
        for name, of in measures.items():
            figures |= {name: of(self.loss), **bounds(name, Interval(*map(of, around)))}
        return figures

    def minus(self, other: WindowsRead) -> Interval:
        """The interval of our bits per byte minus those of another model, which read the same
        windows."""
        size = self.text_bytes / len(self.nats)  # bytes of a window, of the mean
        low, high = of_mean(self.nats - other.nats)
        return Interval(*(nats / math.log(2) / size for nats in (low, high)))


def read(network: Any, shards: TokenShards, tokenizer: Tokenizer, split: str) -> WindowsRead:
    """How a network predicts the windows of a split. Raises ValueError if it has no target."""
    stream, length = shards.stream(split, tokenizer.end_of_text), network.context_length
    batches = in_order(stream, length, held_out_rows(length), beginning=tokenizer.beginning)
    device, parts = next(network.parameters()).device, []
    with evaluating(network), torch.inference_mode():
        for batch in batches:
            network.check(batch)
            nats, tokens = row_log_likelihoods(network, batch.to(device))
            parts.append(torch.stack([-nats, tokens.double()]).cpu().numpy())
    nats, tokens = np.concatenate(parts, axis=1)
    if not tokens.sum():
        raise ValueError(f"{split}: counted targets=0; a mean loss needs at least one, add data")
    asked = tokens > 0  # a window of forgotten documents asks nothing
    return WindowsRead(nats[asked], tokens[asked], shards.text_bytes(split))


def continuations(
    network: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str], length: int = 120
) -> list[dict[str, str]]:
    """The model's continuation of each prompt, by seeded sampling."""
    continued = generate_batch(
        network,
        [[tokenizer.start, *tokenizer.encode(prompt)] for prompt in prompts],
        max_new_tokens=length,
        stop=tokenizer.controls - {tokenizer.user, tokenizer.assistant},
        forbid={tokenizer.user, tokenizer.assistant, *unnamed(network, tokenizer)},
        **SAMPLING,
    )
    return [
        {"prompt": prompt, "continuation": continuation(tokenizer, prompt, tokens)}
        for prompt, tokens in zip(prompts, continued, strict=True)
    ]


def continuation(tokenizer: Tokenizer, prompt: str, tokens: Sequence[int]) -> str:
    """The text by which ``tokens`` continue a prompt.

    They are decoded together with the prompt, because a tokenizer may write the space between two
    words only where it has both.
    """
    before = tokenizer.encode(prompt)
    return tokenizer.decode([*before, *tokens])[len(tokenizer.decode(before)) :]
