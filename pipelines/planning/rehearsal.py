"""Makes the assets of a recipe on a small scale, in a temporary store, and measures.

The makings are those of a run, so what they take is what a run takes. Texts are cut, and trainings
end after some steps. What the project's store has already is read from there and not made.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipelines.core import processor
from pipelines.core.artefact import Artefact, CorruptArtefact, read_manifest
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.record import Record, StoreError
from pipelines.core.stanza import Strict
from pipelines.core.store import Store
from pipelines.core.work import Work, seal
from pipelines.training.artefacts import KeptStates

T = TypeVar("T")

MOST_TEXT = 16_000_000  # bytes of a source that are made into documents
COUNT_SECONDS = 3.0  # in which the rest of a source is counted
FIRST_STEPS = 5  # of a training whose speed is not known yet
LEAST_STEPS = 24  # of the longest of three trainings that tell the loss
PATIENCE = 5.0  # seconds for so many steps, although the time is over
PARTS = (4, 2)  # the shorter ones have a quarter and a half of its steps
SHARE = 0.75  # of the seconds that are left, for the foundation's training
NO_MEMORY = "this machine has too little memory for it; lower training.batch_size or the network"
JUDGING = ("Evaluation", "Report")  # they take what the models of a rehearsal do not show


@dataclass
class Short(Making):
    """A making whose source is cut; ``whole`` counts the bytes that the source has in all.

    ``points`` keeps the last point of each curve.
    """

    used: int = 0
    whole: int = 0
    counted: bool = True
    points: dict[str, float] = field(default_factory=dict)

    def curve(self, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002
        """Keep the points; no tracker draws them."""
        self.points |= values

    def telling(self, items: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
        """Pass on the first items, and count the others for some seconds."""
        until = None
        for item in items:
            self.whole += size(item)
            if self.used < MOST_TEXT:
                self.used = self.whole
                yield item
            elif until is None:
                until = time.monotonic() + COUNT_SECONDS
            elif time.monotonic() > until:
                self.counted = False
                return


@dataclass(frozen=True)
class Rehearsed:
    """One asset of the recipe.

    ``record`` is the record of the store if the asset is made already. Otherwise ``earlier`` is the
    record of another version of it, if there is one, and ``seconds``, ``made`` and ``steps`` tell
    of the rehearsal; ``scale`` says how many times as much text a run has. ``fault`` says why there
    was no rehearsal. ``before`` is the earlier version itself.
    """

    declared: Declaration
    artefact: Artefact | None = None
    record: Record | None = None
    earlier: Record | None = None
    before: Artefact | None = None
    seconds: float | None = None
    made: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    scale: float = 1.0
    complete: bool = True
    fault: str = ""
    loss: float | None = None
    """The validation loss at the end of a rehearsed training, in nats."""
    shorter: tuple[float, ...] = ()
    """The same after a quarter and after half of the steps."""

    @property
    def key(self) -> str:
        """The key of the asset."""
        return self.declared.key


class Rehearsal:
    """The rehearsal of the declarations of one recipe; their artefacts are there while it is open.

    It should be over after ``seconds``, but a long making is not interrupted. ``anew``: trainings
    are rehearsed also if the store has them.
    """

    def __init__(self, project: Project, seconds: float, *, anew: bool = False) -> None:
        self.project, self._until = project, time.monotonic() + seconds
        self._anew = anew
        self._store = Store(project.store) if project.store.is_dir() else None
        self._done: dict[str, Rehearsed] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="dragon-plan-")
        place = Path(self._folder.name)
        self._here = Project(project.root, place / "home", place / "store")

    def __enter__(self) -> Rehearsal:
        self._here.home.mkdir()
        self.project.downloads.mkdir(parents=True, exist_ok=True)
        self._here.downloads.symlink_to(self.project.downloads)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def of(
        self, declarations: Iterable[Declaration], began: Callable[[str], None]
    ) -> list[Rehearsed]:
        """Rehearse all, each after its inputs; ``began`` is told each key."""
        declarations = list(declarations)
        trainings = sum(training_of(d) is not None for d in declarations)
        for declared in declarations:
            began(declared.key)
            trainings -= training_of(declared) is not None
            self._done[declared.key] = self._rehearse(declared, trainings)
        return list(self._done.values())

    def _rehearse(self, declared: Declaration, trainings: int) -> Rehearsed:
        """One asset; ``trainings`` follow it."""
        earlier, before = self._earlier(declared)
        try:
            inputs = [self._done.get(key) or self._trail(key) for key in declared.upstream()]
        except (StoreError, CorruptArtefact) as error:
            return Rehearsed(declared, earlier=earlier, fault=f"reads {error}")
        for one in inputs:
            if one.artefact is None:
                return Rehearsed(declared, earlier=earlier, fault=f"reads {one.key}: {one.fault}")
        loaded = {one.key: one.artefact for one in inputs if one.artefact is not None}
        record = self._record(declared, loaded) if all(one.record for one in inputs) else None
        if record is not None and not (self._anew and training_of(declared)):
            return Rehearsed(declared, self._open(declared, record), record)
        known = Rehearsed(
            declared,
            earlier=earlier,
            before=before,
            scale=max((one.scale for one in inputs), default=1.0),
            complete=all(one.complete for one in inputs),
        )
        if declared.makes.__name__ in JUDGING:
            return replace(known, fault="is not rehearsed")
        try:
            if training_of(declared) is None:
                return self._make(known, loaded)
            return self._train(known, loaded, trainings)
        except (ValueError, OSError) as error:
            return replace(known, fault=" ".join(str(error).split()))
        except (MemoryError, RuntimeError) as error:
            if not processor.lacked_memory(error):
                raise
            return replace(known, fault=NO_MEMORY)

    def _train(self, known: Rehearsed, loaded: Mapping[str, Artefact], trainings: int) -> Rehearsed:
        """A training of some steps; of a foundation three more, for the forecast of its loss."""
        first = self._make(known, loaded, FIRST_STEPS)
        if "step_seconds" not in first.made or not hasattr(known.declared.settings, "weights"):
            return first
        left = max(self._until - time.monotonic(), 0.0) * (SHARE if trainings else 1.0)
        around = first.made["setup_seconds"] + first.made["validation_seconds"]
        room = (left - 3 * around) / (1 + sum(1 / part for part in PARTS))
        steps = int(room / first.made["step_seconds"])
        steps = min(steps, training_of(known.declared).steps or steps) // PARTS[0] * PARTS[0]
        if steps < LEAST_STEPS:
            if LEAST_STEPS * first.made["step_seconds"] > PATIENCE:
                return first
            steps = LEAST_STEPS
        shorter = [self._make(known, loaded, steps // part).loss for part in PARTS]
        longest = self._make(known, loaded, steps)
        peak = max(first.made["peak_memory"], longest.made["peak_memory"])
        saved = {name: first.made[name] for name in ("saving_seconds", "state_bytes")}
        made = {**longest.made, **saved, "peak_memory": peak}
        return replace(longest, made=made, shorter=tuple(x for x in shorter if x))

    def _make(self, known: Rehearsed, loaded: Mapping[str, Artefact], steps: int = 0) -> Rehearsed:
        """Make the asset in the temporary store, with ``steps`` if it is trained."""
        declared = known.declared
        if steps:
            declared = replace(declared, settings=shortened(declared.settings, steps))
        place = self._here.store / declared.key.replace("/", "-") / str(steps)
        draft, work = place / "draft", place / "work"
        draft.mkdir(parents=True)
        work.mkdir()
        making = Short(declared.key, draft, self._here, Work(work))
        make = declared.make()  # what it imports is no part of its time
        began = time.monotonic()
        make(making, **declared.arguments(loaded))
        seconds = time.monotonic() - began
        version = seal(draft)
        artefact = declared.makes(declared.key, version, "", draft, read_manifest(draft, version))
        made = dict(making.made)
        if "step_seconds" in made:
            working = made["step_seconds"] * steps + made["validation_seconds"]
            made["setup_seconds"] = max(seconds - working - made["saving_seconds"], 0.0)
            made["state_bytes"] = sum(p.stat().st_size for p in work.rglob("step-*"))
        if making.whole:
            scale = making.whole / max(making.used, 1)
            known = replace(known, scale=scale, complete=making.counted)
        loss = making.points.get("validation_loss")
        return replace(known, artefact=artefact, seconds=seconds, made=made, steps=steps, loss=loss)

    # The project's store, which is read and never written

    def _record(self, declared: Declaration, loaded: Mapping[str, Artefact]) -> Record | None:
        if self._store is None:
            return None
        try:
            record = self._store.record(digest(declared.decided_by(loaded, self.project)))
        except (ValueError, OSError):
            return None
        return record if record is not None and self._store.holds(record.version) else None

    def _open(self, declared: Declaration, record: Record) -> Artefact:
        assert self._store is not None
        return self._store.open(declared.key, record.version, declared.makes, record.derivation)

    def _trail(self, key: str) -> Rehearsed:
        """The trail of another recipe. Raises StoreError if it is not made yet."""
        if self._store is None:
            raise StoreError(f"{key}: not made yet; materialize it first")
        record = self._store.current_record(key)
        artefact = self._store.open(key, record.version, KeptStates, record.derivation)
        declared = Declaration(key=key, makes=KeptStates, making="", group="")
        return Rehearsed(declared, artefact, record)

    def _earlier(self, declared: Declaration) -> tuple[Record, Artefact] | tuple[None, None]:
        if self._store is not None:
            with contextlib.suppress(StoreError, CorruptArtefact):
                record = self._store.current_record(declared.key)
                return record, self._open(declared, record)
        return None, None


def training_of(declared: Declaration) -> Any:
    """The training options among an asset's settings; None if it is not trained."""
    return getattr(declared.settings, "training", None)


