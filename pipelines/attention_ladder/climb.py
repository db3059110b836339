"""The attention ladder: one small GPT trained on each rung, and what there is to see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from model.architectures import find
from model.batches.batching import Batch, in_order
from model.inference.generation import generate
from model.ladder import RUNGS, Rung, attention_maps, honest_loss, on_rung
from pipelines.core.tracking import TrackedRun
from pipelines.evaluation.findings import Comparison, Curves, Heatmap
from pipelines.inference.replies import SAMPLING, unnamed
from pipelines.training.checkpoint import HELD_OUT_BATCH, History
from pipelines.training.fitting import Batches, fit

if TYPE_CHECKING:
    from model.architectures.gpt.config import GPTConfig
    from model.batches.streams import TokenStream
    from pipelines.attention_ladder.options import AttentionLadder
    from pipelines.core.making import Making
    from pipelines.tokens.tokenizers import Tokenizer

BASELINES = ("simplified", "self-attention", "causal")  # the rungs below many heads
SHOWN = 12  # tokens of a prompt whose attention is drawn
COPIES = (
    "The token that is asked stands among those that are read: this rung learns to copy it, and"
    " where it is not there yet, as in all generation, knows next to nothing."
)
DOES_NOT_COPY = (
    "It may look ahead, but has not learned to copy what it finds there: its map shows what it"
    " reads."
)


@dataclass(frozen=True)
class Climbed:
    """A rung and the network trained on it; ``honest`` is its loss where nothing lies ahead."""

    rung: Rung
    network: Any
    history: History
    honest: float

    @property
    def loss(self) -> float:
        """The last validation loss, as training measures it."""
        return self.history.validation[-1][1]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())


def shape(ladder: AttentionLadder, vocab_size: int) -> GPTConfig:
    """The book's network in the ladder's size, begun so that it learns quickly.

    ValueError for sizes that clash.
    """
    sizes = ("d_model", "n_layers", "n_heads", "n_kv_heads", "context_length")
    written = {name: getattr(ladder, name) for name in sizes}
    book = {"qkv_bias": False, "tied_head": False, "initialisation": "zero_output"}
    config: GPTConfig = find("gpt").configure("gpt2", **book, **written, vocab_size=vocab_size)
    return config


def prompt(ladder: AttentionLadder, held_out: TokenStream, tokenizer: Tokenizer) -> str:
    """The recipe's, or else how the held-out text begins."""
    behind_the_first = held_out.read(1, min(1 + SHOWN, len(held_out)))
    return ladder.prompt or tokenizer.decode(behind_the_first.tolist())


def climb(
    making: Making,
    ladder: AttentionLadder,
    config: GPTConfig,
    batches: Batches,
    held_out: TokenStream,
    seed: int,
) -> list[Climbed]:
    """Every rung, trained on the same batches from the same numbers; rates into ``making.made``.

    A rung takes seconds, so none keeps checkpoints whatever ``checkpoint_every`` says: a ladder
    that was interrupted begins anew.
    """
    training, made, climbed = ladder.training, {}, []

    windows = training.look(HELD_OUT_BATCH, config.context_length)

    def validation() -> Iterable[Batch]:
        return in_order(held_out, config.context_length, HELD_OUT_BATCH, windows=windows)

    for rung in RUNGS:
        network = on_rung(rung, config, seed)
        # The curves of several networks under one name would be one curve that jumps.
        part = replace(
            making, key=f"{making.key} {rung.name}", work=None, tracked=TrackedRun(None), made={}
        )
        history = fit(
            part,
            network,
            "next_token",
            batches,
            validation,
            training,
            steps=training.steps_for(config.context_length),
            seed=seed,
        )
        made[rung.name] = part.made
        for kind, points in (("training", history.train), ("validation", history.validation)):
            for step, loss in points:
                making.curve(step, {f"{rung.name}_{kind}_loss": loss})
        climbed.append(Climbed(rung, network, history, honest_loss(network, validation())))
    making.made["rungs"] = made
    return climbed


def figures(climbed: Sequence[Climbed]) -> dict[str, float]:
    """The two losses of each rung."""
    found: dict[str, float] = {}
    for each in climbed:
        name = each.rung.name.replace("-", "_")
        found |= {f"{name}_loss": each.loss, f"{name}_honest_loss": each.honest}
    return found


def comparison(climbed: Sequence[Climbed]) -> Comparison:
    """The highest rung against those below many heads, all without a look ahead."""
    honest = {each.rung.name: each.honest for each in climbed}
    return Comparison(
        measure="nats a token of held-out text, nothing after it there yet",
        better="lower",
        ours=honest["fused"],
        baselines={name: honest[name] for name in BASELINES},
    )


def table(climbed: Sequence[Climbed]) -> list[dict[str, Any]]:
    """A row a rung."""
    return [
        {
            "rung": each.rung.name,
            "new": each.rung.new,
            "parameters": each.parameters,
            "validation loss": each.loss,
            "honest loss": each.honest,
            "note": _note(each),
        }
        for each in climbed
    ]


def _note(climbed: Climbed) -> str:
    if not climbed.rung.looks_ahead:
        return ""
    return COPIES if climbed.honest - climbed.loss > 0.5 else DOES_NOT_COPY


def curves(climbed: Sequence[Climbed]) -> dict[str, Curves]:
    """The losses over the steps, a line a rung."""
    found: dict[str, Curves] = {}
    for kind, points in (("training", "train"), ("validation", "validation")):
        lines = {each.rung.name: getattr(each.history, points) for each in climbed}
        found[f"{kind} loss"] = {"x": "step", "y": "loss (nats a token)", "lines": lines}
    return found


def heatmaps(climbed: Sequence[Climbed], tokenizer: Tokenizer, text: str) -> dict[str, Heatmap]:
    """What each token of a text reads in the first block, and each head of the highest rung."""
    tokens = tokenizer.encode(text)[: min(SHOWN, climbed[0].network.context_length)]
    labels = [tokenizer.decode([token]).strip() or "␣" for token in tokens]
    found: dict[str, Heatmap] = {}

    def draw(title: str, values: torch.Tensor) -> None:
        found[title] = {"rows": labels, "columns": labels, "values": values.tolist()}

    for each in climbed:
        where = next(each.network.parameters()).device
        first = attention_maps(each.network, torch.tensor([tokens], device=where))[0]  # (H, T, T)
        draw(f"who reads whom: {each.rung.name}", first.mean(dim=0))
    for head, values in enumerate(first):
        draw(f"who reads whom: {each.rung.name}, head {head + 1}", values)
    return found


def samples(climbed: Sequence[Climbed], tokenizer: Tokenizer, text: str) -> list[dict[str, str]]:
    """How each rung goes on with a text; without a cache, which the lower rungs cannot use."""
    go_on: Callable[..., list[int]] = partial(
        generate,
        prompt_tokens=[tokenizer.start, *tokenizer.encode(text)],
        max_new_tokens=60,
        stop={tokenizer.end_of_text},
        forbid={tokenizer.user, tokenizer.assistant, *unnamed(climbed[0].network, tokenizer)},
        cached=False,
        **SAMPLING,
    )
    return [
        {
            "prompt": f"{each.rung.name}: {text}",
            "continuation": tokenizer.decode(go_on(each.network)),
        }
        for each in climbed
    ]
