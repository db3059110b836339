"""The states of a running training: when they are saved, and how, so that the run can go on.

A state is copied into buffers that are kept; a thread hashes and writes it while training goes on.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from model.training.distributed import ALONE, Group
from model.training.loop import NonFinite, State, snapshot
from model.training.state import content, frozen_digest, unfrozen
from pipelines.training.history import CurveFile, History, Kind, lines_up_to
from pipelines.training.receipts import Receipt
from pipelines.training.trail import BEST, Origin, Trail

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.training.optim import Optimizer
    from pipelines.core.making import Making
    from pipelines.core.work import Work
    from pipelines.training.options import Training

log = logging.getLogger("dragon.training")

KINDS: tuple[Kind, ...] = ("train", "validation")
PIECE = 4 << 20  # bytes that are hashed and written at once
# The names of types in a safetensors file.
TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_state(work: Work, state: State, notes: Mapping[str, Any]) -> None:
    """Save a state as the newest checkpoint of a work area.

    ``state.tensors`` are whole and in the CPU's memory. Raises OSError; then the older one stays.
    """
    told = {**notes, "step": state.step, "frozen": state.frozen}
    work.save_checkpoint(state.step, pieces(state.tensors), told)


def pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """A safetensors file, piece by piece: equal tensors give equal bytes, without a copy of them.

    The format: the length of a JSON header, the header, and the bytes of the tensors end to end.
    """
    # Wide types first: so every tensor begins at a multiple of its width.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {}, 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    yield len(head).to_bytes(8, "little") + head
    for name in names:
        whole = content(tensors[name])
        for begin in range(0, len(whole), PIECE):
            yield whole[begin : begin + PIECE]


class Cadence:
    """Says when a state is due: after so many minutes, after so many steps, never at the end."""

    def __init__(self, training: Training, steps: int) -> None:
        self._minutes, self._every = training.checkpoint_minutes, training.checkpoint_every
        self._steps = steps
        self._last = time.monotonic()

    def due(self, step: int, *, busy: bool) -> bool:
        """Whether to save the state after a step; ``busy`` while an earlier one is being saved.

        The clock waits for a save that takes longer than the minutes; a step that a person asked
        for is saved whatever it costs.
        """
        if step >= self._steps:
            return False
        if self._every is not None and step % self._every == 0:
            return True
        if busy or self._minutes is None:
            return False
        return time.monotonic() - self._last >= 60 * self._minutes

    def saved(self) -> None:
        """Count the minutes from now."""
        self._last = time.monotonic()


class States:
    """The states of one run in its work area; without one nothing is saved.

    In a ``group`` of processes all of them read states, and rank 0 alone writes them. Use it as a
    context: at its end it waits for the save in flight.
    """

    def __init__(
        self,
        making: Making,
        training: Training,
        network: nn.Module,
        steps: int,
        trail: Trail | None = None,
        receipt: Receipt | None = None,
        group: Group = ALONE,
    ) -> None:
        self._making, self._work, self._network = making, making.work, network
        self._group, self._writes = group, making.work is not None and not group.rank
        self._trail, self._receipt = trail, receipt or Receipt(None)
        if trail is not None:
            trail.receipt = self._receipt
        self._cadence = Cadence(training, steps)
        self._thread = ThreadPoolExecutor(1, "saving")
        self._saving: Future[None] | None = None
        self._buffers: dict[str, Tensor] = {}
        self._best: dict[str, Tensor] = {}
        self._frozen = frozen_digest(network, group.whole) if self._work else ""
        self._curve: CurveFile | None = None
        self.history = trail.history if trail else History()

    def __enter__(self) -> States:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the save in flight; after another error its own error is a warning.

        The other processes of a group wait for it too, where all of them come to the end.
        """
        try:
            self._settle()
        except (OSError, ValueError) as error:
            if kind is None:
                raise
            log.warning("%s: %s", self._making.key, error)
        finally:
            self._thread.shutdown()
            if self._curve is not None:
                self._curve.close()
        if kind is None or kind is NonFinite:
            self._group.agreed(True)

    def require_room(self, optimizer: Optimizer, *, best: bool) -> None:
        """Raise ValueError if a trail has no room for one state, before anything is trained.

        With ``best`` a state has the best weights as well. The header of its file is not counted.
        """
        if self._trail is None:
            return
        weights = list(unfrozen(self._network).values())
        tensors = [*weights, *(weights if best else ()), *optimizer.tensors().values()]
        self._trail.require_room(sum(tensor.numel() * tensor.element_size() for tensor in tensors))

    def resume(self, environment: Mapping[str, Any], origin: Origin | None = None) -> State | None:
        """The state to go on from, with its curves in ``history``; None for a new run.

        Without a checkpoint a run begins at ``origin``. Raises CorruptArtefact if a file of the
        checkpoint was changed.
        """
        checkpoint = self._work.load_checkpoint() if self._work else None
        if checkpoint is None:
            return self._begin(environment, origin)
        assert self._work is not None
        held, notes = checkpoint
        lines = lines_up_to(self._work.curve, notes["curve"])
        self.history.fill(lines)
        if self._writes:
            self._curve = CurveFile(self._work.curve, lines)
        self.history.legs += [*notes["legs"], {"step": notes["step"], **environment}]
        self._receipt.resume(notes["receipt"])
        if self._trail is not None and self._writes:  # an interruption may have come before it
            self._trail.add(self._work, notes["step"])
        tensors = load(held)
        best = {name for name in tensors if name.startswith(BEST)}
        self._best = {name.removeprefix(BEST): tensors.pop(name) for name in best}
        return State(notes["step"], tensors, notes["frozen"])

    def _begin(self, environment: Mapping[str, Any], origin: Origin | None) -> State | None:
        """The state of the origin, if there is one, whose losses begin the curves."""
        if self._work is not None and self._writes:
            self._curve = CurveFile(self._work.curve)
        self.history.legs.append({"step": origin.state.step if origin else 0, **environment})
        if origin is None:
            return None
        for kind in KINDS:
            for step, loss in getattr(origin.history, kind):
                self.add(kind, step, loss)
        self._best = dict(origin.best)
        self._receipt.begin(origin.receipt)
        return origin.state

    def due(self, step: int) -> bool:
        """Whether the state after a step is wanted. Raises OSError if the last save failed."""
        self.check()
        is_kept = self._trail is not None and self._trail.wants(step)
        is_time = self._cadence.due(step, busy=self._saving is not None)
        return self._work is not None and self._group.agreed(is_kept or is_time)

    def take(self, network: nn.Module, optimizer: Optimizer, step: int, group: Group) -> State:
        """A snapshot in the buffers, as soon as no thread reads them any more."""
        self._settle()
        self._cadence.saved()
        return snapshot(network, optimizer, step, group, self._buffers, self._frozen)

    def save(self, state: State) -> None:
        """Save a snapshot of ``take`` in a thread, with the curves up to now."""
        if not self._writes:
            return
        assert self._curve is not None
        best = {f"{BEST}{name}": tensor for name, tensor in self._best.items()}
        notes = {
            "legs": self.history.legs,
            "curve": self._curve.mark(),
            "receipt": self._receipt.notes(),
            "key": self._making.key,
            "decides": self._making.decides,
        }
        whole = State(state.step, {**state.tensors, **best}, state.frozen)
        self._saving = self._thread.submit(self._write, whole, notes)

    def _write(self, state: State, notes: Mapping[str, Any]) -> None:
        assert self._work is not None
        assert self._curve is not None
        self._curve.sync()
        save_state(self._work, state, notes)
        if self._trail is not None:
            self._trail.add(self._work, state.step)

    def check(self) -> None:
        """Raise the error of a save that failed; the state before it is still there."""
        if self._saving is not None and self._saving.done():
            self._settle()

    def _settle(self) -> None:
        """Wait for the save in flight, if there is one, and raise its error once."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def add(self, kind: Kind, step: int, loss: float) -> None:
        """Add a point to a curve."""
        self.history.add(kind, step, loss)
        if self._curve is not None:
            self._curve.add(kind, step, loss)

    def hold_best(self) -> None:
        """Keep a copy of the weights, which have the lowest validation loss so far."""
        # New tensors, since a thread may be writing the old ones.
        live = unfrozen(self._network)
        self._best = {name: t.detach().to("cpu", copy=True) for name, t in live.items()}

    @torch.no_grad()
    def give_best(self) -> None:
        """Put the weights with the lowest validation loss into the network."""
        self.history.chosen, _ = self.history.best()
        for name, tensor in unfrozen(self._network).items():
            tensor.copy_(self._best[name])
