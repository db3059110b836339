"""How likely a network finds given tokens: the counted tokens of a batch, or answers to questions.

The answers to one question are read after the same tokens. What the texts of a question share is
read once, and its keys and values are kept for all of them (model/blocks/cache.py).

Letters: B rows, G questions, T tokens, N tokens that are asked, D d_model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.batches.batching import IGNORED, Batch
from model.evaluation import evaluating

TOKENS = 8192  # tokens with their padding that are read in one pass
LOGITS = 1 << 24  # logits in memory at once
GAIN = 0.8  # reading in several passes must save a fifth of the tokens, else it is slower
LEAD = 16  # tokens that all questions must begin with to be read once for all


class Asked(NamedTuple):
    """A text whose last tokens are asked, so many: each is predicted from all tokens before it."""

    tokens: Sequence[int]
    asked: int


class Likelihood(NamedTuple):
    """The logarithm of the probability of the asked tokens of a text, in nats (0 or below).

    ``tokens`` is how many they were. ``greedy``: each was the likeliest token at its place.
    """

    nats: float
    tokens: int
    greedy: bool


Question = Sequence[Asked]
"""Several texts, most often one beginning with one answer each."""


def row_log_likelihoods(network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of each row of a batch: the log-likelihood of its counted targets, and their number.

    Both are (B,). The first is in nats, 0 or below, float64. The network reads ``tokens`` and
    ``documents``, as for the next token. For a gradient take the primitive of the same likelihoods,
    ``token_log_likelihoods`` (model/blocks/kernels.py): it holds no logits.
    """
    counted = batch.targets != IGNORED  # (B, T)
    features = network.features(batch.tokens, batch.documents)[counted]  # (N, D)
    rows = counted.nonzero()[:, 0]
    each = torch.cat([part for part, _ in _scored(network, features, batch.targets[counted])])
    total = each.new_zeros(len(counted), dtype=torch.float64).index_add(0, rows, each.double())
    return total, counted.sum(1)


def log_likelihoods(
    network: Any, questions: Sequence[Question], *, tokens_at_once: int = TOKENS
) -> list[list[Likelihood]]:
    """The likelihood of every text of every question, in their order.

    Questions of like length are read together, up to ``tokens_at_once`` with their padding; the
    results do not depend on it, but for rounding. A text that is longer than the context is cut at
    its left; if even the asked tokens do not fit, fewer are counted. Raises ValueError for a text
    without an asked token or a token before it, and for a token outside the vocabulary.
    """
    cut = [[_cut(one, network.context_length) for one in question] for question in questions]
    _check(cut, network.vocab_size)
    found: list[list[Likelihood]] = [[] for _ in cut]
    with evaluating(network), torch.inference_mode():
        for numbers in _passes(cut, tokens_at_once):
            for number, likely in zip(
                numbers, _read(network, [cut[n] for n in numbers]), strict=True
            ):
                found[number] = likely
    return found


def _cut(text: Asked, context_length: int) -> Asked:
    """The text without the tokens at its left for which the context has no room."""
    room = context_length + 1  # the last token is predicted and never read
    if len(text.tokens) <= room:
        return text
    return Asked(text.tokens[-room:], min(text.asked, context_length))


def _check(questions: Sequence[Question], vocab_size: int) -> None:
    for number, question in enumerate(questions):
        for text in question:
            if not 0 < text.asked < len(text.tokens):
                raise ValueError(
                    f"question {number}: tokens={len(text.tokens)} asked={text.asked}: ask at least"
                    " one token, and give at least one before it"
                )
            if not 0 <= min(text.tokens) <= max(text.tokens) < vocab_size:
                raise ValueError(
                    f"question {number} has a token outside vocab_size={vocab_size}: encode it with"
                    " the network's own tokenizer"
                )


def _passes(questions: Sequence[Question], tokens: int) -> Iterator[list[int]]:
    """The numbers of questions that are read together: the longest first, each pass bounded."""
    width = [max((len(one.tokens) for one in question), default=0) for question in questions]
    together: list[int] = []
    rows = 0
    for number in sorted(range(len(questions)), key=lambda n: -width[n]):
        more = len(questions[number])
        if together and (rows + more) * width[together[0]] > tokens:
            yield together
            together, rows = [], 0
        if more:
            together.append(number)
            rows += more
    if together:
        yield together


def _read(network: Any, questions: Sequence[Question]) -> list[list[Likelihood]]:
    """The likelihoods of the texts of some questions, each beginning read once if that pays."""
    layout = _laid_out(questions)
    if not layout.pays(network):
        layout = _laid_out([[text] for question in questions for text in question], apart=True)
    told = iter(_likelihoods(network, layout))
    return [[next(told) for _ in question] for question in questions]


class _Layer(NamedTuple):
    """Rows of tokens that are read in one pass, each after a row of the layer before it."""

    rows: list[list[int]]
    after: list[int]

    @property
    def width(self) -> int:
        """How many tokens the longest row has."""
        return max(map(len, self.rows), default=0)


