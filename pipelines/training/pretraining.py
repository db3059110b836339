"""Pretraining of a foundation: a network trained from scratch on shards of tokens."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

from model.architectures import build, find
from model.batches.batching import Windows
from model.batches.masking import Masked
from model.batches.packing import Packed
from model.training.loop import NonFinite
from pipelines.core.making import Making
from pipelines.text.tables import write_index
from pipelines.tokens.artefacts import DRAWS, TokenizerFiles, TokenShards
from pipelines.tokens.draws import Texts
from pipelines.training.artefacts import CURVE, RESULT, KeptStates
from pipelines.training.batches import held_out_batches, training_batches
from pipelines.training.checkpoint import HELD_OUT_BATCH, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.options import Pretrained, Pretraining
from pipelines.training.receipts import Reading
from pipelines.training.trail import Drawn, Origin, Trail, draws_of, origin_in

log = logging.getLogger("dragon.training")


def pretrain(
    making: Making,
    settings: Pretrained,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    origin: dict[str, KeptStates],
) -> None:
    """Trains a network from scratch to predict tokens of the recipe's documents."""
    _pretrain(making, settings, tokenizer, token_shards, origin, None)


def keep_states(
    making: Making,
    settings: Pretrained,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    origin: dict[str, KeptStates],
) -> None:
    """Trains a network from scratch and keeps states on the way; a run that diverges keeps those
    before that."""
    assert settings.training.keep is not None  # the declaration asks for it
    trail, fault = Trail(making, settings.training.keep), ""
    try:
        _pretrain(making, settings, tokenizer, token_shards, origin, trail)
    except NonFinite as error:
        if not trail.sizes():
            raise
        # Its words and its step hang on when weights were looked at, which decides nothing.
        fault = f"the training diverged after step {max(trail.sizes())}"
        log.warning("%s: %s", making.key, error)
    looks = _looks(settings.training, token_shards)
    about = {"tokenizer": tokenizer.version, "looks": looks}
    trail.write(about, looks=bool(looks), fault=fault)


def take(making: Making, settings: Pretrained, states: KeptStates) -> None:
    """The weights at the end of a training that kept its states."""
    if fault := states.trail()["fault"]:
        raise ValueError(
            f"{fault}; to go on with other rates from a state before that, write training.from:"
            f" {{asset: {states.key}, step: {states.steps()[-1]}}} into a recipe of another name"
        )
    for name in (*RESULT, DRAWS):
        (making.folder / name).write_bytes(states.read(name))
    write_index(making.folder, [states.table(DRAWS).index])
    if states.beside and (curve := states.beside.read(CURVE)):
        making.beside[CURVE] = curve
    making.made["kept_every"] = settings.training.keep and settings.training.keep.every


def _pretrain(
    making: Making,
    settings: Pretrained,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    origin: dict[str, KeptStates],
    trail: Trail | None,
) -> None:
    training, seed = settings.training, settings.seed
    encoder = tokenizer.load()
    config = settings.model.config(encoder.vocab_size)
    architecture = find(settings.model.architecture)
    options = {"config": config, "end_of_text": encoder.end_of_text}
    read = reading(settings, tokenizer, token_shards)
    batches = read.batches
    steps = training.steps_for(config.context_length)
    batches.mixture.require(steps)  # fails before training if the limits allow fewer
    held_out = token_shards.stream("validation", encoder.end_of_text)
    windows = training.look(HELD_OUT_BATCH, config.context_length)
    token_shards.stream("test", encoder.end_of_text)  # fails before training if it is unusable
    start = _origin(settings, origin, tokenizer, token_shards)
    drawn = partial(_drawn, batches, start)
    if trail is not None:
        trail.drawn, trail.draws = drawn, partial(draws_of, read, start)
    network = build(architecture.name, config, seed)
    shows = architecture.objective == "next_token"
    history = fit(
        making,
        network,
        architecture.objective,
        batches,
        lambda: held_out_batches(architecture.objective, held_out, **options, windows=windows),
        training,
        steps=steps,
        seed=seed,
        samples=partial(making.showing, network, encoder) if shows and making.showing else None,
        reading=read,
        origin=start,
        trail=trail,
    )
    about = {
        "architecture": architecture.name,
        "network": asdict(config),
        "tokenizer": {"version": tokenizer.version},
    }
    making.write("drawn.json", drawn(history.steps))
    write_checkpoint(making, network, history, about)


def reading(
    settings: Pretrained, tokenizer: TokenizerFiles, token_shards: TokenShards, **_: Any
) -> Reading[Windows | Packed | Masked]:
    """The batches of the training and the documents behind them."""
    encoder = tokenizer.load()
    batches = training_batches(
        find(settings.model.architecture).objective,
        token_shards.streams("train"),
        settings.weights,
        settings.training,
        config=settings.model.config(encoder.vocab_size),
        end_of_text=encoder.end_of_text,
        seed=settings.seed,
        epochs=settings.epochs,
    )
    return Reading(Texts.of(token_shards), batches)


def _origin(
    settings: Pretrained,
    origin: dict[str, KeptStates],
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
) -> Origin | None:
    """The state that a branch begins with; None for a training from scratch."""
    branch = settings.training.branch
    if branch is None:
        return None
    states = origin["states"]
    if not isinstance(states, KeptStates):
        raise ValueError(f"training.from.asset: {branch.asset} has no states; name a trail")
    trail, looks = states.trail(), _looks(settings.training, token_shards)
    if trail["tokenizer"] != tokenizer.version:
        raise ValueError(
            f"training.from.asset: {branch.asset} was trained with another tokenizer; use its"
            " corpora and its tokenizer"
        )
    return origin_in(states, branch.step, looks=bool(looks) and trail["looks"] == looks)


def _looks(training: Pretraining, token_shards: TokenShards) -> dict[str, Any]:
    """What validations read if they choose the weights; only equal ones give losses to compare."""
    if not training.keep_best:
        return {}
    names = {"validate_every", "validation_batches"}
    return {"token_shards": token_shards.version, **training.model_dump(include=names)}


def _drawn(batches: Windows | Packed | Masked, origin: Origin | None, steps: int) -> Drawn:
    """What the weights after so many steps have read of each corpus.

    Of a branch, the steps before its first one were read by another training.
    """
    own = batches.drawn(steps)
    if origin is None:
        return own
    if steps <= origin.state.step:  # a validation before the branch chose the weights
        return origin.best_drawn
    before, told = batches.drawn(origin.state.step), {}
    for corpus in [*own, *(name for name in origin.drawn if name not in own)]:
        here, less, more = (of.get(corpus, {}) for of in (own, before, origin.drawn))
        # The difference first: it is exactly 0 if this training would have read the same.
        told[corpus] = {
            name: here.get(name, 0) + (more.get(name, 0) - less.get(name, 0))
            for name in ("windows", "tokens", "epochs")
        }
    return told
