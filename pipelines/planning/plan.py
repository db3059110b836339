"""The plan of a recipe: parameters, time, memory, disk, epochs and the loss to expect."""

from __future__ import annotations

import functools
import lzma
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from model.architectures import catalogue
from model.evaluation import bits_per_byte
from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Documents
from pipelines.planning.costs import Cost, costs_of
from pipelines.planning.law import Law, quotient_of, total
from pipelines.planning.proposal import Proposal, propose
from pipelines.planning.rehearsal import JUDGING, Rehearsed, training_of
from pipelines.recipe.schema import Recipe
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.training.launching import processes_of

COMPRESSED = 1_000_000  # bytes of the text that a compressor reads
NINE_OF_TEN = 1.645  # deviations
MOST_EPOCHS = 4.0  # beyond, repeated text is worth less than new text (Muennighoff et al. 2023)


@dataclass(frozen=True)
class Forecast:
    """The bits per byte of the validation split to expect, and the band of nine in ten forecasts.

    ``after`` tells the steps and the bits per byte that it was measured from. ``made``: it is no
    forecast, the foundation is made.
    """

    bits_per_byte: float
    band: float
    after: dict[int, float]
    made: bool = False


@dataclass(frozen=True)
class Plan:
    """All that is known of a recipe before it runs. None stands for unknown."""

    recipe: str
    costs: Sequence[Cost]
    parameters: int | None = None
    epochs: dict[str, float] = field(default_factory=dict)
    forecast: Forecast | None = None
    proposal: Proposal | None = None
    notes: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """Of all assets whose time is known."""
        return sum(cost.seconds or 0.0 for cost in self.costs)

    @property
    def memory(self) -> int:
        """The most bytes that any training takes."""
        return max((cost.memory for cost in self.costs), default=0)

    @property
    def disk(self) -> float:
        """The bytes of all files, and of the largest state while it is trained."""
        state = max((cost.state for cost in self.costs), default=0)
        return sum(cost.disk or 0.0 for cost in self.costs) + state

    @property
    def validation_share(self) -> float:
        """The share of validations in the time of all trainings."""
        trained = [cost for cost in self.costs if cost.steps]
        seconds = sum(cost.seconds or 0.0 for cost in trained)
        return sum(cost.validation_seconds for cost in trained) / seconds if seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The plan for programs; bytes and seconds."""
        sums = ("seconds", "memory", "disk", "validation_share")
        return {**asdict(self), **{name: getattr(self, name) for name in sums}}


def plan_of(recipe: Recipe, rehearsed: Sequence[Rehearsed], minutes: float | None) -> Plan:
    """The plan from a rehearsal that is still open; with a proposal for ``minutes`` if given."""
    costs = costs_of(list(rehearsed))
    by_key = {one.key: one for one in rehearsed}
    foundation = by_key.get(f"{recipe.name}/foundation")
    shards = by_key.get(f"{recipe.name}/token_shards")
    if recipe.model is None or foundation is None or foundation.artefact is None or shards is None:
        return Plan(recipe.name, costs, notes=_notes(recipe, rehearsed, {}))
    cost = next(cost for cost in costs if cost.key == foundation.key)
    figures = foundation.artefact.figures()
    epochs = _epochs(foundation, cost)
    teller = _Teller(recipe, foundation, shards, by_key) if shards.artefact else None
    proposal = None
    if minutes is not None and teller is not None and teller.can_tell:
        others = sum(c.seconds or 0.0 for c in costs) - (cost.seconds or 0.0)
        looks = cost.validation_seconds / (cost.seconds or 1.0)
        step = foundation.made["step_seconds"]
        seconds = (60 * minutes - others) * (1 - looks) - foundation.made["setup_seconds"]
        config = recipe.model.config(int(foundation.artefact.config()["network"]["vocab_size"]))  # type: ignore[attr-defined]
        proposal = propose(
            recipe.architecture, config, seconds, step, teller.after, teller.law.growth
        )
    return Plan(
        recipe.name,
        costs,
        parameters=int(figures["parameters"]),
        epochs=epochs,
        forecast=teller.forecast(cost.steps) if teller else None,
        proposal=proposal,
        notes=_notes(recipe, rehearsed, epochs),
    )


class _Teller:
    """Tells the loss of a recipe's foundation after any number of steps."""

    def __init__(
        self,
        recipe: Recipe,
        foundation: Rehearsed,
        shards: Rehearsed,
        by_key: dict[str, Rehearsed],
    ) -> None:
        self.law, self._foundation = Law.load(), foundation
        view = shards.artefact
        assert isinstance(view, TokenShards)
        rows = [row for row in view.summaries() if row["split"] == "validation"]
        tokens, size = (sum(row[name] for row in rows) for name in ("tokens", "text_bytes"))
        self._bits = bits_per_byte(tokens, size)  # of one nat a token
        self._shards = view.version
        self._compressed = _compressed(by_key[f"{name}/documents"] for name in recipe.mixture())
        self._branches = recipe.training is not None and recipe.training.branch is not None
        self._masked = catalogue()[recipe.architecture].objective != "next_token"
        losses = (*foundation.shorter, foundation.loss or 0.0)
        self._losses = [self._bits * loss for loss in losses]

    @property
    def can_tell(self) -> bool:
        """Whether three short trainings of a model of language were made, with new weights."""
        return len(self._losses) == 3 and not self._masked and not self._branches

    def after(self, steps: float) -> float:
        """The bits per byte after so many steps."""
        return self._told(steps)[0]

    def _told(self, steps: float) -> tuple[float, float]:
        """The bits per byte and the deviation."""
        short = self._foundation.steps
        doublings = max(math.log2(steps / short), 0.0)
        if self._last is None:
            return self.law.forecast(self._losses, doublings, self._compressed)
        last_steps, last = self._last
        fall, far = self._losses[1] - self._losses[2], math.log2(last_steps / short)
        q = quotient_of(fall, self._losses[2] - last, far)
        miss = self.law.deviation * fall * abs(doublings - far)
        return self._losses[2] - fall * total(q, doublings), miss

    @functools.cached_property
    def _last(self) -> tuple[int, float] | None:
        """The steps and the bits per byte of an earlier training on the same text; else None.

        It has the same network and batches, and at least twice the steps of the rehearsal.
        """
        one, record, before = self._foundation, self._foundation.earlier, self._foundation.before
        if record is None or not isinstance(before, Checkpoint):
            return None
        versions = {parent["version"] for parent in record.parents}
        is_like = before.config()["network"] == one.artefact.config()["network"]  # type: ignore[union-attr]
        training = record.decides["recipe"].get("training", {})
        batch = one.declared.settings.training.batch_size  # type: ignore[union-attr]
        if self._shards not in versions or not is_like or training.get("batch_size") != batch:
            return None
        steps, loss = int(before.figures().get("steps", 0)), _last_loss(before)
        far_enough = steps >= 2 * one.steps and self.can_tell
        return (steps, self._bits * loss) if loss and far_enough else None

    def forecast(self, steps: int) -> Forecast | None:
        """The forecast; what was measured if the foundation is made; None if nothing is known."""
        if self._foundation.record is not None and not self._masked:
            loss = _last_loss(self._foundation.artefact)
            return Forecast(self._bits * loss, 0.0, {}, made=True) if loss else None
        if not self.can_tell:
            return None
        told, deviation = self._told(steps)
        short = self._foundation.steps
        after = dict(zip((short // 4, short // 2, short), self._losses, strict=True))
        return Forecast(told, NINE_OF_TEN * deviation, after)


def _last_loss(artefact: Artefact | None) -> float | None:
    """The last validation loss of a trained network, in nats."""
    points = artefact.curve()["validation"] if isinstance(artefact, Checkpoint) else []
    return float(points[-1][1]) if points else None


def _compressed(corpora: Iterable[Rehearsed]) -> float:
    """The bits per byte to which a compressor reduces the first text of the corpora."""
    text = b""
    for one in corpora:
        assert isinstance(one.artefact, Documents)
        for words in one.artefact.training_texts():
            if len(text) >= COMPRESSED:
                break
            text += words.encode() + b"\n"
    return 8 * len(lzma.compress(text)) / max(len(text), 1)


def _epochs(foundation: Rehearsed, cost: Cost) -> dict[str, float]:
    """How often the training reads each corpus, from what a short one or the last one drew."""
    assert isinstance(foundation.artefact, Checkpoint)
    times = cost.steps / foundation.steps / foundation.scale if foundation.steps else 1.0
    drawn = foundation.artefact.drawn()
    return {corpus: row["epochs"] * times for corpus, row in drawn.items()}


def _notes(
    recipe: Recipe, rehearsed: Sequence[Rehearsed], epochs: Mapping[str, float]
) -> list[str]:
    """What a person should know who relies on the plan."""
    notes = [
        f"{one.key}: {one.fault}"
        for one in rehearsed
        if one.fault and one.seconds is None and one.declared.makes.__name__ not in JUDGING
    ]
    notes += [
        f"{corpus} is read {count:.1f} times: a repeated text teaches less, and the forecast does"
        " not know it"
        for corpus, count in epochs.items()
        if count > MOST_EPOCHS
    ]
    notes += [
        f"{one.key}: tried in one process, and a run has {count}: its time and memory will differ"
        for one in rehearsed
        if one.steps and (count := processes_of(one.declared)) > 1
    ]
    if recipe.sweep is not None:
        count = len(recipe.sweep.spread())
        notes.append(f"{recipe.name}/sweep: its {count} trainings are not in this plan")
    if any(one.steps and getattr(training_of(one.declared), "branch", None) for one in rehearsed):
        notes.append("a branch is tried with new weights, so there is no forecast of its loss")
    if any(not one.complete for one in rehearsed):
        notes.append("a source is larger than could be counted: more text, time and disk")
    return notes
