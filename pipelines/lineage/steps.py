"""What the steps of a training read, computed again and checked against its receipt.

Nothing is trained: the order of the batches is a function of the settings and of the shards or
examples. The receipt proves that the training read what is listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from model.batches.rows import Example, Row
from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.declaration import found
from pipelines.core.order import declared_again
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.lineage.views import view_of
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.tokens.draws import Texts
from pipelines.training.artefacts import RECEIPT, Checkpoint, KeptStates
from pipelines.training.receipts import Reading, Taught, branched_from


class Part(NamedTuple):
    """A part of a document that a row of a step read: its tokens [first, last), and their text."""

    corpus: str
    document_id: str
    first: int
    last: int
    text: str


class StepRead(NamedTuple):
    """What one step, counted from 1, read: the parts of documents in each row."""

    step: int
    rows: list[list[Part]]


@dataclass
class Trained:
    """A training as its record tells of it: its batches and its inputs, by parameter."""

    checkpoint: Checkpoint
    reading: Reading[Any]
    inputs: dict[str, Any]

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt that lies in the version."""
        return self.checkpoint.receipt()

    def read(self, first: int, last: int) -> Iterator[StepRead]:
        """What the steps [first, last], counted from 1, read; the receipt is checked before.

        Raises ValueError for steps that the training did not make, and CorruptArtefact if the
        receipt says that it read something else.
        """
        begun = self._begun["steps"]
        if not begun < first <= last <= self.receipt["steps"]:
            raise ValueError(
                f"{self.checkpoint.key}: made the steps {begun + 1} to {self.receipt['steps']},"
                f" and not {first} to {last}; give some of these"
            )
        self.check(first, last)
        for step in range(first, last + 1):
            rows = self.reading.batches.rows(step - 1)
            yield StepRead(step, [list(self._parts(row)) for row in rows])

    def check(self, first: int, last: int) -> int:
        """Compute the receipt again from the link before ``first`` to the one after ``last``.

        Returns how many links were compared. Raises CorruptArtefact naming the steps in which the
        training read something else.
        """
        equal, wrong = self.reading.compare(self.receipt, self._begun, first, last)
        if wrong:
            raise CorruptArtefact(
                f"{self.checkpoint.folder / RECEIPT}: says that the steps {wrong[0]} to {wrong[1]}"
                " read something else than the record's inputs give; one of them was changed, or"
                " another version of the program trained"
            )
        return equal

    @property
    def _begun(self) -> dict[str, Any]:
        return branched_from(self.inputs)

    def _parts(self, row: Row | Example) -> Iterator[Part]:
        sources = self.reading.sources
        if isinstance(row, Example):
            assert isinstance(sources, Taught)
            text = _shown(sources.rows[row.number])
            yield from (Part(*place, text) for place in sources.ranges(row))
            return
        assert isinstance(sources, Texts)
        documents, stream = sources.documents[row.corpus], self._streams[row.corpus]
        for number, begin, end in sources.places(row):
            start, name = int(documents.starts[number]), documents.ids[number].as_py()
            text = self._tokenizer.decode(stream.read(begin, end).tolist())
            yield Part(row.corpus, name, begin - start, end - start, text)

    @cached_property
    def _streams(self) -> dict[str, Any]:
        (shards,) = (one for one in self.inputs.values() if isinstance(one, TokenShards))
        return dict(shards.streams("train"))

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = self.inputs["tokenizer"]
        assert isinstance(tokenizer, TokenizerFiles)
        return tokenizer.load()


def _shown(example: Any) -> str:
    """The words of an example: its text and label, or its turns and the replies to them."""
    told = example._asdict()
    if "roles" not in told:
        return "\n".join(told[name] for name in ("text", "label") if name in told)
    turns = list(zip(told["roles"], told["said"], strict=True))
    turns += [(name, told[name]) for name in ("chosen", "rejected") if name in told]
    return "\n".join(f"{role}: {words}" for role, words in turns)


def trained(store: Store, artefact: Artefact) -> Trained:
    """The training of a network in the store.

    Raises StoreError for an artefact without a receipt, and ValueError if its making cannot be
    prepared again.
    """
    if isinstance(artefact, KeptStates):
        raise StoreError(
            f"{artefact.key}: are states of a training; name the network that was taken from them,"
            f" such as {artefact.key.removesuffix('_states')}"
        )
    record = store.record(artefact.derivation, artefact.version)
    if record is None or not isinstance(artefact, Checkpoint) or not artefact.receipt():
        raise StoreError(
            f"{artefact.key}: has no receipt of what its steps read; name a network that this"
            " version of dragon has trained, or train it again"
        )
    record = _that_trained(store, record)
    try:
        declared = declared_again(record, artefact.key, view_of(record.makes))
    except ValueError as error:
        raise StoreError(f"{artefact.key}: its batches cannot be made again: {error}") from None
    loaded = {parent["input"]: _opened(store, parent) for parent in record.parents}
    arguments = declared.arguments(loaded)
    reading = found(f"{declared.making.partition(':')[0]}:reading")(**arguments)
    return Trained(artefact, reading, arguments)


def _that_trained(store: Store, record: Record) -> Record:
    """The record of the training itself, which for some weights is that of its kept states."""
    for parent in record.parents:
        behind = store.record(parent["derivation"], parent["version"])
        if parent["input"] == "states" and behind and behind.makes == KeptStates.__name__:
            return behind
    return record


def _opened(store: Store, parent: Any) -> Artefact:
    record = store.record(parent["derivation"], parent["version"])
    makes = record.makes if record else Artefact.__name__
    derivation, version = parent["derivation"], parent["version"]
    return store.open(parent["input"], version, view_of(makes), derivation)
