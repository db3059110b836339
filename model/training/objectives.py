"""Training objectives: plain functions (network, batch) -> mean loss in nats.

The mean is over ``batch.counted`` targets. Letters: B batch, T positions, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED, Batch

Objective = Callable[[Any, Batch], Tensor]


def next_token(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of each counted target, predicted from the tokens before it. Book 5.1."""
    batch.check(network.vocab_size)
    return network.loss(batch.tokens, batch.targets, batch.documents)


def classify(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the labels (B,), predicted at each row's last token. Book 6.5."""
    batch.check(network.vocab_size)
    highest, lowest = int(batch.targets.max()), int(batch.targets.min())
    if lowest < 0 or highest >= network.n_classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"label={wrong} does not fit n_classes={network.n_classes}: "
            "build the head with one output per label"
        )
    return F.cross_entropy(network(batch.tokens, batch.last), batch.targets)


def masked_token(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the counted targets, predicted from both sides. Devlin et al. 2019.

    The mask is a token of the network's own, with id V (``model/batches/masking.py``).
    """
    batch.check(network.vocab_size + 1)
    return network.loss(batch.tokens, batch.targets, batch.documents)


def sequence_to_sequence(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of a target's tokens, each predicted from the source and the tokens before it.

    The tokens before it are the true ones, not the network's own (teacher forcing). Vaswani et al.
    2017.
    """
    batch.check(network.vocab_size)
    return network.loss(batch.sources, batch.tokens, batch.targets)


def negative_sampling(network: Any, batch: Batch) -> Tensor:
    """Binary cross-entropy of the true word against random words. Mikolov et al. 2013b, eq. 4.

    tokens (B, C) are the input words, padded with IGNORED. targets (B, 1 + N) are the true word,
    then the random ones. The mean is over all of them.
    """
    inputs = batch.tokens.where(batch.tokens != IGNORED, 0)
    replace(batch, tokens=inputs).check(network.vocab_size)
    return network.loss(batch.tokens, batch.targets)


OBJECTIVES: dict[str, Objective] = {
    "next_token": next_token,
    "classify": classify,
    "masked_token": masked_token,
    "sequence_to_sequence": sequence_to_sequence,
    "negative_sampling": negative_sampling,
}
