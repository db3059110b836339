"""The training loop: one for pretraining and fine-tuning, for every architecture and objective.

It trains and yields events; the caller measures time, writes files and reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.architectures.network import Network
from model.batches.batching import Batch, key_of
from model.batches.rows import RowId
from model.evaluation import autocast, mean_loss
from model.training.distributed import ALONE, Group
from model.training.objectives import Objective
from model.training.optim import Optimizer
from model.training.precision import Precision
from model.training.state import copy_exactly, frozen_digest, unfrozen

Snapshots = Callable[[nn.Module, Optimizer, int, Group], "State"]


@dataclass(frozen=True)
class Step:
    """The event after update number ``step``, counted from 1.

    ``loss``: the mean in nats over the batch, before the update. ``gradient_norm``: before
    clipping. ``learning_rate``: the schedule's factor. ``tokens``: how many tokens the step read,
    with padding.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int


@dataclass(frozen=True)
class Validated:
    """The validation loss in nats after ``step`` updates."""

    step: int
    loss: float


@dataclass(frozen=True)
class State:
    """All that a resumed training needs, besides the arguments of ``train``.

    ``tensors`` are named ``network.*`` and ``optimizer.*``; the frozen weights are not among them,
    and ``frozen`` is their digest. There is no data position and no random state: batches and
    dropout are pure functions of the step.
    """

    step: int
    tensors: dict[str, Tensor]
    frozen: str = ""


@dataclass(frozen=True)
class Saved:
    """The event with a snapshot for a checkpoint."""

    step: int
    state: State


class NonFinite(ValueError):  # noqa: N818 - the name says what is wrong
    """A loss, gradient or weight is not finite. In the first two cases no update was made."""

    def __init__(self, step: int, what: str, value: float, ids: Sequence[RowId]) -> None:
        self.step, self.ids = step, ids
        shown = ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        super().__init__(
            f"step={step} {what}={value} on batch [{shown}]: "
            "check these rows, or lower the learning rate"
        )


def train(
    network: Network,
    objective: Objective,
    batches: Callable[[int], Batch],
    optimizer: Optimizer,
    *,
    steps: int,
    accumulate: int = 1,
    schedule: Callable[[int], float] = lambda _: 1.0,
    clip: float | None = 1.0,
    precision: Precision = "fp32",
    seed: int = 0,
    validate_every: int | None = None,
    validation: Callable[[], Iterable[Batch]] | None = None,
    checkpoint_every: int | Callable[[int], bool] | None = None,
    snapshots: Snapshots | None = None,
    until: int | None = None,
    state: State | None = None,
    group: Group = ALONE,
) -> Iterator[Step | Validated | Saved]:
    """Trains the network in place up to ``steps`` updates, from ``state`` if there is one.

    ``batches`` and ``schedule`` are called with steps from 0. ``accumulate`` cuts each batch into
    so many parts, which the network reads one after the other, for less memory; the update is that
    of the whole batch, but for rounding and dropout. ``clip`` bounds the norm of all gradients
    together. The loss over ``validation()`` is computed every ``validate_every`` steps
    and at the end. ``seed`` decides the dropout. ``checkpoint_every`` is a number of steps, or says
    of each step whether its state is wanted; ``snapshots`` takes the place of ``snapshot``.
    ``until`` pauses the run after so many updates; the last event is then a ``Saved``. A run that
    resumes from any ``Saved.state``, on the same machine with as many threads and processes, ends
    bit for bit like the uninterrupted run. Raises NonFinite.

    The processes of a ``group`` each call this with equal arguments and with what ``group.spread``
    made of the network. They yield equal events, but only rank 0 has the tensors of a ``Saved``.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision={precision!r} is unknown: use fp32 or bf16")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip} must be positive, or null for none")
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate} must be 1 or more")
    start = 0
    if state is not None:
        restore(network, optimizer, state, group)
        start = state.step
        del state  # restore copied it: free the memory
    if start > steps:
        raise ValueError(f"step={start} of the state is past steps={steps}: raise steps")
    network.train()
    through = group.through(network)
    for index in range(start, steps if until is None else min(steps, until)):
        factor = schedule(index)
        optimizer.set_scale(factor)
        batch = batches(index)
        network.check(batch)
        loss = _backward(through, objective, batch, accumulate, index, precision, seed, group)
        nats, norm = _update(network, loss, optimizer, clip, index, batch.ids, group)
        done = index + 1
        yield Step(done, nats, norm, factor, batch.tokens.numel())
        is_last, is_wanted = done == steps, _due(done, checkpoint_every) or done == until
        is_look = validation is not None and (is_last or _due(done, validate_every))
        if is_wanted or is_look or is_last:
            _require_finite(network, done, batch, group)
        if validation is not None and is_look:
            nats = mean_loss(network, objective, validation(), precision, group).nats
            yield Validated(done, nats)
        if is_wanted:
            yield Saved(done, (snapshots or snapshot)(network, optimizer, done, group))


def _backward(
    network: nn.Module,
    objective: Objective,
    batch: Batch,
    parts: int,
    index: int,
    precision: Precision,
    seed: int,
    group: Group,
) -> Tensor:
    """Adds the gradients of the batch's mean loss, part by part; returns that loss, detached."""
    # All rows may lie in forgotten documents: then nothing is asked, and the loss is 0.
    device, count = next(network.parameters()).device, max(1, batch.counted)
    total = torch.zeros((), dtype=torch.float64, device=device)
    cut = batch.split(parts)
    for number, part in enumerate(cut):
        place = [number, group.rank] if group.rank else [number] if number else []
        key, is_last = key_of("dropout", seed, index, *place), number == len(cut) - 1
        with nullcontext() if is_last else group.apart(network):
            with _randomness(device, key), autocast(device, precision):
                nats = objective(network, group.share(part).to(device))
            # torch divides the sum of the processes' gradients by their number.
            (nats / (count / group.world)).backward()
        total += nats.detach()
    return group.total(total) / count


