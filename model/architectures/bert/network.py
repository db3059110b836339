"""The network of BERT: a stack of blocks that read in both directions.

Letters: B batch, T positions, D d_model, V vocabulary, L layers, N counted targets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.bert.config import BERTConfig
from model.architectures.network import Network
from model.batches.batching import Batch
from model.blocks.attention import Remember
from model.blocks.block import Block
from model.blocks.kernels import capped_logits, counted, head_nats
from model.blocks.masks import Apart, apart, positions_within
from model.blocks.norms import make_norm
from model.blocks.positions import Rotary


class EncoderBlock(Block):
    """A decoder's block without the causal mask; a norm precedes each part or follows each sum.

    The original Transformer and BERT norm after the sum (Vaswani et al. 2017).
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__(config)
        self.attention.causal = False
        self.norm_first = config.norm_first

    def forward(
        self,
        x: Tensor,
        rotary: Callable[[Tensor], Tensor] | None = None,
        visible: Tensor | Apart | None = None,
        remember: Remember | None = None,
        added: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D). The other arguments go to the attention; ``added`` is a GPT's."""
        if self.norm_first:
            return super().forward(x, rotary, visible, remember, added)
        x = self.attention_norm(x + self.dropout(self.attention(x, visible, rotary, remember)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class HeadTransform(nn.Module):
    """norm(gelu(W x)): BERT transforms features so before the head reads them."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.mix = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.norm = make_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        return self.norm(F.gelu(self.mix(x), approximate="tanh"))


class Encoder(Network):
    """tokens (B, T) int64 -> logits (B, T, V); each position reads all tokens of its row.

    Token ids go from 0 to V; id V is the ``mask``, which hides a word. With ``documents`` (B, T)
    int64, a position reads the tokens of its own document alone, and positions count from 0 in
    each document; the caller numbers the padding of a row as a document of its own.
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        rotary = config.positions == "rotary"
        self.positions = None if rotary else nn.Embedding(config.context_length, config.d_model)
        self.rotary = (
            Rotary(
                config.per_head, config.context_length, config.rotary_base, config.rotary_scaling
            )
            if rotary
            else None
        )
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.n_layers))
        # Where a norm follows each sum, the last block already ends with one.
        self.norm = make_norm(config) if config.norm_first else nn.Identity()
        self.transform = HeadTransform(config) if config.head_transform else nn.Identity()
        self.head = (
            None if config.tied_head else nn.Linear(config.d_model, config.vocab_size, False)
        )

    @property
    def mask(self) -> int:
        """The token that hides a word."""
        return self.config.vocab_size

    def features(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 -> (B, T, D), after the last norm.

        ValueError if T exceeds context_length.
        """
        length = tokens.shape[1]
        if length > self.config.context_length:
            raise ValueError(
                f"length={length} exceeds context_length={self.config.context_length}: "
                "crop the tokens or build a longer network"
            )
        x = self.embedding(tokens)
        if self.positions is not None:
            place = slice(length) if documents is None else positions_within(documents)
            x = x + self.positions.weight[place]
        x = self.dropout(self.embedding_norm(x))
        visible = None if documents is None else apart(documents)
        for block in self.blocks:
            x = block(x, self.rotary, visible)
        return self.norm(x)

    def logits(self, features: Tensor) -> Tensor:
        """features (..., D) -> logits (..., V) in fp32"""
        return capped_logits(self.transform(features), self._head_weight, self.config.logit_cap)

    @property
    def _head_weight(self) -> Tensor:
        return self.embedding.weight[: self.mask] if self.head is None else self.head.weight

    def forward(
        self, tokens: Tensor, targets: Tensor | None = None, documents: Tensor | None = None
    ) -> Tensor:
        """tokens, targets, documents (B, T) -> logits, or the nats of the counted targets.

        The head is the most expensive part of a small network, so it is computed for the counted
        targets alone.
        """
        features = self.features(tokens, documents)
        if targets is None:
            return self.logits(features)
        features, targets = counted(features.flatten(0, 1), targets.flatten())  # (N, D), (N,)
        weight, cap = self._head_weight, self.config.logit_cap
        return head_nats(self.transform(features), weight, targets, cap)

    def check(self, batch: Batch) -> None:
        batch.check(self.vocab_size + 1)  # the mask is a token of the network's own

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws every parameter, in the order in which they were defined, from ``generator`` alone.

        | tensor                     | zero_output (nanochat)     | gpt2                      |
        | -------------------------- | -------------------------- | ------------------------- |
        | embedding, mask included   | normal, 1; tied 0.02       | normal, 0.02              |
        | positions                  | as the embedding           | normal, 0.02              |
        | into a block (q, k, v,     | uniform with variance 1/D: | normal, 0.02              |
        | expand, gate), transform   | +-sqrt(3 / D)              |                           |
        | out of a block (output,    | 0: each block begins as    | normal, 0.02 / sqrt(2 L); |
        | contract)                  | the identity               | 0.02 (BERT's) where the   |
        |                            |                            | norm follows the sum      |
        | head (untied)              | normal, 0.001              | normal, 0.02              |
        | biases, norm shifts        | 0                          | 0                         |
        | norm gains                 | 1                          | 1                         |
        """
        zero_output = self.config.initialisation == "zero_output"
        wide = 1.0 if zero_output and self.head is not None else 0.02
        residual = (2 * self.config.n_layers) ** -0.5 if self.config.norm_first else 1.0
        bound = (3 / self.config.d_model) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            elif name in ("embedding.weight", "positions.weight"):
                parameter.normal_(0.0, wide, generator=generator)
            elif name == "head.weight":
                parameter.normal_(0.0, 0.001 if zero_output else 0.02, generator=generator)
            elif name.endswith(("output.weight", "contract.weight")):
                parameter.normal_(0.0, 0.0 if zero_output else 0.02 * residual, generator=generator)
            elif zero_output:
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)
