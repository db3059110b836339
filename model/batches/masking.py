"""Which words are hidden from a network that is asked for them: a pure function of (batch, key).

Devlin et al. 2019, section 3.1. Letters: B batch, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from model.batches.batching import IGNORED, Batch, TokenStream, Windows, in_order, key_of
from model.batches.packing import Packed

ASKED = 0.15  # the share of tokens that training asks for
HIDDEN, RANDOM = 0.8, 0.1  # of those asked for; the others stay as they are


def hide(
    batch: Batch,
    key: int,
    *,
    vocab_size: int,
    end_of_text: int,
    hidden: float = HIDDEN,
    random: float = RANDOM,
) -> Batch:
    """The batch with a share ``ASKED`` of its tokens asked for, drawn from ``key`` alone.

    Of those, the share ``hidden`` is replaced by the mask, token ``vocab_size``, and ``random`` by
    any token: a network that only ever met masks would make nothing of the words it can see. The
    end of text is never asked for, nor what fills a row up (targets IGNORED); at least one token
    of the batch is, if one may be.
    """
    tokens = batch.tokens
    generator = torch.Generator().manual_seed(key)
    chance, way, anything = torch.rand(3, *tokens.shape, generator=generator)
    may = (batch.targets != IGNORED) & (tokens != end_of_text)
    least = chance.where(may, torch.inf).min()
    asked = may & ((chance < ASKED) | (chance == least))
    shown = torch.where(way < hidden + random, (anything * vocab_size).long(), tokens)
    shown = torch.where(way < hidden, vocab_size, shown)
    return replace(
        batch,
        tokens=torch.where(asked, shown, tokens),
        targets=torch.where(asked, tokens, IGNORED),
    )


class Masked:
    """Training batches whose words are hidden anew in every step; pure in (seed, step)."""

    def __init__(
        self, batches: Windows | Packed, *, vocab_size: int, end_of_text: int, seed: int
    ) -> None:
        self.batches, self.mixture, self.seed = batches, batches.mixture, seed
        self.drawn = batches.drawn
        self._hide = partial(hide, vocab_size=vocab_size, end_of_text=end_of_text)

    @property
    def steps(self) -> int | None:
        """Batches until the limits exhaust every corpus; None where one has no limit."""
        return self.batches.steps

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0. ValueError past ``steps``."""
        return self._hide(self.batches.batch(step), key_of("mask", self.seed, step))


def masked_in_order(
    stream: TokenStream,
    context_length: int,
    batch_size: int,
    *,
    vocab_size: int,
    end_of_text: int,
    windows: int | None = None,
) -> Iterator[Batch]:
    """Batches that show each token but the last once, always with the same words hidden.

    Which words of a window are hidden hangs on its place in the stream alone, neither on the batch
    size nor on ``windows`` (as in ``in_order``). For evaluation: what is asked for is always
    hidden, as it is from who fills in a word.
    """
    hidden = partial(hide, vocab_size=vocab_size, end_of_text=end_of_text, hidden=1.0, random=0.0)
    for batch in in_order(stream, context_length, batch_size, windows=windows):
        for part in _unfilled(batch):
            rows = [
                hidden(_rows(part, slice(row, row + 1)), key_of("mask held out", window))
                for row, window in enumerate(part.ids)
            ]
            tokens, targets = torch.cat([r.tokens for r in rows]), [r.targets for r in rows]
            yield Batch(tokens, torch.cat(targets), part.ids)


def _unfilled(batch: Batch) -> Iterator[Batch]:
    """The batch without what fills its last row up, which would be read from the other side."""
    length = int((batch.targets[-1] != IGNORED).sum())
    cut = len(batch.tokens) if length == batch.tokens.shape[1] else len(batch.tokens) - 1
    for rows, width in ((slice(cut), None), (slice(cut, None), length)):
        if batch.ids[rows]:
            yield _rows(batch, rows, width)


def _rows(batch: Batch, rows: slice, width: int | None = None) -> Batch:
    return Batch(batch.tokens[rows, :width], batch.targets[rows, :width], batch.ids[rows])
