"""Runs the training loop for an asset: checkpoints to the work area, curves to the tracker.

The loop itself (``model/training/loop.py``) uses no files and no clock; this module uses both.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.core import processor

processor.prepare()  # for callers that import this without an asset

import torch  # noqa: E402
from safetensors.torch import load, save  # noqa: E402

from model.training.distributed import ALONE, Group, group_of  # noqa: E402
from model.training.loop import (  # noqa: E402
    Precision,
    Saved,
    State,
    Step,
    Validated,
    fastest_precision,
    train,
)
from model.training.objectives import OBJECTIVES  # noqa: E402
from model.training.optim import Optimizer, learning_rate_factor  # noqa: E402
from pipelines.core.identity import canonical, library_versions  # noqa: E402
from pipelines.core.progress import Progress  # noqa: E402
from pipelines.training.checkpoint import History, device  # noqa: E402
from pipelines.training.turn import one_at_a_time  # noqa: E402

if TYPE_CHECKING:
    from model.architectures.network import Network
    from model.batches.batching import Batch
    from pipelines.core.making import Making
    from pipelines.training.options import Training

log = logging.getLogger("dragon.training")

LIBRARIES = ("safetensors", "torch")


class Batches(Protocol):
    """Batches as a pure function of the step."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""


def precision_of(training: Training) -> Precision:
    """The precision of the recipe; for ``auto`` the fastest on this machine."""
    return fastest_precision(device()) if training.precision == "auto" else training.precision


def fit(
    making: Making,
    network: Network,
    objective: str,
    batches: Batches,
    validation: Callable[[], Iterable[Batch]] | None,
    training: Training,
    *,
    steps: int,
    seed: int,
) -> History:
    """Trains ``network`` in place, from the newest checkpoint of this derivation if there is one.

    If this process belongs to a group (``launching``), all of it train the one network, and rank 0
    writes the checkpoints. Raises ValueError for bad data or a diverged run, and CorruptArtefact
    for a changed checkpoint.
    """
    group = group_of(training.sharding)
    # Whoever starts a group has taken the turn for it.
    with one_at_a_time(making) if group is ALONE else contextlib.nullcontext():
        network.to(device())
        trained = group.spread(network)
        precision = precision_of(training)
        environment = {
            "device": str(device()),
            "threads": torch.get_num_threads(),
            "precision": precision,
            "processes": group.world,
            **processor.abilities(),
            **library_versions(LIBRARIES, exact=True),
        }
        optimizer = _optimizer(trained, training, group)
        state, history = _resume(making, environment)
        making.made.update(environment, legs=history.legs)
        progress = Progress(making.key, steps, "tokens", start=state.step if state else 0)
        tokens = 0
        events = train(
            trained,
            OBJECTIVES[objective],
            batches.batch,
            optimizer,
            steps=steps,
            accumulate=training.accumulate,
            schedule=_schedule(training, steps),
            clip=training.clip,
            precision=precision,
            seed=seed,
            validate_every=training.validate_every,
            validation=validation,
            checkpoint_every=training.checkpoint_every,
            state=state,
            group=group,
        )
        del state  # the loop has copied it: free the memory
        for event in events:
            if isinstance(event, Step):
                tokens += event.tokens
                history.train.append((event.step, event.loss))
                making.curve(event.step, _step_values(event, tokens, progress))
                progress.update(event.step, tokens, note=f"loss {event.loss:.3f}")
            elif isinstance(event, Validated):
                if not math.isfinite(event.loss):
                    raise ValueError(
                        f"step={event.step} validation_loss={event.loss}: lower the learning rates"
                    )
                history.validation.append((event.step, event.loss))
                making.curve(event.step, {"validation_loss": event.loss})
            elif isinstance(event, Saved) and event.step < steps and group.rank == 0:
                _checkpoint(making, event.state, history)
            del event  # frees a checkpoint's memory before the next step
        group.collect(trained, network)
        making.made["tokens_per_second"] = round(tokens / max(progress.seconds, 1e-9))
        making.made["training_seconds"] = round(progress.seconds, 1)
        return history


