"""Masked-token batches: which words the mask hides is a pure function of (batch, key).

Devlin et al. 2019, section 3.1. Letters: B batch, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from model.batches.batching import IGNORED, Batch, TokenStream, Windows, in_order, key_of
from model.batches.packing import Packed

ASKED = 0.15  # the share of tokens that are targets in training
HIDDEN, RANDOM = 0.8, 0.1  # shares of the targets; the others stay as they are


def hide(
    batch: Batch,
    key: int,
    *,
    vocab_size: int,
    end_of_text: int,
    hidden: float = HIDDEN,
    random: float = RANDOM,
) -> Batch:
    """The batch with a share ``ASKED`` of its tokens as targets, drawn from ``key`` alone.

    Of the targets, the mask, token ``vocab_size``, replaces the share ``hidden``, and random tokens
    replace the share ``random``: a network that predicts at masks alone would learn nothing about
    the words that it sees. The end of text and padding (targets IGNORED) are never targets. At
    least one token of the batch is a target, if any may be.
    """
    tokens = batch.tokens
    generator = torch.Generator().manual_seed(key)
    chance, way, anything = torch.rand(3, *tokens.shape, generator=generator)
    allowed = (batch.targets != IGNORED) & (tokens != end_of_text)
    lowest = chance.where(allowed, torch.inf).min()
    targeted = allowed & ((chance < ASKED) | (chance == lowest))
    shown = torch.where(way < hidden + random, (anything * vocab_size).long(), tokens)
    shown = torch.where(way < hidden, vocab_size, shown)
    return replace(
        batch,
        tokens=torch.where(targeted, shown, tokens),
        targets=torch.where(targeted, tokens, IGNORED),
    )


class Masked:
    """Training batches with other hidden words in every step; functions of (seed, step)."""

    def __init__(
        self, batches: Windows | Packed, *, vocab_size: int, end_of_text: int, seed: int
    ) -> None:
        self.batches, self.mixture, self.seed = batches, batches.mixture, seed
        self.drawn, self.rows = batches.drawn, batches.rows
        self._hide = partial(hide, vocab_size=vocab_size, end_of_text=end_of_text)

    @property
    def steps(self) -> int | None:
        """How many batches the corpora allow under their limits; None if one has no limit."""
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
    """Batches that hold each token but the last once, always with the same words hidden.

    The hidden words of a window depend on its place in the stream alone, neither on the batch size
    nor on ``windows`` (as in ``in_order``). For evaluation: the mask hides every target, as in
    filling in a blank.
    """
    hidden = partial(hide, vocab_size=vocab_size, end_of_text=end_of_text, hidden=1.0, random=0.0)
    for batch in in_order(stream, context_length, batch_size, windows=windows):
        for part in _unfilled(batch):
            rows = [
                hidden(_rows(part, slice(row, row + 1)), key_of("mask held out", str(window)))
                for row, window in enumerate(part.ids)
            ]
            tokens, targets = torch.cat([r.tokens for r in rows]), [r.targets for r in rows]
            yield Batch(tokens, torch.cat(targets), part.ids)


def _unfilled(batch: Batch) -> Iterator[Batch]:
    """The batch without its last row's padding, which a bidirectional network would read."""
    length = int((batch.targets[-1] != IGNORED).sum())
    cut = len(batch.tokens) if length == batch.tokens.shape[1] else len(batch.tokens) - 1
    for rows, width in ((slice(cut), None), (slice(cut, None), length)):
        if batch.ids[rows]:
            yield _rows(batch, rows, width)


def _rows(batch: Batch, rows: slice, width: int | None = None) -> Batch:
    return Batch(batch.tokens[rows, :width], batch.targets[rows, :width], batch.ids[rows])
