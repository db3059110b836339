"""Which positions may be read: masks, True where one may, and stretches of documents.

Letters: B batch, T queries, S keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.blocks.elementwise import eager_cpu

SHORTEST = 64  # documents of fewer tokens, on average, are kept apart by a mask


def causal(length: int, device: torch.device | str | None = None) -> Tensor:
    """(T, T) mask: a position reads itself and the positions before it. Book 3.5."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


@dataclass(frozen=True)
class Apart:
    """Documents (B, T) that may not read one another, each in one stretch of a row.

    ``lengths`` are those of the stretches, row after row. Attention stretch by stretch needs no
    (T, T) mask, and skips what the mask would hide.
    """

    documents: Tensor
    lengths: tuple[int, ...]

    @property
    def mask(self) -> Tensor:
        """The same as a (B, 1, T, T) mask."""
        return same_document(self.documents)


def apart(documents: Tensor) -> Tensor | Apart | None:
    """What keeps the documents (B, T) of a row apart; None if each row holds a single one.

    It is a mask where the stretches are so short that a call for each would take longer, and on an
    accelerator, which would have to be waited for to know where they begin.
    """
    if not eager_cpu(documents):
        return same_document(documents)
    begins = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True).flatten()
    places = torch.cat([begins.nonzero()[:, 0], torch.tensor([documents.numel()])])
    lengths = tuple(places.diff().tolist())
    if len(lengths) == len(documents):
        return None
    if documents.numel() < SHORTEST * len(lengths):
        return same_document(documents)
    return Apart(documents, lengths)


def same_document(documents: Tensor) -> Tensor:
    """Document numbers (B, T) -> (B, 1, T, T) mask: a position reads its own document alone."""
    return (documents[:, :, None] == documents[:, None, :])[:, None]


def recent(window: int, positions: Tensor, length: int) -> Tensor:
    """positions (B, T) of queries -> (B, 1, T, S) mask of the keys at 0 to S - 1 = length - 1.

    A query reads itself and the window - 1 keys before it (Beltagy et al. 2020); earlier tokens
    still reach it through the layers below. The mask does not hide keys after the query: ``causal``
    does.
    """
    keys = torch.arange(length, device=positions.device)
    return (keys > positions[..., None] - window)[:, None]


def positions_within(documents: Tensor) -> Tensor:
    """Document numbers (B, T), each document in one stretch -> (B, T): positions within it."""
    index = torch.arange(documents.shape[1], device=documents.device)
    begins = documents[:, 1:] != documents[:, :-1]
    starts = torch.where(F.pad(begins, (1, 0), value=True), index, 0)
    return index - starts.cummax(dim=1).values