def _update(
    network: nn.Module,
    loss: Tensor,
    optimizer: Optimizer,
    clip: float | None,
    index: int,
    ids: Sequence[RowId],
    group: Group,
) -> tuple[float, float]:
    """Makes one update from the gradients; returns the loss and the gradient norm."""
    trained = [p for p in network.parameters() if p.grad is not None]
    norm = group.norm([p.grad for p in trained if p.grad is not None])
    nats, size = torch.stack([loss, norm.double()]).tolist()  # waits for an accelerator
    for what, value in (("loss", nats), ("gradient_norm", size)):
        if not math.isfinite(value):
            optimizer.zero_grad()
            raise NonFinite(index + 1, what, value, ids)
    if clip is not None and size > clip:  # else a pass over all gradients would multiply by 1
        torch.nn.utils.clip_grads_with_norm_(trained, clip, norm)
    optimizer.step()
    optimizer.zero_grad()
    return nats, size


def _require_finite(network: nn.Module, step: int, batch: Batch, group: Group) -> None:
    """Checks what learns: a loss shows a broken update one step too late for a checkpoint."""
    tensors = unfrozen(network)
    broken = [(~group.local(tensor).isfinite()).sum() for tensor in tensors.values()]
    for name, count in zip(tensors, group.total(torch.stack(broken)).tolist(), strict=True):
        if count:
            raise NonFinite(step, f"weights {name}", math.nan, batch.ids)


def snapshot(
    network: nn.Module,
    optimizer: Optimizer,
    step: int,
    group: Group = ALONE,
    buffers: dict[str, Tensor] | None = None,
    frozen: str | None = None,
) -> State:
    """A copy of the state, which does not change as training continues.

    It has whole tensors, however many processes there are; only rank 0 has them. With ``buffers``
    the copies are in the memory of the CPU, in tensors that the next call uses again. ``frozen`` is
    the digest of the frozen weights, if the caller has it.
    """
    digest = frozen_digest(network, group.whole) if frozen is None else frozen
    tensors: dict[str, Tensor] = {} if buffers is None else buffers
    on_gpu = False
    for name, live in _live(network, optimizer).items():
        tensor = group.whole(live)  # all processes ask together
        if group.rank:
            continue
        on_gpu |= tensor.device.type == "cuda"
        if buffers is None:
            tensors[name] = tensor.clone()
            continue
        if name not in buffers:
            pinned = tensor.device.type == "cuda"
            buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
        buffers[name].copy_(tensor, non_blocking=True)
    if on_gpu:
        torch.cuda.synchronize()
    return State(step, dict(tensors), digest)


def restore(network: nn.Module, optimizer: Optimizer, state: State, group: Group = ALONE) -> None:
    """Restores a snapshot, of however many processes.

    Raises ValueError for missing, extra or misshaped tensors, and for other frozen weights.
    """
    if state.frozen != frozen_digest(network, group.whole):
        raise ValueError(
            f"step={state.step}: the state was saved beside other frozen weights; use those, or"
            " start anew"
        )
    copy_exactly(_live(network, optimizer), state.tensors, "training", group.part)


def _live(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """What training changes, by its name in a state: the live tensors, no copies."""
    live = {f"network.{name}": t for name, t in unfrozen(network).items()}
    return live | {f"optimizer.{name}": t for name, t in optimizer.tensors().items()}


def _due(step: int, every: int | Callable[[int], bool] | None) -> bool:
    return every(step) if callable(every) else every is not None and step % every == 0


@contextmanager
def _randomness(device: torch.device, key: int) -> Iterator[None]:
    """Dropout drawn from ``key`` alone; restores the process's own generator afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key)
        yield
