"""Receipts: what a training reads, step by step, as a running digest and as a list of documents.

Both follow from the order of the batches alone, so anyone who has the shards can compute them again
without training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from model.batches.batching import Batch
from model.batches.rows import Example, RowId
from pipelines.core.identity import canonical
from pipelines.tokens.artefacts import DRAWS, EXAMPLES, Draw
from pipelines.tokens.draws import Draws, table_of, write_draws
from pipelines.training.artefacts import RECEIPT

if TYPE_CHECKING:
    from pipelines.core.making import Making
    from pipelines.examples.artefacts import Chat, Labelled, Preference
    from pipelines.training.artefacts import KeptStates

EVERY = 100
"""After so many steps a link of the running digest is kept."""


class Batches(Protocol):
    """Batches that know what they read without reading it; steps are counted from 0."""

    def batch(self, step: int) -> Batch:
        """The batch of a step."""

    def rows(self, step: int) -> Sequence[RowId]:
        """What the rows of a step's batch read."""


class Sources(Protocol):
    """The documents behind the rows of a training's batches."""

    def named(self, row: RowId) -> bytes:
        """The digests of the documents that a row reads, and which of their tokens."""

    def ranges(self, row: RowId) -> Iterator[tuple[str, str, int, int]]:
        """(corpus, document id, first token, token after the last) of what a row reads."""

    def draws(self, batches: Batches, first: int, last: int) -> Draws:
        """The documents that the steps [first, last) read, in the columns of ``draws.arrow``."""


B = TypeVar("B", bound=Batches)


class Compared(NamedTuple):
    """How many links of a receipt are equal to those computed again, and the first and last step
    of the stretch that is not; None if all are."""

    equal: int
    wrong: tuple[int, int] | None


