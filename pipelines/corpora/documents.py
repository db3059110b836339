"""From raw text to documents: cleaned step by step, split, and each counted in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.core.making import Making
from pipelines.corpora.artefacts import DROPPED, DroppedRow, RawText, dropped_schema
from pipelines.corpora.cleaning.options import Cleaning
from pipelines.corpora.cleaning.outcome import Divided, Dropped, Outcome
from pipelines.corpora.cleaning.step import StepOptions
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.ledger import LEDGER, Ledger, StepCount
from pipelines.corpora.splits import SPLITS
from pipelines.corpora.splitting import Splitting, split_of
from pipelines.text.arrow import ArrowFile, FileIndex
from pipelines.text.errors import TextError
from pipelines.text.parallel import ordered_map
from pipelines.text.tables import (
    Document,
    Hole,
    TableWriter,
    Unread,
    add_document,
    add_hole,
    document_schema,
    rows_of,
    write_index,
)

if TYPE_CHECKING:
    import pyarrow as pa

EXCERPT = 2000  # characters of a dropped document that are kept to look at


class Left(NamedTuple):
    """A document that is left out, with the text that the dropping step received, and why."""

    document: Document
    reason: str
    detail: str
    original: str = ""


def make_documents(
    raw: Path,
    index: FileIndex,
    cleaning: Sequence[StepOptions],
    splitting: Splitting,
    folder: Path,
    *,
    unread: Iterable[Unread] = (),
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Ledger:
    """Clean the documents of the table ``index`` in ``raw``, and write the tables to ``folder``.

    There is one table for each split, and one for the dropped documents. The steps before the
    first step that remembers earlier documents run in ``workers`` processes; any number gives the
    same bytes. ``unread`` are the rows that were left out when the source was read; they are
    counted and listed as dropped. ``advance`` receives the number of bytes done after each batch.
    Raises TextError if no training document is left. On a small corpus the validation or test
    split may be empty; the ledger shows this.
    """
    remembers = [catalogue()[options.step].remembers for options in cleaning]
    first = remembers.index(True) if any(remembers) else len(cleaning)
    rest = Steps(cleaning[first:])
    ledger = Ledger(steps=[StepCount(options.step) for options in cleaning])
    with ExitStack() as stack:
        tables = _Tables(folder, splitting, ledger, stack)
        numbers = range(len(index.batches))
        batches = ordered_map(_clean, (raw, index, cleaning[:first]), numbers, workers)
        for batch, cleaned in zip(index.batches, batches, strict=True):
            for outcome in cleaned.outcomes:
                if isinstance(outcome, Hole):
                    tables.keep_place(outcome)
                    continue
                for final in rest(outcome) if isinstance(outcome, Document) else [outcome]:
                    tables.add(final)
            ledger.documents_in += batch.rows - cleaned.holes
            ledger.bytes_in += cleaned.size
            ledger.add_steps(cleaned.counts)
            advance(batch.length)
        for row in unread:
            document = Document(row.id, "", row.source, row.licence)
            tables.add(Left(document, row.reason, row.detail))
            ledger.documents_in += 1
            ledger.unread += 1
    ledger.add_steps(rest.counts, first)
    ledger.add_up()
    _require_training_text(ledger)
    write_index(folder, tables.indexes())
    (folder / LEDGER).write_text(ledger.to_json(), encoding="utf-8", newline="\n")
    return ledger


class Steps:
    """Cleaning steps in order, and the counts of each so far."""

    def __init__(self, cleaning: Sequence[StepOptions]) -> None:
        self._steps = [(options.step, _step(options)) for options in cleaning]
        self.counts = [StepCount(options.step) for options in cleaning]

    def __call__(self, document: Document) -> list[Document | Left]:
        """Clean one document: the result is one document, several parts, or the reason to drop."""
        outcomes: list[Document | Left] = [document]
        for (name, step), count in zip(self._steps, self.counts, strict=True):
            outcomes = [
                outcome
                for result in outcomes
                for outcome in (
                    _take(name, step, count, result) if isinstance(result, Document) else [result]
                )
            ]
        return outcomes


def _take(
    name: str, step: Callable[[Document], Outcome], count: StepCount, document: Document
) -> Sequence[Document | Left]:
    """Apply one step to one document, and count the result."""
    count.documents_in += 1
    count.bytes_in += (size := len(document.text.encode()))
    outcome = step(document)
    if isinstance(outcome, Divided):
        count.added += len(outcome.texts) - 1
        count.changed += 1
        count.bytes_out += sum(len(text.encode()) for text in outcome.texts)
        return _parts(name, document, outcome.texts)
    if not isinstance(outcome, Dropped) and not outcome.text:
        outcome = Dropped("empty", f"nothing is left after {name}" * bool(document.text))
    if isinstance(outcome, Dropped):
        count.dropped += 1
        return [Left(document, *outcome)]
    if outcome.text != document.text or outcome.note:
        count.changed += outcome.text != document.text
        size = len(outcome.text.encode())
        changes = (*document.changes, f"{name}: {outcome.note}".removesuffix(": "))
        document = document._replace(text=outcome.text, changes=changes)
    count.bytes_out += size
    return [document]


def _parts(name: str, document: Document, texts: Sequence[str]) -> list[Document]:
    return [
        document._replace(
            id=f"{document.id}#{number}/{len(texts)}",
            text=text,
            changes=(*document.changes, f"{name}: part {number} of {len(texts)}"),
        )
        for number, text in enumerate(texts, 1)
    ]


def _step(options: StepOptions) -> Callable[[Document], Outcome]:
    step = catalogue()[options.step]
    function = step.make(options)
    return function if step.remembers else lambda document: function(document.text)


class _Batch(NamedTuple):
    """A raw record batch after the first steps; ``size`` is its UTF-8 bytes before them."""

    outcomes: list[Document | Left | Hole]
    size: int
    counts: list[StepCount]
    holes: int


def _clean(raw: Path, index: FileIndex, cleaning: Sequence[StepOptions]) -> Callable[[int], _Batch]:
    table = ArrowFile(raw, index)

    def clean(number: int) -> _Batch:
        steps, size, holes = Steps(cleaning), 0, 0
        outcomes: list[Document | Left | Hole] = []
        for row in rows_of(table.batch(number)):
            if isinstance(row, Hole):
                outcomes.append(row)
                holes += 1
                continue
            size += len(row.text.encode())
            outcomes += steps(row)
        return _Batch(outcomes, size, steps.counts, holes)

    return clean


class _Tables:
    """The tables of a corpus while they are written, and its ledger."""

    def __init__(
        self, folder: Path, splitting: Splitting, ledger: Ledger, stack: ExitStack
    ) -> None:
        def table(path: str, schema: pa.Schema) -> TableWriter:
            return stack.enter_context(TableWriter(folder, path, schema))

        self._splitting, self._ledger = splitting, ledger
        self._kept = {split: table(f"{split}.arrow", document_schema()) for split in SPLITS}
        self._dropped = table(DROPPED, dropped_schema())

    def add(self, outcome: Document | Left) -> None:
        """Write one document to its split, or to the dropped documents."""
        if isinstance(outcome, Left):
            document, reason, detail, original = outcome
            self._ledger.drop(reason, len(document.text.encode()))
            excerpt = document.text[:EXCERPT]
            about = (document.id, document.source, document.licence, reason, detail)
            row = DroppedRow(*about, len(document.text), excerpt, document.label, original)
            self._dropped.add(row, len(excerpt))
            return
        data = outcome.text.encode()
        digest = hashlib.sha256(data).hexdigest()
        split = split_of(digest, self._splitting, outcome.source)
        add_document(self._kept[split], outcome, data, digest)
        self._ledger.keep(split, outcome, len(data))

    def keep_place(self, hole: Hole) -> None:
        """Write a hole for each document that a forgotten text had become, where it was."""
        for part in json.loads(hole.told)["parts"]:
            told = json.dumps({"bytes": part["bytes"], "tokens": part["tokens"]}, sort_keys=True)
            place = Hole(part["id"], hole.source, hole.licence, told)
            add_hole(self._kept[part["split"]], place)
            self._ledger.holes[part["split"]] += 1

    def indexes(self) -> Iterator[FileIndex]:
        for writer in (*self._kept.values(), self._dropped):
            yield writer.index


def _require_training_text(ledger: Ledger) -> None:
    if not ledger.kept["train"]:
        reasons = ", ".join(f"{n} {why}" for why, n in sorted(ledger.dropped.items())) or "none"
        raise TextError(
            f"{ledger.documents_in} documents in, {ledger.kept.total()} kept, none to train on "
            f"(dropped: {reasons}); relax the recipe's cleaning or splitting, or add text"
        )


def clean(making: Making, settings: Cleaning, raw_text: RawText) -> None:
    """Clean the documents step by step, split them by the hash of their text, count them."""
    table = raw_text.table(RawText.TABLE)
    ledger = make_documents(
        raw_text.folder,
        table.index,
        settings.cleaning,
        settings.split,
        making.folder,
        unread=raw_text.unread(),
        workers=making.project.workers,
        advance=making.advance(table.index.size),
    )
    for split, source in settings.split.given.items():
        if not ledger.kept[split]:
            raise TextError(
                f"split.given.{split}: no kept document has the source {source!r}; correct it, or"
                " map the field that says the split as fields.source"
            )
