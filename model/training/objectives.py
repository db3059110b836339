"""What a network is trained for: plain functions (network, batch) -> mean loss in nats.

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
    """Cross-entropy of each counted target under the tokens before it. Book 5.1."""
    batch.check(network.vocab_size)
    return network.loss(batch.tokens, batch.targets, batch.documents)


def classify(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the labels (B,), read at each row's last real token. Book 6.5."""
    batch.check(network.vocab_size)
    highest, lowest = int(batch.targets.max()), int(batch.targets.min())
    if lowest < 0 or highest >= network.n_classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"label={wrong} does not fit n_classes={network.n_classes}: "
            "build the head with one output a label"
        )
    return F.cross_entropy(network(batch.tokens, batch.last), batch.targets)


def masked_token(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the tokens that were asked, read from both sides. Devlin et al. 2019.

    The mask is the network's own token, one above its vocabulary (``model/batches/masking.py``).
    """
    batch.check(network.vocab_size + 1)
    return network.loss(batch.tokens, batch.targets, batch.documents)


def sequence_to_sequence(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of a target's tokens under its source and the tokens before each.

    The tokens before are the true ones, whatever the network would have said: teacher forcing.
    Vaswani et al. 2017.
    """
    batch.check(network.vocab_size)
    return network.loss(batch.sources, batch.tokens, batch.targets)


def negative_sampling(network: Any, batch: Batch) -> Tensor:
    """Tells the word that stood there from words that were drawn. Mikolov et al. 2013b, eq. 4.

    tokens (B, C) are what is given, IGNORED where fewer; targets (B, 1 + N) the true word, then
    those drawn. The mean is over all of them.
    """
    given = batch.tokens.where(batch.tokens != IGNORED, 0)
    replace(batch, tokens=given).check(network.vocab_size)
    return network.loss(batch.tokens, batch.targets)


OBJECTIVES: dict[str, Objective] = {
    "next_token": next_token,
    "classify": classify,
    "masked_token": masked_token,
    "sequence_to_sequence": sequence_to_sequence,
    "negative_sampling": negative_sampling,
}
