"""The attention ladder: a small GPT trained with each kind of attention, and the results.

A rung is a kind of attention. Letters: H heads, T tokens.
"""

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
from pipelines.evaluation.language import continuation
from pipelines.inference.replies import SAMPLING, unnamed
from pipelines.training.checkpoint import HELD_OUT_BATCH
from pipelines.training.fitting import Batches, fit
from pipelines.training.history import History

if TYPE_CHECKING:
    from model.architectures.gpt.config import GPTConfig
    from model.batches.streams import TokenStream
    from pipelines.attention_ladder.options import AttentionLadder
    from pipelines.core.making import Making
    from pipelines.tokens.tokenizers import Tokenizer

BASELINES = ("simplified", "self-attention", "causal")  # the rungs below many heads
SHOWN = 12  # tokens of a prompt whose attention is drawn
COPIES = (
    "This rung reads the token that it has to predict, so it learns to copy it. In generation that"
    " token does not exist yet, and the rung predicts badly."
)
DOES_NOT_COPY = (
    "This rung can read later tokens, but has not learned to copy them. Its heatmap shows the"
    " tokens that it reads."
)


@dataclass(frozen=True)
class Climbed:
    """A rung and the network trained on it.

    ``honest`` is the network's loss when no later token is in the input.
    """

    rung: Rung
    network: Any
    history: History
    honest: float

    @property
    def loss(self) -> float:
        """The last validation loss of the training."""
        return self.history.validation[-1][1]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())


def shape(ladder: AttentionLadder, vocab_size: int) -> GPTConfig:
    """The book's network in the ladder's size, with an initialisation that learns quickly.

    Raises ValueError for sizes that do not fit together.
    """
    sizes = ("d_model", "n_layers", "n_heads", "n_kv_heads", "context_length")
    written = {name: getattr(ladder, name) for name in sizes}
    book = {"qkv_bias": False, "tied_head": False, "initialisation": "zero_output"}
    config: GPTConfig = find("gpt").configure("gpt2", **book, **written, vocab_size=vocab_size)
    return config


def prompt(ladder: AttentionLadder, held_out: TokenStream, tokenizer: Tokenizer) -> str:
    """The prompt of the recipe, or else the first tokens of the held-out text."""
    start = held_out.read(1, min(1 + SHOWN, len(held_out)))  # token 0 is an end of text
    return ladder.prompt or tokenizer.decode(start.tolist())


def climb(
    making: Making,
    ladder: AttentionLadder,
    config: GPTConfig,
    batches: Batches,
    held_out: TokenStream,
    seed: int,
) -> list[Climbed]:
    """Train every rung on the same batches with the same seed; rates go into ``making.made``.

    A rung takes seconds, so it keeps no checkpoints and ignores ``checkpoint_every``. An
    interrupted ladder starts again from the beginning.
    """
    training, made_by_rung, climbed = ladder.training, {}, []

    windows = training.look(HELD_OUT_BATCH, config.context_length)

    def validation() -> Iterable[Batch]:
        return in_order(held_out, config.context_length, HELD_OUT_BATCH, windows=windows)

    for rung in RUNGS:
        network = on_rung(rung, config, seed)
        # Under one name, the curves of several networks would become one curve with jumps.
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
        made_by_rung[rung.name] = part.made
        for kind, points in (("training", history.train), ("validation", history.validation)):
            for step, loss in points:
                making.curve(step, {f"{rung.name}_{kind}_loss": loss})
        climbed.append(Climbed(rung, network, history, honest_loss(network, validation())))
    making.made["rungs"] = made_by_rung
    return climbed


def figures(climbed: Sequence[Climbed]) -> dict[str, float]:
    """The two losses of each rung."""
    losses: dict[str, float] = {}
    for result in climbed:
        name = result.rung.name.replace("-", "_")
        losses |= {f"{name}_loss": result.loss, f"{name}_honest_loss": result.honest}
    return losses


def comparison(climbed: Sequence[Climbed]) -> Comparison:
    """The highest rung compared with the rungs below many heads, by their honest losses."""
    honest = {result.rung.name: result.honest for result in climbed}
    return Comparison(
        measure="nats a token of held-out text, without later tokens in the input",
        better="lower",
        ours=honest["fused"],
        baselines={name: honest[name] for name in BASELINES},
    )


def table(climbed: Sequence[Climbed]) -> list[dict[str, Any]]:
    """One row for each rung."""
    return [
        {
            "rung": result.rung.name,
            "new": result.rung.new,
            "parameters": result.parameters,
            "validation loss": result.loss,
            "honest loss": result.honest,
            "note": _note(result),
        }
        for result in climbed
    ]


def _note(climbed: Climbed) -> str:
    if not climbed.rung.looks_ahead:
        return ""
    return COPIES if climbed.honest - climbed.loss > 0.5 else DOES_NOT_COPY


def curves(climbed: Sequence[Climbed]) -> dict[str, Curves]:
    """The losses over the steps, one line for each rung."""
    by_title: dict[str, Curves] = {}
    for kind, points in (("training", "train"), ("validation", "validation")):
        lines = {result.rung.name: getattr(result.history, points) for result in climbed}
        by_title[f"{kind} loss"] = {"x": "step", "y": "loss (nats a token)", "lines": lines}
    return by_title


def heatmaps(climbed: Sequence[Climbed], tokenizer: Tokenizer, text: str) -> dict[str, Heatmap]:
    """Attention maps of the first block for each rung, then for each head of the highest rung."""
    tokens = tokenizer.encode(text)[: min(SHOWN, climbed[0].network.context_length)]
    labels = [tokenizer.decode([token]).strip() or "␣" for token in tokens]
    by_title: dict[str, Heatmap] = {}

    def add(title: str, values: torch.Tensor) -> None:
        by_title[title] = {"rows": labels, "columns": labels, "values": values.tolist()}

    for result in climbed:
        device = next(result.network.parameters()).device
        maps = attention_maps(result.network, torch.tensor([tokens], device=device))[0]  # (H, T, T)
        add(f"who reads whom: {result.rung.name}", maps.mean(dim=0))
    for head, values in enumerate(maps):
        add(f"who reads whom: {result.rung.name}, head {head + 1}", values)
    return by_title


def samples(climbed: Sequence[Climbed], tokenizer: Tokenizer, text: str) -> list[dict[str, str]]:
    """The continuation of a text by each rung, without a cache: the lower rungs cannot use one."""
    continue_text: Callable[..., list[int]] = partial(
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
            "rung": result.rung.name,
            "prompt": text,
            "continuation": continuation(tokenizer, text, continue_text(result.network)),
        }
        for result in climbed
    ]
