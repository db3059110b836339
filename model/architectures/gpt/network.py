"""The GPT network: embedding, blocks, norm, head. Book chapter 4.

Letters: B batch, T positions, D d_model, F d_feed_forward, V vocabulary, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from model.architectures.gpt.config import GPTConfig
from model.architectures.gpt.identity import PairTable, PreviousToken, ValueEmbedding
from model.architectures.network import Network
from model.blocks.block import Block
from model.blocks.cache import Cache
from model.blocks.kernels import capped_logits, head_nats, token_log_likelihoods
from model.blocks.masks import Apart, apart, positions_within, recent, same_document
from model.blocks.norms import make_norm
from model.blocks.positions import Rotary


class Decoder(Network):
    """tokens (B, T) int64 -> logits (B, T, V); position t reads the tokens up to t.

    With a window each block reads that far back, and L blocks read L times as far.
    ``documents`` (B, T) int64 number the document of each token. With them a position reads the
    tokens of its own document alone, and positions count from 0 in each document.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        length, rotary = config.context_length, config.positions == "rotary"
        self.positions = None if rotary else nn.Embedding(length, config.d_model)
        self.rotary = (
            Rotary(config.per_head, length, config.rotary_base, config.rotary_scaling)
            if rotary
            else None
        )
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = make_norm(config)
        self._add_tables(config)
        # A tied head is the embedding itself: one tensor under one name, also in a checkpoint.
        self.head = (
            None if config.tied_head else nn.Linear(config.d_model, config.vocab_size, False)
        )

    def _add_tables(self, config: GPTConfig) -> None:
        """The parts of the preset ``quick``, each None where the configuration has none."""
        width, layers = config.gate_width, range(config.n_layers)
        self.pairs = PairTable(config.pair_rows, config.d_model) if config.pair_rows else None
        self.previous = PreviousToken(width) if config.previous_token else None
        self.value_embeddings = (
            nn.ModuleList(
                ValueEmbedding(config.vocab_size, config.groups, config.per_head, width)
                for _ in layers
            )
            if config.value_embeddings
            else None
        )
        # Each block starts from kept * x + skipped * embedding.
        scalars = (torch.empty(len(layers)) for _ in range(2))
        self.kept, self.skipped = (
            nn.Parameter(scalar) if config.embedding_skip else None for scalar in scalars
        )

    def features(
        self, tokens: Tensor, documents: Tensor | None = None, begun: Tensor | None = None
    ) -> Tensor:
        """tokens (B, T) int64 -> (B, T, D), after the last norm.

        With ``begun`` (B, T, D) from ``begin`` the frozen blocks are passed over. ValueError if T
        exceeds context_length.
        """
        embedded, visible = self._before_blocks(tokens, documents)
        if begun is None:
            x = self._through(tokens, embedded, visible, self.rotary)
        else:
            rest = range(self.frozen_blocks(), len(self.blocks))
            x = self._through(tokens, embedded, visible, self.rotary, blocks=rest, x=begun)
        return self.norm(x)

    def frozen_blocks(self) -> int:
        inside = ("blocks.", "norm.", "head.")
        before = (p for name, p in self.named_parameters() if not name.startswith(inside))
        if any(parameter.requires_grad for parameter in before):
            return 0
        learns = [any(p.requires_grad for p in block.parameters()) for block in self.blocks]
        return learns.index(True) if True in learns else len(learns)

    @torch.no_grad()
    def begin(self, tokens: Tensor) -> Tensor:
        embedded, visible = self._before_blocks(tokens, None)
        frozen = range(self.frozen_blocks())
        return self._through(tokens, embedded, visible, self.rotary, blocks=frozen)

    def _before_blocks(
        self, tokens: Tensor, documents: Tensor | None
    ) -> tuple[Tensor, Tensor | Apart | None]:
        """The embedded tokens (B, T, D), and what each of them may read; None for all before it."""
        length = tokens.shape[1]
        if length > self.config.context_length:
            raise ValueError(
                f"length={length} exceeds context_length={self.config.context_length}: "
                "crop the tokens or build a longer network"
            )
        order = torch.arange(length, device=tokens.device)[None]
        place = order if documents is None else positions_within(documents)
        visible: Tensor | Apart | None = None
        if self.config.window is not None:
            visible = None if documents is None else same_document(documents)
            visible = self._within_window(visible, order)
        elif documents is not None:
            visible = apart(documents)
        return self._embedded(tokens, place), visible

    @torch.no_grad()
    def continued(self, tokens: Tensor, cache: Cache) -> Tensor:
        """``features`` of tokens (B, T) that follow the tokens in ``cache``; adds them to it.

        They equal the last T features of all tokens, but for rounding. They have no gradients.
        """
        place, visible = cache.claim(tokens.shape[1])
        visible = self._within_window(visible, place)
        rotary = None if self.rotary is None else self.rotary.at(place)
        back = self.config.looks_back
        x = self._embedded(*(cache.preceded(tokens, back) if back else (tokens, place)))
        return self.norm(self._through(tokens, x[:, back:], visible, rotary, cache))

    def cache(self, rows: int, length: int) -> Cache:
        """An empty cache for ``rows`` texts of up to ``length`` tokens."""
        config, like = self.config, self.embedding.weight
        if length > config.context_length:
            raise ValueError(
                f"length={length} exceeds context_length={config.context_length}: shorten it"
            )
        return Cache(
            like,
            n_layers=config.n_layers,
            rows=rows,
            length=length,
            n_kv_heads=config.groups,
            d_head=config.per_head,
        )

    def _within_window(self, visible: Tensor | None, places: Tensor) -> Tensor | None:
        """``visible`` without what lies before each token's window; ``places`` (B, T) of tokens."""
        window = self.config.window
        length = places.shape[1] if visible is None else visible.shape[-1]
        if window is None or length <= window:
            return visible
        near = recent(window, places, length)
        return near if visible is None else visible & near

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens (B, T), their positions (B, T) or (1, T) in their texts -> (B, T, D).

        What stands before position 0 has no say in a token's embedding.
        """
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(positions.clamp_min(0))
        if self.pairs is not None:
            x = x + self.pairs(tokens, positions)
        x = self.embedding_norm(x)
        if self.previous is not None:
            x = self.previous(x, positions)
        return self.dropout(x)

    def _through(
        self,
        tokens: Tensor,
        embedded: Tensor,
        visible: Tensor | Apart | None,
        rotary: Callable[[Tensor], Tensor] | None,
        cache: Cache | None = None,
        *,
        blocks: Iterable[int] | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, T), embedded (B, T, D) -> (B, T, D), after the ``blocks``; None for all.

        They read ``x`` (B, T, D), or else the embedded tokens.
        """
        x = embedded if x is None else x
        for layer in range(len(self.blocks)) if blocks is None else blocks:
            if self.kept is not None and self.skipped is not None:
                x = self.kept[layer] * x + self.skipped[layer] * embedded
            remember = None if cache is None else partial(cache.remember, layer)
            added = None
            if self.value_embeddings is not None:
                added = partial(self.value_embeddings[layer], tokens)
            x = self.blocks[layer](x, rotary, visible, remember, added)
        return x

    def logits(self, features: Tensor) -> Tensor:
        """features (..., D) -> logits (..., V) in fp32"""
        # An untied head is called as a layer: it may be an eight-bit one, which multiplies itself.
        head = self.embedding.weight if self.head is None else self.head
        return capped_logits(features, head, self.config.logit_cap)

    @property
    def _head_weight(self) -> Tensor:
        return self.embedding.weight if self.head is None else self.head.weight

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        documents: Tensor | None = None,
        begun: Tensor | None = None,
        *,
        by_row: bool = False,
    ) -> Tensor:
        """tokens, targets, documents (B, T) -> logits, or the nats of the counted targets.

        ``by_row``: the log-likelihood (B,) float64 of each row's counted targets. ``begun`` is as
        in ``features``.
        """
        features = self.features(tokens, documents, begun)
        if targets is None:
            return self.logits(features)
        head = (self._head_weight, targets.flatten(), self.config.logit_cap)
        if not by_row:
            return head_nats(features.flatten(0, 1), *head)
        found = token_log_likelihoods(features.flatten(0, 1), *head)
        return found.view_as(targets).double().sum(1)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws every parameter, in the order of the table, from ``generator`` alone.

        | tensor               | zero_output (nanochat)     | gpt2                        |
        | -------------------- | -------------------------- | --------------------------- |
        | embedding            | normal, 1                  | normal, 0.02                |
        | positions            | normal, 1                  | normal, 0.02                |
        | into a block (q, k,  | uniform with variance 1/D: | normal, 0.02                |
        | v, expand, gate)     | +-sqrt(3 / D)              |                             |
        | out of a block       | 0: each block begins as    | normal, 0.02 / sqrt(2 L):   |
        | (output, contract)   | the identity               | the sum keeps its size      |
        | head (untied)        | normal, 0.001: the first   | normal, 0.02                |
        |                      | loss is ln V               |                             |
        | biases, norm shifts  | 0                          | 0                           |
        | gains of norms, also | 1                          | 1                           |
        | of queries and keys  |                            |                             |
        | value embeddings     | as into a block            | normal, 0.02                |
        | pair table, gates,   | 0                          | 0                           |
        | scale of the         |                            |                             |
        | previous token, skip |                            |                             |
        | from the embedding   |                            |                             |
        | what blocks keep     | 1                          | 1                           |

        Under zero_output a tied embedding and head has gpt2's deviation of 0.02: with 1 the first
        logits would be of size sqrt(D).
        """
        zero_output = self.config.initialisation == "zero_output"
        wide = 1.0 if zero_output and self.head is not None else 0.02
        self.embedding.weight.normal_(0.0, wide, generator=generator)
        if self.positions is not None:
            self.positions.weight.normal_(0.0, wide, generator=generator)
        for block in self.blocks:
            for name, parameter in block.named_parameters():
                if parameter.ndim < 2:
                    parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                elif name.endswith(("output.weight", "contract.weight")):
                    deviation = 0.02 * (2 * self.config.n_layers) ** -0.5
                    if zero_output:
                        parameter.zero_()
                    else:
                        parameter.normal_(0.0, deviation, generator=generator)
                elif zero_output:
                    bound = (3 / self.config.d_model) ** 0.5
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.normal_(0.0, 0.02, generator=generator)
        for norm in (self.embedding_norm, self.norm):
            for name, parameter in norm.named_parameters():
                parameter.fill_(1.0 if name == "weight" else 0.0)
        self._initialise_tables(generator)
        if self.head is not None:
            self.head.weight.normal_(0.0, 0.001 if zero_output else 0.02, generator=generator)

    def _initialise_tables(self, generator: torch.Generator) -> None:
        """The last rows of the table of ``initialise``."""
        for values in self.value_embeddings or ():
            assert isinstance(values, ValueEmbedding)
            if self.config.initialisation == "zero_output":
                bound = (3 / self.config.d_model) ** 0.5
                values.vectors.weight.uniform_(-bound, bound, generator=generator)
            else:
                values.vectors.weight.normal_(0.0, 0.02, generator=generator)
            values.gate.weight.zero_()
        for part in (self.pairs, self.previous):
            for parameter in part.parameters() if part is not None else ():
                parameter.zero_()
        if self.kept is not None and self.skipped is not None:
            self.kept.fill_(1.0)
            self.skipped.zero_()
