"""Parts that tell a network which tokens it reads, by table instead of by matrix.

What usually follows a token, or a pair of tokens, is much of what a small network learns in its
first minutes. Its matrices learn that slowly; a table of one row each learns it at every look-up,
and a look-up costs next to no time. The preset ``quick`` has all of these parts.

``positions`` (B, T) or (1, T) are the places of tokens within their text; below 0 there is none.
Letters: B batch, T positions, D d_model, G key and value heads, K d_head, R rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Row = (sum of factor * token) mod PRIME mod R: a universal hash (Carter & Wegman 1979). Factors
# and tokens below 2^31 keep each product within 63 bits.
PRIME = (1 << 31) - 1
FACTORS = (1_640_531_527, 1_013_904_223)


def pair_rows_of(tokens: Tensor, rows: int) -> Tensor:
    """tokens (B, T) -> (B, T): the row of each token and the one before it, from 0 to rows - 1.

    The first token of a row is paired with the last one; ``PairTable`` leaves that pair out.
    """
    own, before = FACTORS
    return (tokens * own % PRIME + tokens.roll(1, 1) * before % PRIME) % PRIME % rows


class PairTable(nn.Module):
    """A vector for each token and the one before it; pairs with the same hash share one.

    Zero at the start. Modded-nanogpt's hashed bigram embedding (KellerJordan/modded-nanogpt, 2026).
    """

    def __init__(self, rows: int, d_model: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(rows, d_model)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens (B, T) -> (B, T, D), 0 where a text begins."""
        found = self.vectors(pair_rows_of(tokens, self.vectors.num_embeddings))
        return found.masked_fill((positions < 1)[..., None], 0.0)


class PreviousToken(nn.Module):
    """Adds to each token a share of the one before it, which a gate decides.

    A head of attention in the first block would otherwise be spent on that. ``scale`` is 0 at the
    start. "Smear" in modded-nanogpt and karpathy/nanochat.
    """

    def __init__(self, gate_width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(gate_width, 1, bias=False)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        share = self.scale * self.gate(x[..., : self.gate.in_features]).sigmoid()  # (B, T, 1)
        return x + share.masked_fill((positions < 1)[..., None], 0.0) * x.roll(1, 1)


class ValueEmbedding(nn.Module):
    """What each token adds to the values that a block's attention reads, gated for each head.

    Zhou et al. 2024 (value residual learning); as a table for each block in modded-nanogpt and
    nanochat. At the start each gate is 1.
    """

    def __init__(self, vocab_size: int, n_kv_heads: int, d_head: int, gate_width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocab_size, n_kv_heads * d_head)
        self.gate = nn.Linear(gate_width, n_kv_heads, bias=False)

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        """tokens (B, T), input of the attention x (B, T, D) -> (B, T, G K)"""
        share = 2 * self.gate(x[..., : self.gate.in_features]).sigmoid()  # (B, T, G)
        heads = self.vectors(tokens).unflatten(-1, (share.shape[-1], -1))  # (B, T, G, K)
        return (heads * share[..., None]).flatten(-2)
