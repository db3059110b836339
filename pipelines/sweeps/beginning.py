"""The start of a training: a point of a sweep up to the step at which the points are compared."""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.artefact import FIGURES
from pipelines.core.disk import make_folder
from pipelines.core.making import Making
from pipelines.core.work import Work
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

    The validations are all as the settings say: a start does not go on from a training that was
    validated otherwise, but begins anew.

    Raises ValueError if the training has no more steps than these.
    """
    try:
        work = making.work and _area(making.work, settings)
        short = replace(making, work=work, until=settings.steps)
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


def _area(work: Work, settings: Begun) -> Work:
    """The training's work area if nothing is in it or a start with the same validations is; else
    one of its own.

    A checkpoint tells by what was made last. That is enough, because a start goes on here from
    nothing but another start with the same validations.
    """
    checkpoint = work.load_checkpoint()
    if checkpoint is None:
        return work
    last = checkpoint[1].get("decides", {}).get("recipe", {})
    mine = {name: getattr(settings, name) for name in ("validate_every", "validation_batches")}
    if all(last.get(name) == value for name, value in mine.items()):
        return work
    own = work.folder / f"every-{settings.validate_every}-batches-{settings.validation_batches}"
    make_folder(own)
    return Work(own)
