"""Runs the training loop for an asset: checkpoints to the work area, curves to the tracker.

The loop itself (``model/training/loop.py``) uses no files and no clock; this module uses both.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.core import processor

processor.prepare()  # for callers that import this without an asset

import torch  # noqa: E402

from model.batches.examples import Examples  # noqa: E402
from model.training.distributed import ALONE, Group, group_of  # noqa: E402
from model.training.loop import (  # noqa: E402
    NonFinite,
    Saved,
    Step,
    Validated,
    train,
)
from model.training.objectives import OBJECTIVES  # noqa: E402
from model.training.optim import Optimizer, learning_rate_factor  # noqa: E402
from model.training.precision import Precision, fastest_precision  # noqa: E402
from model.training.prefix import Begun, BegunLooks, pays  # noqa: E402
from model.training.state import weights  # noqa: E402
from pipelines.core.identity import library_versions  # noqa: E402
from pipelines.core.progress import Progress  # noqa: E402
from pipelines.core.tracking.live import SAMPLE, SAVED  # noqa: E402
from pipelines.tokens.draws import digests_in  # noqa: E402
from pipelines.training.certificate import commit  # noqa: E402
from pipelines.training.checkpoint import device  # noqa: E402
from pipelines.training.history import History  # noqa: E402
from pipelines.training.machine import peak_flops  # noqa: E402
from pipelines.training.methods import Lora  # noqa: E402
from pipelines.training.options import FineTuning, Training  # noqa: E402
from pipelines.training.precision import precision_of  # noqa: E402
from pipelines.training.receipts import Reading, Receipt, never, write_receipt  # noqa: E402
from pipelines.training.resuming import tell_resumed  # noqa: E402
from pipelines.training.speed import Speed  # noqa: E402
from pipelines.training.states import States  # noqa: E402
from pipelines.training.trail import Origin, Trail, draws_of  # noqa: E402
from pipelines.training.turn import one_at_a_time  # noqa: E402

if TYPE_CHECKING:
    from model.architectures.network import Network
    from model.batches.batching import Batch
    from pipelines.core.making import Making

log = logging.getLogger("dragon.training")

LIBRARIES = ("safetensors", "torch")


class Paused(Exception):  # noqa: N818 - nothing is wrong
    """A training stopped where its making asked for it; its checkpoint is in the work area."""

    def __init__(self, history: History, parameters: int) -> None:
        super().__init__("paused")
        self.history, self.parameters = history, parameters


class Batches(Protocol):
    """Batches as a pure function of the step."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""


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
    samples: Callable[[], Iterable[str]] | None = None,
    reading: Reading[Any] | None = None,
    origin: Origin | None = None,
    trail: Trail | None = None,
) -> History:
    """Trains ``network`` in place, from the newest checkpoint of this derivation if there is one.

    Without one it begins at ``origin``, or anew. ``trail`` keeps states on the way. With
    ``reading``, which knows the documents behind ``batches``, it writes the receipt of what was
    read, and the draws. ``samples`` writes texts of the network after a validation, for who
    watches. With ``keep_best`` it has the weights of the lowest validation loss afterwards. If this
    process belongs to a group (``launching``), all of it train the one network, and rank 0 saves
    the states.

    Raises ValueError for bad data or a diverged run, OSError for a state that cannot be saved,
    CorruptArtefact for a changed checkpoint, and Paused after the step ``making.until``, if that
    comes before the last.
    """
    group = group_of(training.sharding)
    # Whoever starts a group has taken the turn for it.
    with one_at_a_time(making) if group is ALONE else contextlib.nullcontext():
        network.to(device())
        trained = group.spread(network)
        precision, planned = precision_of(training), None
        if reading is not None:
            planned = draws_of(reading, origin, steps)
            if not group.rank:
                commit(making, digests_in(planned))
        optimizer = optimizer_of(trained, training, precision, group)
        surroundings = environment(precision, group)
        receipt = Receipt(reading.sources if reading else None, trail.wants if trail else never)
        with States(making, training, trained, steps, trail, receipt, group) as states:
            states.require_room(optimizer, best=training.keep_best)
            state = states.resume(surroundings, origin)
            tell_resumed(making, states.history)
            making.made.update(surroundings, **processor.waiting(), legs=states.history.legs)
            speed = Speed(network, objective, device(), partial(_peak, making, precision, group))
            batch, validation = _begun(
                making.key, trained, batches, validation, precision, steps, group
            )
            events = train(
                trained,
                OBJECTIVES[objective],
                speed.reading(receipt.reading(batch)),
                optimizer,
                steps=steps,
                accumulate=training.accumulate,
                schedule=schedule_of(training, steps),
                clip=training.clip,
                precision=precision,
                seed=seed,
                validate_every=training.validate_every,
                validation=validation,
                checkpoint_every=states.due,
                snapshots=states.take,
                until=making.until,
                state=state,
                group=group,
            )
            del state  # the loop has copied it: free the memory
            _follow(making, speed.timed(events), states, training, steps, speed, samples)
        group.collect(trained, network)
        if making.until is not None and making.until < steps:
            parameters = sum(tensor.numel() for tensor in weights(network).values())
            raise Paused(states.history, parameters)
        if reading is not None:
            read = states.history.steps
            draws = planned if read == steps else draws_of(reading, origin, read)
            write_receipt(making, receipt, draws)
        return states.history