class _Layout(NamedTuple):
    """Texts as rows of layers: what all begin with, what those of a question share, their ends.

    ``places`` has, for each text, the layer, the row and the token in the row after which each of
    its asked tokens is predicted.
    """

    layers: list[_Layer]
    texts: list[Asked]
    places: list[list[tuple[int, int, int]]]

    def pays(self, network: Any) -> bool:
        """Whether reading in several passes is faster, and fits into the context."""
        if len(self.layers) == 1:
            return True
        if not hasattr(network, "cache") or not self.layers[0].width:
            return False
        plain = len(self.texts) * max(len(text.tokens) - 1 for text in self.texts)
        read = sum(len(layer.rows) * layer.width for layer in self.layers)
        slots = sum(layer.width for layer in self.layers)
        return slots <= network.context_length and read < GAIN * plain


def _laid_out(questions: Sequence[Question], *, apart: bool = False) -> _Layout:
    """The layers of some questions; with ``apart`` one layer, in which every text is a row."""
    shared = [_shared(question) for question in questions]
    lead = 0 if apart else _lead(questions, shared)
    first = [_Layer([list(questions[0][0].tokens[:lead])], [0])] if lead else []
    heads, tails = _Layer([], []), _Layer([], [])
    texts, places = [], []
    for number, (question, cut) in enumerate(zip(questions, shared, strict=True)):
        heads.rows.append(list(question[0].tokens[lead:cut]))
        heads.after.append(0)
        for text in question:
            end = len(text.tokens) - 1
            if end > cut:
                tails.rows.append(list(text.tokens[cut:end]))
                tails.after.append(number)
            # (first token, layer, row) of each part of the text, the last part first.
            parts = [(cut, len(first) + 1, len(tails.rows) - 1), (lead, len(first), number)]
            parts += [(0, 0, 0)] * len(first)
            texts.append(text)
            places.append([_place(token, parts) for token in range(end - text.asked, end)])
    return _Layout([*first, heads, *([tails] if tails.rows else [])], texts, places)


def _place(token: int, parts: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """The layer, the row and the place in it of a text's token."""
    begin, layer, row = next(part for part in parts if part[0] <= token)
    return layer, row, token - begin


def _lead(questions: Sequence[Question], shared: Sequence[int]) -> int:
    """How many tokens all questions begin with, such as solved examples; 0 if they are few."""
    if len(questions) < 2:
        return 0
    lead = min(_shared([question[0] for question in questions]), *shared)
    return lead if lead >= LEAD else 0


def _shared(question: Question) -> int:
    """How many tokens all texts of a question begin with, of those that the network reads."""
    first, *others = (text.tokens[:-1] for text in question)
    length = min(map(len, (first, *others)))
    for other in others:
        length = next((n for n in range(length) if first[n] != other[n]), length)
    return length


def _likelihoods(network: Any, layout: _Layout) -> Iterator[Likelihood]:
    """The likelihood of each text."""
    features = _features(network, layout.layers)  # (places, D)
    sizes = [len(layer.rows) * layer.width for layer in layout.layers]
    begins = [sum(sizes[:number]) for number in range(len(sizes))]
    widths = [layer.width for layer in layout.layers]
    flat = [
        begins[layer] + row * widths[layer] + token
        for places in layout.places
        for layer, row, token in places
    ]
    asked = [token for text in layout.texts for token in text.tokens[-text.asked :]]
    picked = features[torch.tensor(flat, device=features.device)]
    scored = list(_scored(network, picked, torch.tensor(asked, device=features.device)))
    counts = [text.asked for text in layout.texts]
    nats = torch.cat([part for part, _ in scored]).double().cpu().split(counts)
    best = torch.cat([part for _, part in scored]).cpu().split(counts)
    for count, one, greedy in zip(counts, nats, best, strict=True):
        yield Likelihood(float(one.sum()), count, bool(greedy.all()))


def _features(network: Any, layers: Sequence[_Layer]) -> Tensor:
    """The features of all places of the layers, row by row: (places, D)."""
    device = next(network.parameters()).device
    first, *later = layers
    if not later:
        features: Tensor = network.features(_padded(first.rows, device)).flatten(0, 1)
        return features
    most = max(len(layer.rows) for layer in layers)
    cache = network.cache(most, sum(layer.width for layer in layers))
    cache.lengths = [0] * len(first.rows)
    parts, read = [], [0] * len(first.rows)
    for layer in layers:
        if layer is not first:
            cache.select(layer.after)
            read = [read[row] for row in layer.after]
        if layer.width:
            parts.append(network.continued(_padded(layer.rows, device), cache).flatten(0, 1))
        read = [before + len(row) for before, row in zip(read, layer.rows, strict=True)]
        cache.lengths = list(read)  # without the padding
    return torch.cat(parts)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(B, T), zeros on the right"""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def _scored(network: Any, features: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """features (N, D), targets (N,) -> (log-likelihoods, whether each is the likeliest), in parts.

    Only some logits are in memory at once.
    """
    size = max(1, LOGITS // network.vocab_size)
    for some, wanted in zip(features.split(size), targets.split(size), strict=True):
        logits = network.logits(some)  # (n, V) in fp32
        picked = logits.gather(1, wanted[:, None])[:, 0]
        yield picked - logits.logsumexp(1), logits.argmax(1) == wanted
