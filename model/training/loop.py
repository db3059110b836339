"""The training loop: one for pretraining and fine-tuning, for every architecture and objective.

It trains and yields events; the caller measures time, writes files and reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model.architectures.network import Network
from model.batches.batching import Batch, key_of
from model.evaluation import mean_loss
from model.training.objectives import Objective
from model.training.optim import Optimizer
from model.training.state import copy_exactly, frozen_digest, unfrozen, weights

Precision = Literal["fp32", "bf16"]


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

    def __init__(self, step: int, what: str, value: float, ids: Sequence[str]) -> None:
        self.step, self.ids = step, ids
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
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
    snapshots: Callable[[nn.Module, Optimizer, int], State] | None = None,
    state: State | None = None,
) -> Iterator[Step | Validated | Saved]:
    """Trains the network in place up to ``steps`` updates, from ``state`` if there is one.

    ``batches`` and ``schedule`` are called with steps from 0. ``accumulate`` cuts each batch into
    so many parts, which the network reads one after the other, for less memory; the update is that
    of the whole batch, but for rounding and dropout. ``clip`` bounds the norm of all gradients
    together. The loss over ``validation()`` is computed every ``validate_every`` steps
    and at the end. ``seed`` decides the dropout. ``checkpoint_every`` is a number of steps, or says
    of each step whether its state is wanted; ``snapshots`` takes the place of ``snapshot``. A run
    that resumes from any ``Saved.state``, on the same machine with as many threads, ends bit for
    bit like the uninterrupted run. Raises NonFinite.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision={precision!r} is unknown: use fp32 or bf16")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip} must be positive, or null for none")
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate} must be 1 or more")
    start = 0
    if state is not None:
        restore(network, optimizer, state)
        start = state.step
        del state  # restore copied it: free the memory
    if start > steps:
        raise ValueError(f"step={start} of the state is past steps={steps}: raise steps")
    network.train()
    for index in range(start, steps):
        factor = schedule(index)
        optimizer.set_scale(factor)
        batch = batches(index)
        network.check(batch)
        loss = _backward(network, objective, batch, accumulate, index, precision, seed)
        nats, norm = _update(network, loss, optimizer, clip, index, batch.ids)
        done = index + 1
        yield Step(done, nats, norm, factor, batch.tokens.numel())
        is_last, is_wanted = done == steps, _due(done, checkpoint_every)
        is_look = validation is not None and (is_last or _due(done, validate_every))
        if is_wanted or is_look or is_last:
            _require_finite(network, done, batch)
        if validation is not None and is_look:
            yield Validated(done, mean_loss(network, objective, validation()).nats)
        if is_wanted:
            yield Saved(done, (snapshots or snapshot)(network, optimizer, done))


def _backward(
    network: nn.Module,
    objective: Objective,
    batch: Batch,
    parts: int,
    index: int,
    precision: Precision,
    seed: int,
) -> Tensor:
    """Adds the gradients of the batch's mean loss, part by part; returns that loss, detached."""
    device, count = next(network.parameters()).device, batch.counted
    total = torch.zeros((), dtype=torch.float64, device=device)
    for number, part in enumerate(batch.split(parts)):
        key = key_of("dropout", seed, index, *([number] if number else []))
        with _randomness(device, key), _autocast(device, precision):
            nats = objective(network, part.to(device))
        (nats / count).backward()
        total += nats.detach()
    return total / count


def _update(
    network: nn.Module,
    loss: Tensor,
    optimizer: Optimizer,
    clip: float | None,
    index: int,
    ids: Sequence[str],
) -> tuple[float, float]:
    """Makes one update from the gradients; returns the loss and the gradient norm."""
    trained = [p for p in network.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
    nats, size = torch.stack([loss, norm.double()]).tolist()  # the one wait
    for what, value in (("loss", nats), ("gradient_norm", size)):
        if not math.isfinite(value):
            optimizer.zero_grad()
            raise NonFinite(index + 1, what, value, ids)
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(trained, clip, norm)
    optimizer.step()
    optimizer.zero_grad()
    return nats, size


def _require_finite(network: nn.Module, step: int, batch: Batch) -> None:
    """Checks the weights: a loss shows a broken update one step too late for a checkpoint."""
    for name, tensor in weights(network).items():
        if not tensor.isfinite().all():
            raise NonFinite(step, f"weights {name}", math.nan, batch.ids)


def snapshot(
    network: nn.Module,
    optimizer: Optimizer,
    step: int,
    buffers: dict[str, Tensor] | None = None,
    frozen: str | None = None,
) -> State:
    """A copy of the state, which does not change as training continues.

    With ``buffers`` the copies are in the memory of the CPU, in tensors that the next call uses
    again. ``frozen`` is the digest of the frozen weights, if the caller has it.
    """
    live = _live(network, optimizer)
    digest = frozen_digest(network) if frozen is None else frozen
    if buffers is None:
        return State(step, {name: t.detach().clone() for name, t in live.items()}, digest)
    for name, tensor in live.items():
        if name not in buffers:
            pinned = tensor.device.type == "cuda"
            buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
        buffers[name].copy_(tensor.detach(), non_blocking=True)
    if any(tensor.device.type == "cuda" for tensor in live.values()):
        torch.cuda.synchronize()
    return State(step, dict(buffers), digest)


def restore(network: nn.Module, optimizer: Optimizer, state: State) -> None:
    """Restores a snapshot.

    Raises ValueError for missing, extra or misshaped tensors, and for other frozen weights.
    """
    if state.frozen != frozen_digest(network):
        raise ValueError(
            f"step={state.step}: the state was saved beside other frozen weights; use those, or"
            " start anew"
        )
    copy_exactly(_live(network, optimizer), state.tensors, "training")


def _live(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """What training changes, by its name in a state: the live tensors, no copies."""
    live = {f"network.{name}": t for name, t in unfrozen(network).items()}
    return live | {f"optimizer.{name}": t for name, t in optimizer.tensors().items()}


def fastest_precision(device: torch.device | str = "cpu") -> Precision:
    """bf16 where the hardware multiplies it; else fp32, since emulated bf16 is far slower."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
    return "fp32"


def _due(step: int, every: int | Callable[[int], bool] | None) -> bool:
    return every(step) if callable(every) else every is not None and step % every == 0


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def _randomness(device: torch.device, key: int) -> Iterator[None]:
    """Dropout drawn from ``key`` alone; restores the process's own generator afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key)
        yield
