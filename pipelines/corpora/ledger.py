"""The ledger of a corpus: its documents, the work of each step, and the fate of each document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.corpora.splits import SPLITS
from pipelines.text.errors import TextError
from pipelines.text.tables import Document

LEDGER = "ledger.json"
LICENCES, MAX_LICENCE = 1000, 200  # licences counted by name; characters of a licence's name
OTHER_LICENCES = "(other licences)"


@dataclass
class StepCount:
    """The counts of one cleaning step; bytes are those of the text in UTF-8 before and after it.

    ``added`` counts the extra documents where the step divides one document into several.
    """

    step: str
    documents_in: int = 0
    added: int = 0
    changed: int = 0
    dropped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, other: StepCount) -> None:
        for name in ("documents_in", "added", "changed", "dropped", "bytes_in", "bytes_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Ledger:
    """The counts of the documents of a corpus; bytes are those of the text in UTF-8.

    ``kept`` and ``bytes_kept`` are by split, after cleaning. ``dropped`` and ``bytes_dropped`` are
    by reason; the bytes are those of the text that the dropping step received. ``documents_in``
    includes ``unread``: the rows that were left out when the source was read, before any step;
    their length is not known. ``licences`` and ``lengths`` count the kept documents. A length is
    the lowest power of two above the number of characters. After a thousand licences all others
    are counted under one name. ``holes`` counts, by split, the places of forgotten documents.
    """

    documents_in: int = 0
    bytes_in: int = 0
    unread: int = 0
    kept: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    bytes_kept: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    dropped: Counter[str] = field(default_factory=Counter)
    bytes_dropped: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    holes: Counter[str] = field(default_factory=Counter)
    steps: list[StepCount] = field(default_factory=list)

    def drop(self, reason: str, size: int) -> None:
        self.dropped[reason] += 1
        self.bytes_dropped[reason] += size

    def keep(self, split: str, document: Document, size: int) -> None:
        self.kept[split] += 1
        self.bytes_kept[split] += size
        licence = document.licence[:MAX_LICENCE]
        if licence not in self.licences and len(self.licences) >= LICENCES:
            licence = OTHER_LICENCES
        self.licences[licence] += 1
        self.lengths[str(1 << len(document.text).bit_length())] += 1

    def add_steps(self, counts: Sequence[StepCount], first: int = 0) -> None:
        """Add the counts of some steps, the first of which is step number ``first``."""
        for mine, theirs in zip(self.steps[first:], counts, strict=False):
            mine.add(theirs)

    def add_up(self) -> None:
        """Check that no document is lost or doubled: in + added = kept + dropped, at each step too.

        Raises TextError that names the step where the counts do not add up.
        """
        kept, dropped = self.kept.total(), self.dropped.total()
        added = sum(step.added for step in self.steps)
        if self.documents_in + added != kept + dropped:
            raise TextError(
                f"ledger: documents_in={self.documents_in} + added={added} is not kept={kept} +"
                f" dropped={dropped}"
            )
        remaining = self.documents_in - self.unread
        for step in self.steps:
            if step.documents_in != remaining:
                raise TextError(
                    f"ledger: step {step.step} counts documents_in={step.documents_in}, but"
                    f" {remaining} documents reached it"
                )
            remaining += step.added - step.dropped

    def as_dict(self) -> dict[str, Any]:
        # dataclasses.asdict garbles a Counter on Python 3.11.
        plain = {k: dict(v) if isinstance(v, Counter) else v for k, v in vars(self).items()}
        if not self.holes:
            del plain["holes"]  # a corpus that has forgotten nothing has the ledger that it had
        return {**plain, "steps": [asdict(step) for step in self.steps]}

    def to_json(self) -> str:
        """Equal ledgers give equal text."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Ledger:
        """The ledger that ``to_json`` wrote.

        Raises TextError if the text is not a ledger, or if its counts do not add up.
        """
        try:
            raw = json.loads(text)
            steps = [StepCount(**step) for step in raw.pop("steps")]
            counts: dict[str, Any] = {
                name: Counter(value) if isinstance(value, dict) else value
                for name, value in raw.items()
            }
            ledger = cls(**counts, steps=steps)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise TextError(f"{LEDGER}: not a ledger ({error}); make the documents again") from None
        ledger.add_up()
        return ledger
