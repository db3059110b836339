"""A GPT classifier as a textbook writes it, for adapters.py: chapters 4 to 6 and appendix E.

It is written here after the description in "Build a Large Language Model (From Scratch)", Raschka:
attention with whole matrices of weights and a mask in a buffer, norm and GELU from their formulas,
dropout of 0, all rows padded to the longest of the data set, torch's AdamW. ``LowRank`` is the
layer of appendix E: a linear layer, and beside it the product of two thin matrices.

Letters: B batch, T positions, D d_model, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD = 50_256


class Attention(nn.Module):
    """Masked attention of H heads."""

    def __init__(self, d: int, n_heads: int, length: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries, self.keys, self.values = (nn.Linear(d, d) for _ in range(3))
        self.output, self.dropout = nn.Linear(d, d), nn.Dropout(0.0)
        self.register_buffer("mask", torch.triu(torch.ones(length, length), diagonal=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        b, t, d = x.shape
        shape = (b, t, self.n_heads, d // self.n_heads)
        keys = self.keys(x).view(shape).transpose(1, 2)
        queries = self.queries(x).view(shape).transpose(1, 2)
        values = self.values(x).view(shape).transpose(1, 2)
        scores = queries @ keys.transpose(2, 3)
        scores.masked_fill_(self.mask.bool()[:t, :t], -torch.inf)
        shares = self.dropout(torch.softmax(scores / keys.shape[-1] ** 0.5, dim=-1))
        return self.output((shares @ values).transpose(1, 2).contiguous().view(b, t, d))


class Norm(nn.Module):
    """A norm from its formula."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        mean = x.mean(dim=-1, keepdim=True)
        variance = x.var(dim=-1, keepdim=True, unbiased=False)
        return self.scale * (x - mean) / torch.sqrt(variance + 1e-5) + self.shift


class Gelu(nn.Module):
    """GELU in its tanh form, from its formula."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3))
        return 0.5 * x * (1 + torch.tanh(inner))


class Block(nn.Module):
    """Attention and a feed-forward network, each behind a norm and beside a shortcut."""

    def __init__(self, d: int, n_heads: int, length: int) -> None:
        super().__init__()
        self.attention = Attention(d, n_heads, length)
        self.feed_forward = nn.Sequential(nn.Linear(d, 4 * d), Gelu(), nn.Linear(4 * d, d))
        self.first, self.second, self.dropout = Norm(d), Norm(d), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        x = x + self.dropout(self.attention(self.first(x)))
        return x + self.dropout(self.feed_forward(self.second(x)))


class TextbookClassifier(nn.Module):
    """The network with a head of two classes in place of the vocabulary's."""

    def __init__(self, vocab: int, d: int, n_layers: int, n_heads: int, length: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, d), nn.Embedding(length, d)
        self.blocks = nn.Sequential(*(Block(d, n_heads, length) for _ in range(n_layers)))
        self.norm, self.head, self.dropout = Norm(d), nn.Linear(d, 2), nn.Dropout(0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) -> logits (B, T, 2)"""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(self.dropout(x))))


class LowRank(nn.Module):
    """A linear layer with the product of two thin matrices beside it."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.alpha = linear, alpha
        self.a = nn.Parameter(torch.empty(linear.in_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.b = nn.Parameter(torch.zeros(rank, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        return self.linear(x) + self.alpha * (x @ self.a @ self.b)


def with_low_rank(module: nn.Module, rank: int, alpha: float) -> None:
    """Replaces every linear layer, and freezes all else."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, LowRank(child, rank, alpha))
        else:
            with_low_rank(child, rank, alpha)


def prepared(network: TextbookClassifier, method: str) -> None:
    """Freezes what does not learn: chapter 6 (last_block) or appendix E (lora)."""
    if method == "full":
        return
    for parameter in network.parameters():
        parameter.requires_grad = False
    if method == "lora":
        with_low_rank(network, rank=16, alpha=16)
        return
    for part in (network.blocks[-1], network.norm, network.head):
        for parameter in part.parameters():
            parameter.requires_grad = True


def steps_of(
    network: TextbookClassifier, rows: Sequence[Sequence[int]], labels: Sequence[int], size: int
) -> Callable[[int], float]:
    """The training as a function: makes the step of a number and returns its loss.

    Every row is padded to the longest of all.
    """
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
    targets = torch.tensor(labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, weight_decay=0.1)
    network.train()

    def step(number: int) -> float:
        first = number * size % len(rows)
        optimizer.zero_grad()
        logits = network(tokens[first : first + size])[:, -1, :]
        loss = F.cross_entropy(logits, targets[first : first + size])
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
