"""The network of word2vec: two tables of vectors and the products between them.

Letters: B batch, C input words, N negatives (random words), V vocabulary, D d_model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.network import Network
from model.architectures.word2vec.config import Word2VecConfig
from model.batches.batching import IGNORED, Batch


class Word2Vec(Network):
    """Scores how well words fit together: the product of an input's and a target's vector.

    ``given`` holds the vectors of inputs, which are the result; ``foretold`` holds the vectors of
    targets. One table for both would make each word its own neighbour (Goldberg & Levy 2014).
    """

    def __init__(self, config: Word2VecConfig) -> None:
        super().__init__(config)
        self.given = nn.Embedding(config.vocab_size, config.d_model)
        self.foretold = nn.Embedding(config.vocab_size, config.d_model)

    def features(self, tokens: Tensor) -> Tensor:
        """tokens (B, C) int64, padded with IGNORED -> (B, D), the mean of their vectors."""
        if tokens.shape[1] == 1:
            return self.given(tokens[:, 0])
        present = tokens != IGNORED
        vectors = self.given(tokens.where(present, 0)) * present[..., None]
        return vectors.sum(dim=1) / present.sum(dim=1, keepdim=True)

    def logits(self, features: Tensor, candidates: Tensor) -> Tensor:
        """features (B, D), candidates (B, 1 + N) -> (B, 1 + N): the logit that each is true."""
        # A batched matrix product of one row each takes twice the time of multiply and sum.
        return (self.foretold(candidates) * features[:, None]).sum(dim=-1)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy: the nats of the counted targets; the first of a row is true.

        tokens (B, C), targets (B, 1 + N), the other N are negatives. Mikolov et al. 2013b, eq. 4.
        """
        counted = targets != IGNORED
        logits = self.logits(self.features(tokens), targets.where(counted, 0))
        truth = torch.zeros_like(logits)
        truth[:, 0] = 1.0
        losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return losses.where(counted, 0.0).sum()

    def check(self, batch: Batch) -> None:
        batch.check(self.vocab_size, padding=IGNORED)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws every parameter, in the order of the table, from ``generator`` alone.

        | tensor   | drawn                  | so that                                       |
        | -------- | ---------------------- | --------------------------------------------- |
        | given    | uniform, +-1 / (2 D)   | words begin apart, and near enough to 0       |
        | foretold | 0                      | every logit begins at 0, the loss at ln 2     |

        As in the authors' own program.
        """
        bound = 0.5 / self.config.d_model
        self.given.weight.uniform_(-bound, bound, generator=generator)
        self.foretold.weight.zero_()
