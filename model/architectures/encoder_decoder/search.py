"""The likeliest targets of many sources at once, one token after another.

Letters: B sources, K beams, N tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.batches.batching import IGNORED
from model.evaluation import evaluating

LENGTH_PENALTY = 0.6  # Wu et al. 2016 found 0.6 to 0.7 best for translation


def translate(
    network: Any,
    sources: Sequence[Sequence[int]],
    *,
    begin: int,
    end: int,
    beams: int = 1,
    max_new_tokens: int | None = None,
    length_penalty: float = LENGTH_PENALTY,
    rows: int = 256,
) -> list[list[int]]:
    """For each source the best target that ``beams`` beams find, without ``begin`` and ``end``.

    One beam is the greedy search: the likeliest token each time. With more, that many of the
    likeliest unfinished targets are followed side by side, and an ``end`` that is among the
    likeliest ``beams`` continuations finishes one. The best finished one is taken as soon as no
    unfinished one scores higher: log-probability / length^length_penalty, where the length counts
    the ``end``; above 0 favours long ones (Wu et al. 2016, in the plainer form without constants).
    After ``max_new_tokens``, or the context's length, the best is taken as it is.

    Sources of like length go together, ``rows`` targets at once. ValueError for settings out of
    range, an empty or too long source.
    """
    room = network.context_length if max_new_tokens is None else max_new_tokens
    if beams < 1 or room < 1 or not math.isfinite(length_penalty):
        raise ValueError(
            f"beams={beams} max_new_tokens={room} length_penalty={length_penalty}: "
            "counts begin at 1, the penalty is a finite number"
        )
    if not all(sources):
        raise ValueError("source=[]: give each at least one token, such as the end of text")
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    device = next(network.parameters()).device
    found: dict[int, list[int]] = {}
    with evaluating(network), torch.inference_mode():
        size = max(1, rows // beams)
        for first in range(0, len(order), size):
            chosen = order[first : first + size]
            search = _Search(beams, begin, end, min(room, network.context_length), length_penalty)
            padded = pad([sources[number] for number in chosen], device)
            found |= zip(chosen, search.run(network, padded), strict=True)
    return [found[number] for number in range(len(sources))]


def pad(sources: Sequence[Sequence[int]], device: torch.device | str) -> Tensor:
    """(B, S) int64, IGNORED where a source has no more."""
    rows = [torch.tensor(source, device=device) for source in sources]
    return pad_sequence(rows, batch_first=True, padding_value=IGNORED)


@dataclass(frozen=True)
class _Search:
    """The settings of a search over one batch of sources."""

    beams: int
    begin: int
    end: int
    room: int
    penalty: float

    def run(self, network: Any, sources: Tensor) -> list[list[int]]:
        """sources (B, S) -> the best target of each."""
        count, k = len(sources), self.beams
        best: list[tuple[float, list[int]]] = [(-math.inf, [])] * count  # of the finished ones
        going = list(range(count))
        targets = sources.new_full((count * k, 1), self.begin)  # (B K, 1 + N)
        # But for the first a source's beams count for nothing yet: they all begin alike.
        likelihoods = sources.new_full((count, k), -math.inf, dtype=torch.float64)
        likelihoods[:, 0] = 0.0
        each = torch.arange(count, device=sources.device).repeat_interleave(k)
        memory = network.read(sources).select(each)
        cache = network.cache(count * k, self.room)
        for n in range(1, self.room + 1):
            features = network.continued(memory, targets[:, -1:], cache)
            logits = network.logits(features[:, -1]).unflatten(0, (-1, k))  # (B, K, V)
            total = likelihoods[..., None] + logits.double().log_softmax(-1)
            values, index = total.flatten(1).topk(2 * k)
            parents, tokens = index // network.vocab_size, index % network.vocab_size
            scores = values / n**self.penalty
            for row, rank in (tokens[:, :k] == self.end).nonzero().tolist():
                target = targets[row * k + parents[row, rank], 1:].tolist()
                best[going[row]] = max(best[going[row]], (scores[row, rank].item(), target))
            # A source has at most k ends among its 2 k: as many others stand behind them.
            kept = (tokens == self.end).int().argsort(dim=1, stable=True)[:, :k]
            parents, tokens, likelihoods, scores = (
                t.gather(1, kept) for t in (parents, tokens, values, scores)
            )
            hopes = scores[:, 0].tolist()
            left = [row for row, number in enumerate(going) if best[number][0] < hopes[row]]
            if not left:
                return [target for _, target in best]
            first = torch.tensor(left, device=parents.device)[:, None] * k
            rows = (first + parents[left]).flatten()
            targets = torch.cat([targets[rows], tokens[left].view(-1, 1)], dim=1)
            likelihoods, going = likelihoods[left], [going[row] for row in left]
            if k > 1 or len(left) < len(parents):
                cache.select(rows.tolist())
                memory = memory.select(rows)
        for row, number in enumerate(going):  # no end is likelier than where these are
            best[number] = (0.0, targets[row * k, 1:].tolist())
        return [target for _, target in best]