@dataclass(frozen=True)
class Reading(Generic[B]):
    """The batches of a training and the documents behind them.

    A module with a training has a function ``reading`` of the same settings and inputs.
    """

    sources: Sources
    batches: B

    def rows(self, step: int) -> Iterator[tuple[str, str, int, int]]:
        """What a step, counted from 0, reads: corpus, document, its tokens [first, last)."""
        for row in self.batches.rows(step):
            yield from self.sources.ranges(row)

    def receipt(self, steps: int, begun: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The receipt after so many steps, computed again from the order alone."""
        receipt = Receipt(self.sources, begun=begun)
        for step in range(receipt.steps, steps):
            receipt.add(self.batches.batch(step))
        return receipt.told()

    def compare(
        self, told: Mapping[str, Any], begun: Mapping[str, Any], first: int, last: int
    ) -> Compared:
        """Compute a receipt again, from the link before step ``first`` to that after ``last``.

        ``told`` is the receipt, ``begun`` that of the steps before a branch. Steps are counted
        from 1. It ends at the first link that differs.
        """
        links = {int(step): link for step, link in told["links"].items()}
        links[told["steps"]] = told["last"]
        starts = {begun["steps"]: begun["last"]} | links
        start = max(step for step in starts if step < first)
        receipt = Receipt(self.sources, begun={"steps": start, "last": starts[start]})
        equal, before = 0, start
        for step in range(start + 1, told["steps"] + 1):
            receipt.add(self.batches.batch(step - 1))
            if step not in links:
                continue
            if receipt.last != links[step]:
                return Compared(equal, (before + 1, step))
            equal, before = equal + 1, step
            if step >= last:
                break
        return Compared(equal, None)


def branched_from(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of the steps that another training made, of which this one is a branch.

    ``arguments`` are those of the making. It is empty if the training is no branch.
    """
    branch = getattr(arguments["settings"].training, "branch", None)
    if branch is None:
        return Receipt(None).told()
    states: KeptStates = arguments["origin"]["states"]
    return states.receipt(branch.step)


def never(_: int) -> bool:
    """No step."""
    return False


class Receipt:
    """A running digest over what each step of a training read.

    The digest after a step covers the digest before it, the documents and the places of each row,
    and the very tokens and targets that the network received. ``begun`` is the receipt of the steps
    before, if there were any. The digests after the steps that are ``also`` wanted are ``kept``.
    """

    def __init__(
        self,
        sources: Sources | None,
        also: Callable[[int], bool] = never,
        begun: Mapping[str, Any] | None = None,
    ) -> None:
        self._sources, self._also = sources, also
        self.steps, self.last = 0, hashlib.sha256(b"").hexdigest()
        self.links: dict[int, str] = {}
        self.kept: dict[int, str] = {}
        if begun:
            self.begin(begun)

    def begin(self, told: Mapping[str, Any]) -> None:
        """Go on from the receipt of another training, whose last step this one begins after."""
        self.steps, self.last = told["steps"], told["last"]
        self.links = {int(step): link for step, link in told.get("links", {}).items()}

    def reading(self, batches: Callable[[int], Batch]) -> Callable[[int], Batch]:
        """The same batches; the receipt takes each as it is read."""
        if self._sources is None:
            return batches

        def batch(step: int) -> Batch:
            read = batches(step)
            self.add(read)
            return read

        return batch

    def add(self, batch: Batch) -> None:
        """Take the batch of the next step."""
        assert self._sources is not None
        running = hashlib.sha256(bytes.fromhex(self.last))
        for row in batch.ids:
            named = self._sources.named(row)
            running.update(len(named).to_bytes(4, "little") + named)
        for tensor in (batch.tokens, batch.targets, batch.sources):
            if tensor is not None:
                running.update(repr(tuple(tensor.shape)).encode())
                running.update(tensor.contiguous().numpy().data)
        self.steps, self.last = self.steps + 1, running.hexdigest()
        if self.steps % EVERY == 0:
            self.links[self.steps] = self.last
        if self._also(self.steps):
            self.kept[self.steps] = self.last

    def told(self) -> dict[str, Any]:
        """The receipt as JSON: the digest after the ``last`` step and ``links`` before it, by step.

        That of a branch has the links of the training that it branched from, up to there.
        """
        links = {str(step): link for step, link in self.links.items()}
        return {"steps": self.steps, "last": self.last, "links": links}

    def notes(self) -> dict[str, Any]:
        """All that a resumed training needs to go on with the receipt."""
        return {**self.told(), "kept": {str(step): link for step, link in self.kept.items()}}

    def resume(self, notes: Mapping[str, Any]) -> None:
        """Go on from the notes of a checkpoint."""
        self.begin(notes)
        self.kept = {int(step): link for step, link in notes["kept"].items()}


class Taught:
    """The examples behind the rows of a fine-tuning's batches."""

    def __init__(
        self, rows: Sequence[Chat | Labelled | Preference], asked: Callable[[int], int]
    ) -> None:
        """``asked`` says how many targets the example of a number has."""
        self.rows, self._asked = rows, asked
        self._digests = [hashlib.sha256(canonical(row._asdict())).digest() for row in rows]

    def named(self, row: RowId) -> bytes:
        """The digest of the example."""
        assert isinstance(row, Example)
        return self._digests[row.number]

    def ranges(self, row: RowId) -> Iterator[tuple[str, str, int, int]]:
        """(``examples``, document id, the example's targets from 0 on) of what a row reads."""
        assert isinstance(row, Example)
        yield EXAMPLES, self.rows[row.number].document_id, 0, self._asked(row.number)

    def draws(self, batches: Batches, first: int, last: int) -> Draws:
        """The examples that the steps [first, last) read, in their order."""
        times, begun = [0] * len(self.rows), [0] * len(self.rows)
        for step in range(first, last):
            for row in batches.rows(step):
                assert isinstance(row, Example)
                begun[row.number] = begun[row.number] or step + 1
                times[row.number] += 1
        drawn = [
            Draw(EXAMPLES, row.document_id, row.id, digest, count * self._asked(number), step)
            for number, (row, digest, count, step) in enumerate(
                zip(self.rows, self._digests, times, begun, strict=True)
            )
            if count
        ]
        return table_of(drawn)


def write_receipt(making: Making, receipt: Receipt, draws: Draws) -> None:
    """Write the receipt of a training and the documents that its weights have read."""
    making.write(RECEIPT, receipt.told())
    write_draws(making, {DRAWS: draws})
