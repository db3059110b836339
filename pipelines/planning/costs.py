"""Seconds, memory and disk of each asset: from its rehearsal, or from an earlier record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipelines.planning.rehearsal import Rehearsed, training_of

DATABASES = 75_000_000  # bytes that a run's process holds beside; measured: 52 to 79 MB
GUESSED_SECONDS = {"Report": 3.0}
BASELINE_SECONDS = 5e-6  # a byte of text: counting and compressing, in a foundation's evaluation
FORWARD = 1 / 3  # of the time of a training step is the pass forward
TASKS_SHARE = 0.5  # of a task's training: what its evaluation takes, where nothing else is known


@dataclass(frozen=True)
class Cost:
    """What one asset takes. ``how`` says where the figures come from; None is unknown.

    ``how``: ``made already``, ``as the last time``, ``rehearsed``, ``guessed``, or why it is
    unknown. ``memory`` and ``state`` are bytes of a training: the most that its process takes, and
    its saved state on the disk. ``disk`` are the bytes of the asset's files.
    """

    key: str
    seconds: float | None
    disk: float | None
    how: str
    memory: int = 0
    state: int = 0
    steps: int = 0
    validation_seconds: float = 0.0


def costs_of(rehearsed: list[Rehearsed]) -> list[Cost]:
    """The costs of all assets, in order."""
    found: dict[str, Cost] = {}
    for one in rehearsed:
        found[one.key] = _cost(one, rehearsed, found)
    return list(found.values())


def _cost(one: Rehearsed, all_: list[Rehearsed], found: dict[str, Cost]) -> Cost:
    if one.record is not None and one.artefact is not None:
        return Cost(one.key, 0.0, 0.0, "made already")
    last = one.earlier.made if one.earlier is not None else {}
    if one.seconds is None:
        if "seconds" in last and _is_judging(one):
            return Cost(one.key, float(last["seconds"]), None, "as the last time")
        return _guessed(one, all_, found)
    disk = one.artefact.size * one.scale if one.artefact is not None else None
    training = training_of(one.declared)
    if training is None:
        seconds = one.seconds * one.scale
        return Cost(one.key, seconds, disk, "rehearsed" if one.complete else "rehearsed, at least")
    if "step_seconds" not in one.made:  # several networks, such as a ladder's
        whole = training.steps or one.steps
        return Cost(one.key, one.seconds * whole / one.steps, disk, "rehearsed", steps=whole)
    return _trained(one, training, disk)


def _trained(one: Rehearsed, training: Any, disk: float | None) -> Cost:
    made, batch = one.made, training.batch_size
    steps = training.steps_for(made["tokens_per_second"] * made["step_seconds"] / batch)
    branch = getattr(training, "branch", None)
    steps = max(steps - branch.step, 0) if branch else steps
    looks = math.ceil(steps / training.validate_every) * made["validation_seconds"]
    seconds = made["setup_seconds"] + steps * made["step_seconds"] + looks
    saves = (steps - 1) // training.checkpoint_every if training.checkpoint_every else 0
    if training.checkpoint_minutes:
        saves += int(seconds / 60 / training.checkpoint_minutes)
    seconds += saves * made["saving_seconds"]
    return Cost(
        one.key,
        seconds,
        disk,
        "rehearsed",
        memory=made["peak_memory"] + (DATABASES if made.get("device") == "cpu" else 0),
        state=made["state_bytes"],
        steps=steps,
        validation_seconds=looks,
    )


def _is_judging(one: Rehearsed) -> bool:
    return one.declared.makes.__name__ in ("Evaluation", "Report")


def _guessed(one: Rehearsed, all_: list[Rehearsed], found: dict[str, Cost]) -> Cost:
    """An evaluation that was never made: from its text, or from the training that it judges."""
    by_key = {other.key: other for other in all_}
    reads = {name: by_key[key] for name, key in one.declared.reads().items() if key in by_key}
    if one.declared.makes.__name__ == "Report":
        return Cost(one.key, GUESSED_SECONDS["Report"], None, "guessed")
    models = [model for model in reads.values() if model.made.get("tokens_per_second")]
    if not _is_judging(one) or not models:
        return Cost(one.key, None, None, one.fault)
    shards = reads.get("token_shards")
    if shards is not None and shards.artefact is not None:
        rows = shards.artefact.summaries()  # type: ignore[attr-defined]
        held_out = sum(row["tokens"] for row in rows if row["split"] != "train") * shards.scale
        text = sum(row["text_bytes"] for row in rows) * shards.scale
        forward = held_out * FORWARD / models[-1].made["tokens_per_second"]
        return Cost(one.key, forward + BASELINE_SECONDS * text, None, "guessed")
    seconds = max((found[model.key].seconds or 0.0) for model in models)
    return Cost(one.key, TASKS_SHARE * seconds, None, "guessed")
