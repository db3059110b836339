"""What a network keeps of the tokens it has read, so that it reads each token once.

The slot of a token is its position: texts of different lengths begin at slot 0 and are padded on
the right. A query at position p reads the slots up to p, which hold tokens of its own text alone.
Padding lies in later slots, and the next tokens of the text overwrite it.

Letters: L layers, B rows, T tokens of one pass, S slots, G key and value heads, K d_head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from model.evaluation import evaluating


class Cache:
    """Memory for ``length`` tokens in each of ``rows`` texts, allocated once.

    It holds keys, values and the tokens themselves. ``lengths`` holds the number of tokens of each
    text. A lower number forgets the last tokens; ``select`` drops, reorders or repeats texts. With
    grouped queries the cache holds the G shared heads alone (Shazeer 2019; Ainslie et al. 2023).
    ``like`` is a tensor of its dtype and device.
    """

    def __init__(
        self, like: Tensor, *, n_layers: int, rows: int, length: int, n_kv_heads: int, d_head: int
    ) -> None:
        shape = (n_layers, rows, length, n_kv_heads, d_head)
        # A hidden slot has weight 0, but 0 times an unwritten number may be nan.
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.tokens = torch.zeros(1, rows, length, dtype=torch.int64, device=like.device)
        self.lengths = [0] * rows

    def claim(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The next ``count`` slots of every row: positions (B, T), mask (B, 1, T, S).

        The mask is None where all rows are empty: there the causal mask suffices. Raises ValueError
        if there are too few slots.
        """
        fresh, room = not any(self.lengths), self.keys.shape[2]
        self._stop = max(self.lengths) + count
        if self._stop > room:
            raise ValueError(f"length={self._stop} exceeds the cache's {room}: make it longer")
        device = self.keys.device
        begin = torch.tensor(self.lengths, device=device)[:, None]
        slots = begin + torch.arange(count, device=device)  # (B, T)
        self._place: tuple[Any, Any] = (torch.arange(len(begin), device=device)[:, None], slots)
        if min(self.lengths) + count == self._stop:  # writing a slice takes half the time
            self._place = (slice(len(begin)), slice(self._stop - count, self._stop))
        self.lengths = [length + count for length in self.lengths]
        if fresh:
            return slots, None
        visible = torch.arange(self._stop, device=device) <= slots[..., None]  # (B, T, S)
        return slots, visible[:, None]

    def remember(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores keys, values (B, G, T, K) in the slots claimed last -> all, (B, G, S, K) each."""
        so_far = []
        for store, new in ((self.keys[layer], keys), (self.values[layer], values)):
            store[self._place] = new.transpose(1, 2).to(store.dtype)
            so_far.append(store[: len(new), : self._stop].transpose(1, 2))
        return so_far[0], so_far[1]

    def preceded(self, tokens: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) of the slots claimed last -> tokens and positions (B, count + T).

        The ``count`` tokens before them stand in front. Where a text has fewer, the position is
        negative and the token is any.
        """
        self.tokens[0][self._place] = tokens
        begins = torch.tensor(self.lengths, device=tokens.device)[:, None] - tokens.shape[1]
        positions = begins + torch.arange(-count, tokens.shape[1], device=tokens.device)
        return self.tokens[0, : len(tokens)].gather(1, positions.clamp_min(0)), positions

    def select(self, rows: Sequence[int]) -> None:
        """Replaces row i by row ``rows[i]``. Raises ValueError for more rows than the cache has."""
        if len(rows) > self.keys.shape[1]:
            raise ValueError(
                f"rows={len(rows)} exceed the cache's {self.keys.shape[1]}: enlarge it"
            )
        index = torch.tensor(rows, dtype=torch.int64, device=self.keys.device)
        self.lengths = [self.lengths[row] for row in rows]
        used = max(self.lengths, default=0)
        for store in (self.keys, self.values, self.tokens):
            store[:, : len(rows), :used] = store[:, index, :used]


class Reader:
    """Reads growing texts, and returns the logits of the next token of each.

    While a text is shorter than context_length, the network reads each of its tokens once. From
    then on it reads the last context_length tokens again for every new token, at positions from 0:
    when the window slides, the position of every token in it changes, so nothing cached is valid.
    With ``cached`` False, or a network without a cache, it reads every text in full each time; the
    logits differ by rounding alone.
    """

    def __init__(self, network: Any, texts: int, length: int, *, cached: bool = True) -> None:
        """For ``texts`` texts, numbered from 0, of up to ``length`` tokens."""
        self.network = network
        self.held = list(range(texts)) if cached and hasattr(network, "cache") else []
        if self.held:
            self.cache = network.cache(texts, min(length, network.context_length))

    def read(self, texts: dict[int, list[int]]) -> dict[int, Tensor]:
        """Texts by number -> logits (V,) of the next token of each, fp32 on the CPU.

        Each text is that of the last call with tokens added. A text that is left out is forgotten.
        """
        room = self.network.context_length
        kept = [number for number in self.held if number in texts and len(texts[number]) < room]
        if kept != self.held:
            self.cache.select([self.held.index(number) for number in kept])
            self.held = kept
        others = [number for number in texts if number not in kept]
        logits: dict[int, Tensor] = {}
        with evaluating(self.network), torch.inference_mode():
            if kept:
                logits |= zip(kept, self._continued([texts[n] for n in kept]), strict=True)
            if others:
                logits |= zip(
                    others, self._in_full([texts[n][-room:] for n in others]), strict=True
                )
        return {number: logits[number] for number in texts}

    def fork(self, parents: Sequence[int]) -> None:
        """Makes text i a continuation of the text that was ``parents[i]``."""
        if self.held:
            self.cache.select([self.held.index(parent) for parent in parents])
            self.held = list(range(len(parents)))

    def _continued(self, texts: list[list[int]]) -> Tensor:
        new = [text[n:] for text, n in zip(texts, self.cache.lengths, strict=True)]
        features = self.network.continued(self._padded(new), self.cache)
        self.cache.lengths = [len(text) for text in texts]  # without the padding
        return self._last(features, new)

    def _in_full(self, texts: list[list[int]]) -> Tensor:
        return self._last(self.network.features(self._padded(texts)), texts)

    def _padded(self, texts: list[list[int]]) -> Tensor:
        """(B, T), zeros on the right"""
        width = max(map(len, texts))
        rows = [text + [0] * (width - len(text)) for text in texts]
        return torch.tensor(rows, device=next(self.network.parameters()).device)

    def _last(self, features: Tensor, texts: list[list[int]]) -> Tensor:
        """features (B, T, D) -> logits (B, V) at each text's last token.

        On the CPU, so that sampling draws the same tokens on every device.
        """
        ends = torch.tensor([len(text) - 1 for text in texts], device=features.device)
        rows = torch.arange(len(texts), device=features.device)
        return self.network.logits(features[rows, ends]).cpu()
