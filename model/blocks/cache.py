"""Keys and values of the tokens read so far, so that each token is read once.

The slot of a token is its position: texts of different lengths begin at slot 0 and are padded on
the right. A query at position p reads the slots up to p, which are all its own text's; what padding
left behind lies further on, and the token that comes to stand there overwrites it.

Letters: L layers, B rows, T tokens of one pass, S slots, G key and value heads, K d_head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from model.evaluation import evaluating


class Cache:
    """Room for ``length`` tokens in each of ``rows`` texts, taken once.

    ``lengths`` says how many tokens of each text are held. To set one lower forgets the last ones;
    to ``select`` rows drops, reorders or repeats texts. With grouped queries only the G shared
    heads are held (Shazeer 2019; Ainslie et al. 2023). ``like`` gives dtype and device.
    """

    def __init__(
        self, like: Tensor, *, n_layers: int, rows: int, length: int, n_kv_heads: int, d_head: int
    ) -> None:
        shape = (n_layers, rows, length, n_kv_heads, d_head)
        # A hidden slot weighs 0, but 0 times what lay in unwritten memory may be nan.
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.lengths = [0] * rows

    def claim(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The next ``count`` slots of every row: positions (B, T), mask (B, 1, T, S).

        No mask where all rows are empty: there the causal rule says it all. ValueError if the slots
        do not suffice.
        """
        fresh, room = not any(self.lengths), self.keys.shape[2]
        self._stop = max(self.lengths) + count
        if self._stop > room:
            raise ValueError(f"length={self._stop} exceeds the cache's {room}: take a longer one")
        device = self.keys.device
        begin = torch.tensor(self.lengths, device=device)[:, None]
        slots = begin + torch.arange(count, device=device)  # (B, T)
        self._place: tuple[Any, Any] = (torch.arange(len(begin), device=device)[:, None], slots)
        if min(self.lengths) + count == self._stop:  # a slice is written in half the time
            self._place = (slice(len(begin)), slice(self._stop - count, self._stop))
        self.lengths = [length + count for length in self.lengths]
        if fresh:
            return slots, None
        visible = torch.arange(self._stop, device=device) <= slots[..., None]  # (B, T, S)
        return slots, visible[:, None]

    def remember(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """keys, values (B, G, T, K) of the slots claimed last -> all so far, (B, G, S, K) each."""
        held = []
        for store, new in ((self.keys[layer], keys), (self.values[layer], values)):
            store[self._place] = new.transpose(1, 2).to(store.dtype)
            held.append(store[: len(new), : self._stop].transpose(1, 2))
        return held[0], held[1]

    def select(self, rows: Sequence[int]) -> None:
        """Row i is from now on what row ``rows[i]`` was; ValueError for more than there is room."""
        if len(rows) > self.keys.shape[1]:
            raise ValueError(f"rows={len(rows)} exceed the cache's {self.keys.shape[1]}: take more")
        index = torch.tensor(rows, dtype=torch.int64, device=self.keys.device)
        self.lengths = [self.lengths[row] for row in rows]
        used = max(self.lengths, default=0)
        for store in (self.keys, self.values):
            store[:, : len(rows), :used] = store[:, index, :used]


class Reader:
    """Reads texts that grow, and says what may follow each.

    While a text is shorter than context_length, each of its tokens is read once. From then on its
    last context_length tokens are read anew for every token, at positions from 0: as the window
    slides every position in it changes, and with the token that leaves it all that was made of it.
    ``cached`` False reads every text anew each time, as does a network that has no cache; the
    logits differ by rounding alone.
    """

    def __init__(self, network: Any, texts: int, length: int, *, cached: bool = True) -> None:
        """For ``texts`` texts, numbered from 0, of up to ``length`` tokens."""
        self.network = network
        self.held = list(range(texts)) if cached and hasattr(network, "cache") else []
        if self.held:
            self.cache = network.cache(texts, min(length, network.context_length))

    def read(self, texts: dict[int, list[int]]) -> dict[int, Tensor]:
        """Texts by number -> logits (V,) of what follows each, fp32 on the CPU.

        Texts are those of the last call with tokens added; one that is left out is forgotten.
        """
        room = self.network.context_length
        kept = [number for number in self.held if number in texts and len(texts[number]) < room]
        if kept != self.held:
            self.cache.select([self.held.index(number) for number in kept])
            self.held = kept
        others = [number for number in texts if number not in kept]
        found: dict[int, Tensor] = {}
        with evaluating(self.network), torch.inference_mode():
            if kept:
                found |= zip(kept, self._continued([texts[n] for n in kept]), strict=True)
            if others:
                found |= zip(others, self._anew([texts[n][-room:] for n in others]), strict=True)
        return {number: found[number] for number in texts}

    def fork(self, parents: Sequence[int]) -> None:
        """Text i is from now on a continuation of what was text ``parents[i]``."""
        if self.held:
            self.cache.select([self.held.index(parent) for parent in parents])
            self.held = list(range(len(parents)))

    def _continued(self, texts: list[list[int]]) -> Tensor:
        new = [text[n:] for text, n in zip(texts, self.cache.lengths, strict=True)]
        features = self.network.continued(self._padded(new), self.cache)
        self.cache.lengths = [len(text) for text in texts]  # without the padding
        return self._last(features, new)

    def _anew(self, texts: list[list[int]]) -> Tensor:
        return self._last(self.network.features(self._padded(texts)), texts)

    def _padded(self, texts: list[list[int]]) -> Tensor:
        """(B, T), zeros on the right"""
        width = max(map(len, texts))
        rows = [text + [0] * (width - len(text)) for text in texts]
        return torch.tensor(rows, device=next(self.network.parameters()).device)

    def _last(self, features: Tensor, texts: list[list[int]]) -> Tensor:
        """features (B, T, D) -> logits (B, V) at each text's last token.

        On the CPU: the same draws wherever the network lives.
        """
        ends = torch.tensor([len(text) - 1 for text in texts], device=features.device)
        rows = torch.arange(len(texts), device=features.device)
        return self.network.logits(features[rows, ends]).cpu()
