"""The trail of a training: states that it keeps on its way, for other trainings to branch from.

The trail of a run lies in the parts of its work area and becomes an artefact of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors.torch import load

from model.training.loop import State
from pipelines.tokens.draws import Draws, joined, table_of, write_draws
from pipelines.training.artefacts import TRAIL, TRAIL_FIGURES, draws_name
from pipelines.training.history import History
from pipelines.training.receipts import Reading, Receipt

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.core.making import Making
    from pipelines.core.work import Work
    from pipelines.training.artefacts import KeptStates
    from pipelines.training.options import Keep

LAST = 20  # training losses before a state, which a branch begins its curve with
Drawn = Mapping[str, Mapping[str, float]]
"""By corpus: windows, tokens and epochs."""
BEST = "best."  # before the names of the weights with the lowest validation loss


@dataclass(frozen=True)
class Origin:
    """Where a training begins that is not new: a state, its best weights, the losses before it.

    ``drawn`` is what the state's weights have read of each corpus, ``best_drawn`` what the best
    weights have; ``draws`` and ``best_draws`` are the same by document. ``receipt`` tells of what
    the steps up to the state read, as ``Receipt.told``.
    """

    state: State
    best: Mapping[str, Tensor] = field(default_factory=dict)
    history: History = field(default_factory=History)
    drawn: Drawn = field(default_factory=dict)
    best_drawn: Drawn = field(default_factory=dict)
    draws: Draws | None = None
    best_draws: Draws | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)


class Trail:
    """The states that a run keeps, at most so many bytes of them.

    What is kept follows from the steps alone, also after an interruption.
    """

    def __init__(self, making: Making, keep: Keep) -> None:
        self._making, self._keep = making, keep
        self._limit = round(keep.gigabytes * 1e9)
        self.history = History()
        """The losses of the run, which its states fill."""
        self.drawn: Callable[[int], Drawn] = lambda _: {}
        """Tells what the weights after a step have read; the training sets it."""
        self.draws: Callable[[int], Draws] | None = None
        """The same by document; the training sets it."""
        self.receipt = Receipt(None)
        """The running digest over what the training reads; the training sets it."""

    def wants(self, step: int) -> bool:
        """Whether the state after a step is one of the trail."""
        return step % self._keep.every == 0

    def require_room(self, size: int) -> None:
        """Raise ValueError if the limit is below the ``size`` of one state in bytes."""
        if size > self._limit:
            raise ValueError(
                f"training.keep.gigabytes: {self._keep.gigabytes} is less than one state, which has"
                f" {size / 1e9:.3g}; give more"
            )

    def add(self, work: Work, step: int) -> None:
        """Keep the newest checkpoint, that of ``step``, and thin the trail to its limit.

        It is safe to do so again. Raises ValueError if the limit is below the size of one state.
        """
        if not self.wants(step):
            return
        name = name_of(step)
        kept = self._making.parts() / name
        if not kept.exists():
            try:
                kept.hardlink_to(work.folder / name)
            except OSError:  # a file system without links
                partial = kept.with_suffix(".partial")
                shutil.copyfile(work.folder / name, partial)
                partial.replace(kept)
        sizes = self.sizes()
        self.require_room(sizes[step])
        for dropped in thinned_out(sizes, self._limit):
            (self._making.parts() / name_of(dropped)).unlink()

    def sizes(self) -> dict[int, int]:
        """The size of each kept state in bytes, by step."""
        found = self._making.parts().glob("step-*.safetensors")
        sizes = {int(path.stem.removeprefix("step-")): path.stat().st_size for path in found}
        return dict(sorted(sizes.items()))

    def write(self, about: Mapping[str, Any], *, looks: bool, fault: str) -> None:
        """Write the files of a ``KeptStates``.

        ``looks`` says whether the states hold the best weights: then a branch has to know the
        validation losses. ``fault`` says why the training ended before its end; empty if it did
        not.
        """
        steps = list(self.sizes())
        for step in steps:
            self._making.take(name_of(step))
        states = {str(step): self._told(step, looks=looks) for step in steps}
        if self.draws is not None:
            wanted = sorted({*steps, *(one["best"] for one in states.values() if one["best"])})
            write_draws(self._making, {draws_name(step): self.draws(step) for step in wanted})
        told = {**about, "states": states, "fault": fault, "links": self.receipt.told()["links"]}
        self._making.write(TRAIL, told)
        self._making.write(TRAIL_FIGURES, {"states": len(steps), "last_step": steps[-1]})

    def _told(self, step: int, *, looks: bool) -> dict[str, Any]:
        """The last training losses before a state, the validation losses if they chose the best
        weights, and what the weights have read."""
        history = self.history
        train = [point for point in history.train if point[0] <= step][-LAST:]
        seen = [point for point in history.validation if point[0] <= step] if looks else []
        best = History(validation=seen).best()[0] if seen else 0
        told = {"train": train, "looks": seen, "drawn": self.drawn(step), "best": best}
        receipt = self.receipt.kept.get(step, "")
        return {**told, "best_drawn": self.drawn(best) if best else {}, "receipt": receipt}


def name_of(step: int) -> str:
    """The file of a state, in a work area and in a trail."""
    return f"step-{step:08d}.safetensors"


def draws_of(reading: Reading[Any], origin: Origin | None, steps: int) -> Draws:
    """The documents that the weights after so many steps have read.

    Of a branch, the steps before its first one were read by another training.
    """
    sources, batches = reading.sources, reading.batches
    if origin is None:
        return sources.draws(batches, 0, steps)
    if steps <= origin.state.step:  # a validation before the branch chose the weights
        return origin.best_draws
    return joined(origin.draws, sources.draws(batches, origin.state.step, steps))


def thinned_out(sizes: Mapping[int, int], limit: int) -> list[int]:
    """The steps whose states have to go, so that the others have at most ``limit`` bytes.

    The newest stays. Of the others that one goes whose neighbours are the closest to each other,
    the oldest of equals: so the gaps grow evenly from the oldest on.
    """
    kept, dropped = list(sizes), []
    while sum(sizes[step] for step in kept) > limit and len(kept) > 1:
        gaps = {
            step: after - before
            for before, step, after in zip([0, *kept], kept, kept[1:], strict=False)
        }
        dropped.append(min(gaps, key=lambda step: (gaps[step], step)))
        kept.remove(dropped[-1])
    return dropped


def origin_in(trail: KeptStates, step: int, *, looks: bool) -> Origin:
    """A state of a trail as the beginning of another training. Raises ValueError without it.

    With ``looks`` the best weights and the validation losses that chose them are taken over.
    """
    tensors = load(trail.state(step))
    best = {name: tensors.pop(name) for name in list(tensors) if name.startswith(BEST)}
    told = trail.trail()["states"][str(step)]
    train, seen = ([(s, loss) for s, loss in told[kind]] for kind in ("train", "looks"))
    state = State(step, tensors)  # nothing of a new network is frozen
    read = {
        "drawn": told["drawn"],
        "draws": table_of(trail.draws(step)),
        "receipt": trail.receipt(step),
    }
    if not (looks and best):
        return Origin(state, history=History(train), **read)
    held = {name.removeprefix(BEST): tensor for name, tensor in best.items()}
    read |= {"best_drawn": told["best_drawn"], "best_draws": table_of(trail.draws(told["best"]))}
    return Origin(state, held, History(train, seen), **read)
