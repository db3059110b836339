"""What a network reads while it is trained and looked at: decided by its objective, here alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model.batches.batching import Batch, TokenStream, Windows, in_order
from model.batches.masking import Masked, masked_in_order
from model.batches.packing import Packed
from pipelines.training.checkpoint import HELD_OUT_BATCH
from pipelines.training.options import Pretraining


def training_batches(
    objective: str,
    streams: Mapping[str, TokenStream],
    weights: Mapping[str, float],
    training: Pretraining,
    *,
    config: Any,
    end_of_text: int,
    seed: int,
    epochs: Mapping[str, float] | None = None,
) -> Windows | Packed | Masked:
    """Batches of a mixture of corpora for a network of that ``config``.

    A new architecture of an objective that is known needs nothing here.
    """
    filled = Packed if training.packing == "documents" else Windows
    windows = filled(streams, weights, config.context_length, training.batch_size, seed, epochs)
    if objective == "masked_token":
        return Masked(windows, vocab_size=config.vocab_size, end_of_text=end_of_text, seed=seed)
    return windows


def held_out_batches(
    objective: str,
    stream: TokenStream,
    *,
    config: Any,
    end_of_text: int,
    windows: int | None = None,
    beginning: int | None = None,
) -> Iterator[Batch]:
    """A held-out stream in windows, the same ones whenever it is asked.

    ``windows`` is how many, spread evenly over the stream; None for all. Each opens with the
    ``beginning`` of a text where there is one.
    """
    if objective == "masked_token":
        return masked_in_order(
            stream,
            config.context_length,
            HELD_OUT_BATCH,
            vocab_size=config.vocab_size,
            end_of_text=end_of_text,
            windows=windows,
        )
    return in_order(
        stream, config.context_length, HELD_OUT_BATCH, windows=windows, beginning=beginning
    )
