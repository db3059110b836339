"""The batches of training and validation; this module alone chooses them by objective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model.batches.batching import Batch, TokenStream, Windows, in_order
from model.batches.masking import Masked, masked_in_order
from model.batches.packing import Packed
from pipelines.training.checkpoint import held_out_rows
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

    A new architecture with a known objective needs no change here.
    """
    kind = Packed if training.packing == "documents" else Windows
    windows = kind(streams, weights, config.context_length, training.batch_size, seed, epochs)
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
    """Batches of windows of a held-out stream, the same ones in every call.

    ``windows`` is the number of windows, spread evenly over the stream; None for all. The token
    ``beginning``, if given, opens each window.
    """
    if objective == "masked_token":
        return masked_in_order(
            stream,
            config.context_length,
            held_out_rows(config.context_length),
            vocab_size=config.vocab_size,
            end_of_text=end_of_text,
            windows=windows,
        )
    return in_order(
        stream,
        config.context_length,
        held_out_rows(config.context_length),
        windows=windows,
        beginning=beginning,
    )
