"""Beam search for the likeliest targets of many sources at once, token by token.

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
    """The best target of each source, as ``beams`` beams find it, without ``begin`` and ``end``.

    One beam is greedy search: it takes the likeliest token at each step. With more beams the search
    follows that many of the likeliest unfinished targets side by side. An ``end`` among the
    likeliest ``beams`` continuations finishes a target. The score of a target is
    log-probability / length^length_penalty, where the length counts the ``end``; a penalty above 0
    favours long targets (Wu et al. 2016, in the plainer form without constants). The search returns
    the best finished target as soon as no unfinished one scores higher. If that has not happened
    after ``max_new_tokens`` or at the context's length, it returns the best unfinished target.

    Sources of similar length form a batch of up to ``rows`` targets. Raises ValueError for settings
    out of range and for an empty or too long source.
    """
    room = network.context_length if max_new_tokens is None else max_new_tokens
    if beams < 1 or room < 1 or not math.isfinite(length_penalty):
        raise ValueError(
            f"beams={beams} max_new_tokens={room} length_penalty={length_penalty}: "
            "counts must be at least 1 and the penalty a finite number"
        )
    if not all(sources):
        raise ValueError("source=[]: give each source at least one token, such as the end of text")
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    device = next(network.parameters()).device
    targets: dict[int, list[int]] = {}
    with evaluating(network), torch.inference_mode():
        size = max(1, rows // beams)
        for first in range(0, len(order), size):
            numbers = order[first : first + size]
            search = _Search(beams, begin, end, min(room, network.context_length), length_penalty)
            padded = pad([sources[number] for number in numbers], device)
            targets |= zip(numbers, search.run(network, padded), strict=True)
    return [targets[number] for number in range(len(sources))]


def pad(sources: Sequence[Sequence[int]], device: torch.device | str) -> Tensor:
    """The sources as one tensor (B, S) int64, padded with IGNORED."""
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
        best: list[tuple[float, list[int]]] = [(-math.inf, [])] * count  # finished: score, tokens
        active = list(range(count))
        targets = sources.new_full((count * k, 1), self.begin)  # (B K, 1 + N)
        # All beams of a source begin alike: in the first step only its first beam counts.
        likelihoods = sources.new_full((count, k), -math.inf, dtype=torch.float64)
        likelihoods[:, 0] = 0.0
        repeated = torch.arange(count, device=sources.device).repeat_interleave(k)
        memory = network.read(sources).select(repeated)
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
                best[active[row]] = max(best[active[row]], (scores[row, rank].item(), target))
            # Each beam has one end: of a source's 2 k candidates at most k are ends, and k remain.
            kept = (tokens == self.end).int().argsort(dim=1, stable=True)[:, :k]
            parents, tokens, likelihoods, scores = (
                t.gather(1, kept) for t in (parents, tokens, values, scores)
            )
            highest = scores[:, 0].tolist()
            unfinished = [
                row for row, number in enumerate(active) if best[number][0] < highest[row]
            ]
            if not unfinished:
                return [target for _, target in best]
            first = torch.tensor(unfinished, device=parents.device)[:, None] * k
            rows = (first + parents[unfinished]).flatten()
            targets = torch.cat([targets[rows], tokens[unfinished].view(-1, 1)], dim=1)
            likelihoods, active = likelihoods[unfinished], [active[row] for row in unfinished]
            if k > 1 or len(unfinished) < len(parents):
                cache.select(rows.tolist())
                memory = memory.select(rows)
        for row, number in enumerate(active):  # no finished target scores higher than these
            best[number] = (0.0, targets[row * k, 1:].tolist())
        return [target for _, target in best]
