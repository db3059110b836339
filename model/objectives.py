"""What a network is trained for: plain functions (network, batch) -> mean loss in nats.

The mean is over ``batch.counted`` targets. Letters: B batch, T positions, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from model.batching import Batch

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


OBJECTIVES: dict[str, Objective] = {"next_token": next_token, "classify": classify}
