"""The evaluation that trains the same small GPT on each rung of attention."""

from __future__ import annotations

from model.batches.batching import Windows
from pipelines.attention_ladder.climb import (
    climb,
    comparison,
    curves,
    figures,
    heatmaps,
    prompt,
    samples,
    shape,
    table,
)
from pipelines.attention_ladder.options import Climb
from pipelines.core.making import Making
from pipelines.evaluation.findings import Findings
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards


def evaluate(
    making: Making, settings: Climb, tokenizer: TokenizerFiles, token_shards: TokenShards
) -> None:
    """The same small GPT trained on each rung of attention: losses, heatmaps and samples.

    The record has the learning rates of each rung. A rung keeps no checkpoints and ignores
    ``checkpoint_every``.
    """
    ladder = settings.attention_ladder
    encoder = tokenizer.load()
    config = shape(ladder, encoder.vocab_size)
    batches = Windows(
        token_shards.streams("train"),
        settings.weights,
        config.context_length,
        ladder.training.batch_size,
        settings.seed,
        settings.epochs,
    )
    batches.mixture.require(ladder.training.steps_for(config.context_length))
    held_out = token_shards.stream("validation", encoder.end_of_text)
    climbed = climb(making, ladder, config, batches, held_out, settings.seed)
    text = prompt(ladder, held_out, encoder)
    Findings(
        figures=figures(climbed),
        comparison=comparison(climbed),
        samples=samples(climbed, encoder, text),
        tables={"the rungs": table(climbed)},
        curves=curves(climbed),
        heatmaps=heatmaps(climbed, encoder, text),
    ).write(making)
