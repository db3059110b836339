"""The training batches of word2vec: words of a text, their neighbours, and random words.

Letters: W words of the text, K of them kept in an epoch, V vocabulary, B rows of a batch, C input
words, N negatives (random words), R window.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
import torch.nn.functional as F
from torch import Tensor

from model.architectures.word2vec.config import Word2VecConfig
from model.batches.batching import IGNORED, Batch
from model.batches.shuffling import key_of

NOISE_POWER = 0.75  # draws rare words more often than they occur (2013b, 2.2)


def keep_probabilities(counts: Tensor, subsample: float) -> Tensor:
    """counts (V,) -> (V,): the probability that an epoch keeps an occurrence of a word.

    It is sqrt(subsample / share), at most 1: words whose share of the text is above ``subsample``
    say little about their neighbours. Mikolov et al. 2013b, eq. 5.
    """
    shares = counts.double() / counts.sum()
    return (subsample / shares).sqrt().clamp_max(1.0)


def noise(counts: Tensor) -> Tensor:
    """counts (V,) -> (V,): the probability that a word is drawn as a negative."""
    weights = counts.double() ** NOISE_POWER
    return weights / weights.sum()


@dataclass(frozen=True)
class _Epoch:
    """The words that an epoch keeps, with R places of padding before the first and after the last.

    ``words`` and ``sentences`` (K + 2 R,). ``reach`` (K + 2 R,): how far each word looks, 1 to R.
    ``order`` (K,): the places of the words, in the order of the epoch.
    """

    words: Tensor
    sentences: Tensor
    reach: Tensor
    order: Tensor


@dataclass(frozen=True)
class _PairNames(Sequence[str]):
    """The names of a batch's pairs, made when one is read: to make all takes a third of a step."""

    step: int
    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> _PairNames: ...
    def __getitem__(self, index: int | slice) -> str | _PairNames:
        if isinstance(index, slice):
            return _PairNames(self.step, self.rows[index])
        return f"step {self.step}, pair {self.rows[index]}"


class Contexts:
    """Batches of words and their neighbours; ``batch(step)`` is a function of (seed, step) alone.

    An epoch goes once through the words of a text in a seeded order, ``batch_size`` words a step.
    It first drops some occurrences of frequent words (``keep_probabilities``), so that the others
    have farther neighbours. Each word that is kept looks 1 to R words to both sides, drawn evenly,
    so that near neighbours count more. The authors' own program does both too. No word looks beyond
    its sentence.

    skip_gram has a row for each pair, so that B is several times the words kept. cbow has a row for
    each word with a neighbour. A negative that equals the true word is IGNORED.
    """

    def __init__(
        self,
        words: Tensor,
        sentences: Tensor,
        counts: Tensor,
        config: Word2VecConfig,
        *,
        subsample: float,
        batch_size: int,
        seed: int,
    ) -> None:
        """``words`` (W,): int64 ids in order; ``sentences`` (W,): the number of each word's
        sentence; ``counts`` (V,): how often each id occurs in the training text."""
        if words.shape != sentences.shape or not len(words):
            raise ValueError(
                f"words={len(words)} sentences={len(sentences)}: "
                "give each word a sentence, and at least one word"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        if not 0 < subsample <= 1:
            raise ValueError(f"subsample={subsample} must be a share above 0, up to 1")
        self.words, self.sentences, self.config = words, sentences, config
        self.batch_size, self.seed, self.subsample = batch_size, seed, subsample
        self._keep = keep_probabilities(counts, subsample)
        self._noise = noise(counts)
        self._offsets = torch.tensor([d for d in range(-config.window, config.window + 1) if d])
        self._epochs = functools.lru_cache(maxsize=2)(self._epoch)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.words) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0.

        If no word of the step has a neighbour, it is the batch of the next step of the epoch that
        has one; after the last step comes the first. Raises ValueError if no word of the epoch has.
        """
        number, index = divmod(step, self.steps_per_epoch)
        epoch = self._epochs(number)
        for later in range(self.steps_per_epoch):
            tokens, true = self._pairs(epoch, (index + later) % self.steps_per_epoch)
            if len(tokens):
                ids = _PairNames(step, range(len(tokens)))
                lengths = (tokens != IGNORED).sum(dim=1)
                return Batch(tokens, self._with_negatives(true, step), ids, lengths=lengths)
        raise ValueError(
            f"step={step}: no word of the epoch has a neighbour; add sentences of two words or"
            f" more, or raise subsample={self.subsample}"
        )

    def _pairs(self, epoch: _Epoch, index: int) -> tuple[Tensor, Tensor]:
        """The inputs (B, C) and the true words (B,) of one step of an epoch."""
        first, last = (len(epoch.order) * i // self.steps_per_epoch for i in (index, index + 1))
        centres = epoch.order[first:last]
        around = centres[:, None] + self._offsets  # (centres, 2 R)
        near = self._offsets.abs() <= epoch.reach[centres, None]
        near &= epoch.sentences[around] == epoch.sentences[centres, None]
        if self.config.method == "skip_gram":
            rows = near.nonzero()[:, 0]
            return epoch.words[centres[rows], None], epoch.words[around[near]]
        rows = near.any(dim=1).nonzero()[:, 0]
        tokens = epoch.words[around[rows]].where(near[rows], IGNORED)
        return tokens, epoch.words[centres[rows]]

    def _with_negatives(self, true: Tensor, step: int) -> Tensor:
        """true words (B,) -> targets (B, 1 + N): the true word, then its negatives."""
        generator = torch.Generator().manual_seed(key_of("negatives", self.seed, step))
        size = len(true) * self.config.negatives
        drawn = torch.multinomial(self._noise, size, replacement=True, generator=generator)
        drawn = drawn.view(len(true), -1)
        return torch.cat([true[:, None], drawn.masked_fill(drawn == true[:, None], IGNORED)], 1)

    def _epoch(self, number: int) -> _Epoch:
        generator = torch.Generator().manual_seed(key_of("epoch", self.seed, number))
        chance = torch.rand(len(self.words), generator=generator)
        kept = chance < self._keep[self.words]
        window = self.config.window
        reach = torch.randint(1, window + 1, (int(kept.sum()),), generator=generator)

        def padded(values: Tensor) -> Tensor:
            return F.pad(values, (window, window), value=-1)

        return _Epoch(
            padded(self.words[kept]),
            padded(self.sentences[kept]),
            padded(reach),
            torch.randperm(len(reach), generator=generator) + window,
        )
