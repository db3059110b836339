"""The networks of other projects, for steps.py: each in its published structure.

nanoGPT's is written here after its public description: the blocks of GPT-2 with learned positions,
LayerNorm, one product for queries, keys and values, GELU in its exact form, a head tied to the
embedding, a vocabulary padded to a multiple of 64 and the whole matrix of logits in memory.
transformers and litgpt are the installed packages. litgpt has neither learned positions nor a tied
head: it rotates queries and keys (a quarter of the dimensions, as in Pythia).

Letters: B batch, T positions, D d_model, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from steps import Shape


class _Layer(nn.Module):
    """One block of nanoGPT."""

    def __init__(self, shape: Shape, gelu: str) -> None:
        super().__init__()
        d, self.n_heads, self.gelu = shape.d_model, shape.n_heads, gelu
        self.before_attention, self.before_feed_forward = nn.LayerNorm(d), nn.LayerNorm(d)
        self.joined, self.output = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.expand, self.contract = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.joined(self.before_attention(x)).split(x.shape[-1], dim=2)
        heads = [part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts]
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(self.expand(self.before_feed_forward(x)), approximate=self.gelu)
        return x + self.contract(hidden)


class NanoGPT(nn.Module):
    """nanoGPT's structure. ``gelu``: none is the exact form it has, tanh is GPT-2's."""

    def __init__(self, shape: Shape, vocab_size: int, gelu: str = "none") -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, shape.d_model)
        self.positions = nn.Embedding(shape.context_length, shape.d_model)
        self.layers = nn.ModuleList(_Layer(shape, gelu) for _ in range(shape.n_layers))
        self.norm = nn.LayerNorm(shape.d_model)
        self.head = nn.Linear(shape.d_model, vocab_size, bias=False)
        self.head.weight = self.embedding.weight
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """tokens, targets (B, T) -> mean loss."""
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def reference(shape: Shape, network: Any) -> NanoGPT:
    """The plain structure at the true vocabulary, with the weights of our gpt2-shaped network."""
    plain = NanoGPT(shape, shape.vocab_size, gelu="tanh")
    with torch.no_grad():
        plain.embedding.weight.copy_(network.embedding.weight)
        plain.positions.weight.copy_(network.positions.weight)
        plain.norm.load_state_dict(network.norm.state_dict())
        for theirs, block in zip(plain.layers, network.blocks, strict=True):
            attention, feed_forward = block.attention, block.feed_forward
            parts = (attention.queries, attention.keys, attention.values)
            theirs.joined.weight.copy_(torch.cat([part.weight for part in parts]))
            theirs.joined.bias.copy_(torch.cat([part.bias for part in parts]))
            theirs.output.load_state_dict(attention.output.state_dict())
            theirs.expand.load_state_dict(feed_forward.expand.state_dict())
            theirs.contract.load_state_dict(feed_forward.contract.state_dict())
            theirs.before_attention.load_state_dict(block.attention_norm.state_dict())
            theirs.before_feed_forward.load_state_dict(block.feed_forward_norm.state_dict())
    return plain


class Transformers(nn.Module):
    """transformers' GPT-2, its vocabulary padded to a multiple of 64, without dropout."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        self.network = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=shape.padded,
                n_positions=shape.context_length,
                n_embd=shape.d_model,
                n_layer=shape.n_layers,
                n_head=shape.n_heads,
                use_cache=False,
                **dropouts,
            )
        )

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        logits = self.network(input_ids=tokens).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class LitGPT(nn.Module):
    """litgpt's GPT with the parts of GPT-2 that it has, and its loss in chunks of rows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from litgpt import GPT, Config
        from litgpt.utils import chunked_cross_entropy

        self.loss = chunked_cross_entropy
        self.network = GPT(
            Config(
                block_size=shape.context_length,
                n_layer=shape.n_layers,
                n_head=shape.n_heads,
                n_embd=shape.d_model,
                vocab_size=shape.vocab_size,
                padding_multiple=64,
                bias=True,
                norm_class_name="LayerNorm",
                mlp_class_name="GptNeoxMLP",
                gelu_approximate="tanh",
                parallel_residual=False,
                rotary_percentage=0.25,
            )
        )

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.network(tokens), targets)
        return loss


NETWORKS = {
    "nanoGPT": lambda shape: NanoGPT(shape, shape.padded),
    "transformers": Transformers,
    "litgpt": LitGPT,
}


def optimizer(network: nn.Module, *, fused: bool, rate: float = 1e-3) -> torch.optim.AdamW:
    """AdamW with weight decay for the matrices alone, as nanoGPT groups them."""
    decayed = [p for p in network.parameters() if p.ndim >= 2]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=fused or None)


def curves(shape: Shape, steps: int) -> tuple[list[float], list[float]]:
    """The losses of ours and of the plain structure, from the same weights on the same batches."""
    from steps import build_ours, windows_of

    from model.batches.batching import Batch
    from model.training.loop import Step, train
    from model.training.objectives import next_token
    from model.training.optim import Optimizer

    narrow = replace(shape, batch_size=2, context_length=64)
    network = build_ours(narrow, "gpt2")
    plain = reference(narrow, network)
    theirs = torch.optim.AdamW(
        plain.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0
    )

    def batch(step: int) -> Batch:
        windows = windows_of(narrow, step)
        return Batch(windows[:, :-1], windows[:, 1:], ids=("drawn",) * narrow.batch_size)

    ours = Optimizer(network, "adamw", learning_rate=1e-3)
    events = train(network, next_token, batch, ours, steps=steps)
    found = [event.loss for event in events if isinstance(event, Step)]
    expected = []
    for step in range(steps):
        loss = plain(batch(step).tokens, batch(step).targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        theirs.step()
        theirs.zero_grad()
        expected.append(loss.item())
    return found, expected