def shortened(settings: Any, steps: int) -> Strict:
    """The same settings for so many steps, with a validation at the end.

    The first training also saves its state once. A validation of the whole split is cut. A branch
    begins with new weights, whose steps take as long.
    """
    training, is_first = settings.training, steps == FIRST_STEPS
    looks = training.validation_batches
    change = {
        "steps": steps,
        "tokens": None,
        "validate_every": steps,
        "validation_batches": None if looks == "all" else looks,
        "checkpoint_every": steps - 1 if is_first else None,
        "checkpoint_minutes": None,
        "branch": None,
    }
    if training.steps:
        schedule = training.schedule
        warmup = round(schedule.warmup_steps * steps / training.steps)
        change["schedule"] = schedule.model_copy(update={"warmup_steps": warmup})
    known = {name: value for name, value in change.items() if hasattr(training, name)}
    return _with_training(settings, training.model_copy(update=known))


def _with_training(section: Any, training: Any) -> Strict:
    """The section with another training, which may lie in a section of it."""
    for name in type(section).model_fields:
        inner = getattr(section, name)
        if name != "training" and not hasattr(inner, "training"):
            continue
        change = training if name == "training" else _with_training(inner, training)
        changed: Strict = section.model_copy(update={name: change})
        return changed
    raise TypeError(f"{type(section).__name__} has no training")