def _begun(
    key: str,
    network: Network,
    batches: Batches,
    validation: Callable[[], Iterable[Batch]] | None,
    precision: Precision,
    steps: int,
    group: Group,
) -> tuple[Callable[[int], Batch], Callable[[], Iterable[Batch]] | None]:
    """The batches of training and validation; where it is exact and pays, what the frozen blocks
    make of them is kept, before the first step: its progress is told with the asset's ``key``."""
    if group is not ALONE or not pays(network, batches, steps):
        return batches.batch, validation
    assert isinstance(batches, Examples)
    looks = None if validation is None else BegunLooks(network, validation)
    begun, progress = Begun(network, batches, precision), Progress(key, batches.count, "tokens")
    begun.fill(partial(progress.update, note="through the frozen blocks, once"))
    return begun.batch, looks


def _follow(
    making: Making,
    events: Iterator[Step | Validated | Saved],
    states: States,
    training: Training,
    steps: int,
    speed: Speed,
    samples: Callable[[], Iterable[str]] | None,
) -> None:
    """Runs the loop: its losses go to the tracker and the curve, its states to the work area."""
    history = states.history
    progress = Progress(making.key, steps, "tokens", start=history.last)
    for event in events:
        if isinstance(event, Step):
            states.add("train", event.step, event.loss)
            making.curve(event.step, _step_values(event, speed))
            progress.update(event.step, rate=speed.recent, note=f"loss {event.loss:.3f}")
        elif isinstance(event, Validated):
            _require_finite(event)
            states.add("validation", event.step, event.loss)
            making.curve(event.step, {"validation_loss": event.loss})
            _show(making, event.step, samples)
            if training.keep_best and history.since_best() == 0:
                states.hold_best()
            if training.patience and history.since_best() >= training.patience:
                log.info("%s: ends at step %d: %s", making.key, event.step, _lowest(history))
                break
        else:
            states.save(event.state)
            making.event(event.step, SAVED)
        del event  # frees a state's memory before the next step
    if training.keep_best:
        states.give_best()
        log.info("%s: has the weights of step %d: %s", making.key, history.steps, _lowest(history))
    making.made.update(speed.facts())
    making.made["training_seconds"] = round(progress.seconds, 1)


def _peak(making: Making, precision: Precision, group: Group) -> float:
    """Floating-point operations a second of all processes; 0 in those that tell no speed."""
    return 0.0 if group.rank else group.world * peak_flops(making.project.home, device(), precision)


def _lowest(history: History) -> str:
    step, loss = history.best()
    return f"the validation loss was lowest at step {step}, {loss:.4f}"


def _require_finite(event: Validated) -> None:
    if not math.isfinite(event.loss):
        raise NonFinite(event.step, "validation_loss", event.loss, ("the validation split",))


def environment(precision: Precision, group: Group = ALONE) -> dict[str, Any]:
    """What surrounds the run and may change the last bits of its result."""
    return {
        "device": str(device()),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "processes": group.world,
        **processor.abilities(),
        **library_versions(LIBRARIES, exact=True),
    }


def optimizer_of(
    network: Network, training: Training, precision: Precision, group: Group = ALONE
) -> Optimizer:
    """The optimizer that a training names. Raises ValueError if its rates are not resolved."""
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
        adapter_learning_rate=_adapter_rate(training),
        weight_decay=choice.weight_decay,
        betas=(choice.beta1, choice.beta2),
        momentum=choice.momentum,
        # Emulated, bf16 would be slower.
        products=torch.bfloat16
        if precision == fastest_precision(device()) == "bf16"
        else torch.float32,
        group=group,
    )


def _adapter_rate(training: Training) -> float | None:
    """The rate of the thin matrices; None where there are none."""
    method = training.method if isinstance(training, FineTuning) else None
    return method.learning_rate if isinstance(method, Lora) else None


def schedule_of(training: Training, steps: int) -> Callable[[int], float]:
    """The factor of the learning rates at each of ``steps`` steps, counted from 0."""
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


def _show(making: Making, step: int, samples: Callable[[], Iterable[str]] | None) -> None:
    """Tells samples of the network; neither they nor a fault of theirs change the training."""
    if samples is None:
        return
    with torch.random.fork_rng(devices=[device()] if device().type == "cuda" else []):
        try:
            for text in samples():
                making.event(step, SAMPLE, text)
        except (ValueError, RuntimeError) as error:
            log.warning("%s: no samples at step %d: %s", making.key, step, error)


def _step_values(event: Step, speed: Speed) -> dict[str, float]:
    values = {
        "training_loss": event.loss,
        "gradient_norm": event.gradient_norm,
        "learning_rate_factor": event.learning_rate,
        "tokens_per_second": speed.recent,
    }
    utilisation = speed.utilisation(speed.recent)
    return values if utilisation is None else {**values, "utilisation": utilisation}