def _optimizer(network: Network, training: Training, group: Group = ALONE) -> Optimizer:
    choice = training.optimizer
    if choice.head_learning_rate is None:
        raise ValueError("the learning rates are not resolved: read the training out of a recipe")
    return Optimizer(
        network,
        choice.kind,
        learning_rate=choice.head_learning_rate,
        matrix_learning_rate=choice.matrix_learning_rate,
        embedding_learning_rate=choice.embedding_learning_rate,
        head_learning_rate=choice.head_learning_rate,
        weight_decay=choice.weight_decay,
        betas=(choice.beta1, choice.beta2),
        momentum=choice.momentum,
        group=group,
    )


def _schedule(training: Training, steps: int) -> Callable[[int], float]:
    choice = training.schedule
    warmup = min(choice.warmup_steps, steps)
    decay = 0 if choice.decay == "none" else min(round(choice.decay_share * steps), steps - warmup)
    return partial(
        learning_rate_factor,
        steps=steps,
        warmup=warmup,
        decay=decay,
        floor=choice.floor,
        shape="cosine" if choice.decay == "cosine" else "linear",
    )


def _step_values(event: Step, tokens: int, progress: Progress) -> dict[str, float]:
    return {
        "training_loss": event.loss,
        "gradient_norm": event.gradient_norm,
        "learning_rate_factor": event.learning_rate,
        "tokens_per_second": tokens / max(progress.seconds, 1e-9),
    }


def _checkpoint(making: Making, state: State, history: History) -> None:
    if making.work is None:
        return
    notes = {
        "step": state.step,
        "train": history.train,
        "validation": history.validation,
        "legs": history.legs,
        "key": making.key,
        "decides": making.decides,
    }
    tensors = {name: t.cpu().contiguous() for name, t in state.tensors.items()}
    making.work.save_checkpoint(state.step, save(tensors), notes)


def _resume(making: Making, environment: dict[str, Any]) -> tuple[State | None, History]:
    """The newest checkpoint's state and curves; writes the curves to the tracker again."""
    checkpoint = making.work.load_checkpoint() if making.work else None
    if checkpoint is None:
        _warn_of_differences(making)
        return None, History(legs=[{"step": 0, **environment}])
    content, notes = checkpoint
    history = History(
        [(s, v) for s, v in notes["train"]],
        [(s, v) for s, v in notes["validation"]],
        [*notes["legs"], {"step": notes["step"], **environment}],
    )
    log.info("%s: goes on from the checkpoint at step %d", making.key, notes["step"])
    for name in sorted({name for leg in history.legs for name in leg} - {"step"}):
        value = environment.get(name)
        before = {leg.get(name) for leg in history.legs[:-1]} - {value}
        if before:
            log.warning(
                "%s: began with %s=%s, goes on with %s; the result is not that of an"
                " uninterrupted run",
                making.key,
                name,
                ", ".join(map(str, before)),
                value,
            )
    for step, loss in history.train:
        making.curve(step, {"training_loss": loss})
    for step, loss in history.validation:
        making.curve(step, {"validation_loss": loss})
    return State(notes["step"], load(content)), history


def _warn_of_differences(making: Making) -> None:
    """Warns why an interrupted training cannot resume: its derivation has changed since."""
    for notes in making.work.abandoned() if making.work else ():
        then = notes.get("decides", {})
        if notes.get("key") == making.key:
            log.warning(
                "%s: begins anew; an unfinished training of it at step %s differs in %s",
                making.key,
                notes["step"],
                ", ".join(_differences(then, making.decides)),
            )


def _differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the leaves in which two JSON values differ."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            below = f"{path}.{name}" if path else name
            yield from _differences(then.get(name), now.get(name), below)
    elif canonical(then) != canonical(now):
        yield path
