"""The original Transformer: an encoder for the source, a decoder for the target.

Vaswani et al. 2017. Letters: B batch, S source positions, T target positions, D d_model, H heads, V
vocabulary, L layers of the decoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.architectures.encoder_decoder.config import EncoderDecoderConfig
from model.architectures.encoder_decoder.stacks import CrossAttention, Memory, Stack
from model.architectures.network import Network
from model.batches.batching import IGNORED
from model.blocks.cache import Cache
from model.blocks.kernels import capped_logits, head_nats


class Transformer(Network):
    """sources (B, S) and tokens (B, T) int64 -> logits (B, T, V).

    Position t reads its source and the tokens up to t. Sources are padded with IGNORED on the
    right. Tokens are padded on the right too: no position before the padding reads it.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config, config.encoder_layers, decodes=False)
        self.decoder = Stack(config, config.decoder_layers, decodes=True)
        # A tied head is the embedding itself: one tensor under one name, also in a checkpoint.
        self.head = (
            None if config.tied_head else nn.Linear(config.d_model, config.vocab_size, False)
        )

    def read(self, sources: Tensor) -> Memory:
        """sources (B, S) int64, padded with IGNORED -> the keys and values for the decoder.

        Raises ValueError if S exceeds context_length.
        """
        self._check_length("source", sources.shape[1])
        visible = (sources != IGNORED)[:, None, None]
        x = self.encoder(self.embedding(sources.clamp_min(0)), visible)
        return Memory([cross.read(x) for cross in self.cross_attentions()], visible)

    def features(self, memory: Memory, tokens: Tensor) -> Tensor:
        """tokens (B, T) int64 -> decoder features (B, T, D). ValueError if T is too long."""
        self._check_length("target", tokens.shape[1])
        return self.decoder(self.embedding(tokens), None, memory)

    @torch.no_grad()
    def continued(self, memory: Memory, tokens: Tensor, cache: Cache) -> Tensor:
        """``features`` of tokens (B, T) that follow the tokens in ``cache``; adds them to it."""
        place, visible = cache.claim(tokens.shape[1])
        return self.decoder(self.embedding(tokens), visible, memory, place, cache)

    def cache(self, rows: int, length: int) -> Cache:
        """An empty cache for ``rows`` targets of up to ``length`` tokens."""
        self._check_length("target", length)
        return Cache(
            self.embedding.weight,
            n_layers=self.config.decoder_layers,
            rows=rows,
            length=length,
            n_kv_heads=self.config.n_heads,
            d_head=self.config.d_head,
        )

    def cross_attentions(self) -> list[CrossAttention]:
        """The cross-attentions of the decoder's blocks, in order."""
        return [part for part in self.decoder.modules() if isinstance(part, CrossAttention)]

    def logits(self, features: Tensor) -> Tensor:
        """features (..., D) -> logits (..., V) in fp32"""
        return capped_logits(features, self._head_weight, self.config.logit_cap)

    def forward(self, sources: Tensor, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        """sources (B, S), tokens, targets (B, T) -> logits, or the nats of the counted targets.

        In training a share ``label_smoothing`` of each target is spread evenly over the vocabulary
        (Vaswani et al. 2017, 5.4). In evaluation there is no smoothing.
        """
        features = self.features(self.read(sources), tokens)
        if targets is None:
            return self.logits(features)
        features, targets = features.flatten(0, 1), targets.flatten()
        if self.training and self.config.label_smoothing:
            return F.cross_entropy(
                self.logits(features),
                targets,
                ignore_index=IGNORED,
                label_smoothing=self.config.label_smoothing,
                reduction="sum",
            )
        return head_nats(features, self._head_weight, targets, self.config.logit_cap)

    def cross_weights(self, sources: Tensor, tokens: Tensor) -> Tensor:
        """The weights (L, B, H, T, S) of every block's cross-attention in ``forward``."""
        weights: list[Tensor] = []

        def look(part: Any, arguments: tuple[Tensor, ...], _: Tensor) -> None:
            x, keys, _values, visible = arguments
            weights.append(part.weights(x, keys, visible))

        hooks = [part.register_forward_hook(look) for part in self.cross_attentions()]
        try:
            self(sources, tokens)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(weights)

    def parts(self) -> Iterable[nn.Module]:
        return self.encoder.blocks  # ``read`` uses weights of the decoder's blocks before they run

    @property
    def _head_weight(self) -> Tensor:
        return self.embedding.weight if self.head is None else self.head.weight

    def _check_length(self, what: str, length: int) -> None:
        if length > self.config.context_length:
            raise ValueError(
                f"{what} of length={length} exceeds context_length={self.config.context_length}: "
                "shorten it or build a longer network"
            )

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws every parameter, in the order of the table, from ``generator`` alone.

        | tensor                | xavier (the original's)      | zero_output (nanochat)          |
        | --------------------- | ---------------------------- | ------------------------------- |
        | embedding             | normal, D^-0.5: of size 1    | normal, 1; where it is the head |
        |                       | after the factor sqrt(D)     | 0.02, for small first logits    |
        | positions, learned    | normal, D^-0.5               | as the embedding                |
        | matrices of blocks    | uniform, +-sqrt(6 / (rows +  | uniform with variance 1/D:      |
        |                       | columns)) (Glorot and Bengio | +-sqrt(3 / D); 0 for those out  |
        |                       | 2010)                        | of a part (output, contract)    |
        | head, where untied    | normal, D^-0.5               | normal, 0.001: the first loss   |
        |                       |                              | is ln V                         |
        | biases, norm shifts   | 0                            | 0                               |
        | norm gains            | 1                            | 1                               |
        """
        d, zero_output = self.config.d_model, self.config.initialisation == "zero_output"
        narrow = 0.001 if zero_output else d**-0.5
        wide = d**-0.5 if not zero_output else 0.02 if self.head is None else 1.0
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            elif name.endswith(("embedding.weight", "positions.weight")):
                parameter.normal_(0.0, wide, generator=generator)
            elif name == "head.weight":
                parameter.normal_(0.0, narrow, generator=generator)
            elif zero_output and name.endswith(("output.weight", "contract.weight")):
                parameter.zero_()
            else:
                bound = (3 / d) ** 0.5 if zero_output else (6 / sum(parameter.shape)) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
