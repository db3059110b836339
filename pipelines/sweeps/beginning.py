"""The start of a training: a point of a sweep up to the step at which the points are compared."""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.sweeps.artefacts import CURVE
from pipelines.sweeps.options import Begun
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import KeptStates
from pipelines.training.fitting import Paused
from pipelines.training.pretraining import pretrain


def begin(
    making: Making,
    settings: Begun,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    origin: dict[str, KeptStates],
) -> None:
    """The first steps of a training, as curves; the training goes on from its checkpoint.

    Raises ValueError if the training has no more steps than these.
    """
    try:
        short = replace(making, until=settings.steps)
        pretrain(short, settings.whole, tokenizer, token_shards, origin)
    except Paused as paused:
        history, parameters = paused.history, paused.parameters
    else:
        raise ValueError(f"steps={settings.steps}: the training is over by then; lower sweep.stop")
    # The checkpoint may come from a later step, of a store that lost the record of this start.
    curve = {
        name: [[step, loss] for step, loss in points if step <= settings.steps]
        for name, points in (("train", history.train), ("validation", history.validation))
    }
    making.write(CURVE, curve)
    config = settings.whole.model.config(tokenizer.load().vocab_size)
    figures = {
        "parameters": parameters,
        "steps": settings.steps,
        "planned_steps": settings.training.steps_for(config.context_length),
        "validation_loss": curve["validation"][-1][1],
    }
    making.write(FIGURES, figures)
