"""Training objectives: plain functions (network, batch) -> nats, summed over the counted targets.

The sum and not the mean: the loop divides once by the count of the whole step, ``Batch.counted``,
so that micro-batches and processes with unequal counts add up to the same mean. Each calls the
network itself, so that the loss passes through whatever is around the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from model.batches.batching import IGNORED, Batch

Objective = Callable[[Any, Batch], Tensor]


def next_token(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of each counted target, predicted from the tokens before it. Book 5.1."""
    return network(batch.tokens, batch.targets, batch.documents, **_begun(batch))


def classify(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the labels (B,), predicted at each row's last token. Book 6.5."""
    return network(batch.tokens, batch.last, batch.targets, **_begun(batch))


def preference(network: Any, batch: Batch) -> Tensor:
    """-log sigmoid(beta * margin) of each pair of replies, summed (DPO). Rafailov et al. 2023.

    At the start every margin is 0, and the loss of a pair is ln 2.
    """
    # A process that has no pairs left reads one whose targets do not count.
    is_asked = (batch.targets[0::2] != IGNORED).any(dim=1)
    nats = -F.logsigmoid(batch.beta * margins(network, batch))
    return nats.where(is_asked, 0).sum()


def margins(network: Any, batch: Batch) -> Tensor:
    """(P,) float64: by how many nats the chosen reply of each pair has gained on the rejected one.

    A reply gains what its log-likelihood is above that under the reference.
    """
    assert batch.reference is not None
    found = network(batch.tokens, batch.targets, batch.documents, by_row=True)
    gained = found + batch.reference  # log-likelihoods, and nats
    return gained[0::2] - gained[1::2]


def _begun(batch: Batch) -> dict[str, Tensor]:
    return {} if batch.begun is None else {"begun": batch.begun}


def masked_token(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of the counted targets, predicted from both sides. Devlin et al. 2019.

    The mask is a token of the network's own, with id V (``model/batches/masking.py``).
    """
    return network(batch.tokens, batch.targets, batch.documents)


def sequence_to_sequence(network: Any, batch: Batch) -> Tensor:
    """Cross-entropy of a target's tokens, each predicted from the source and the tokens before it.

    The tokens before it are the true ones, not the network's own (teacher forcing). Vaswani et al.
    2017.
    """
    return network(batch.sources, batch.tokens, batch.targets)


def negative_sampling(network: Any, batch: Batch) -> Tensor:
    """Binary cross-entropy of the true word against random words. Mikolov et al. 2013b, eq. 4.

    tokens (B, C) are the input words, padded with IGNORED. targets (B, 1 + N) are the true word,
    then the random ones. All of them count.
    """
    return network(batch.tokens, batch.targets)


OBJECTIVES: dict[str, Objective] = {
    "next_token": next_token,
    "classify": classify,
    "preference": preference,
    "masked_token": masked_token,
    "sequence_to_sequence": sequence_to_sequence,
    "negative_sampling": negative_sampling,
}
