"""Raw text to documents: cleaned, each once, split, and every one accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.cleaning import Dropped, clean
from pipelines.text.deduplication import Seen
from pipelines.text.errors import TextError
from pipelines.text.splitting import SPLITS, split_of
from pipelines.text.tables import Document, TableWriter, document_schema

if TYPE_CHECKING:
    from pipelines.recipe import Cleaning, Splitting

LEDGER = "ledger.json"


@dataclass
class Ledger:
    """What went in, where it went, and what was left out and why; bytes are of the text's UTF-8.

    ``kept`` and ``bytes_kept`` are by split (after cleaning), ``dropped`` and ``bytes_dropped``
    by reason (before cleaning).
    """

    documents_in: int = 0
    bytes_in: int = 0
    kept: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    bytes_kept: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    dropped: Counter[str] = field(default_factory=Counter)
    bytes_dropped: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, size: int) -> None:
        self.dropped[reason] += 1
        self.bytes_dropped[reason] += size

    def keep(self, split: str, size: int) -> None:
        self.kept[split] += 1
        self.bytes_kept[split] += size

    def add_up(self) -> None:
        """Nothing is lost or doubled: in = kept + dropped, else TextError."""
        kept, dropped = self.kept.total(), self.dropped.total()
        if self.documents_in != kept + dropped:
            raise TextError(
                f"ledger: documents_in={self.documents_in} is not kept={kept} + dropped={dropped}"
            )

    def as_dict(self) -> dict[str, Any]:
        # dataclasses.asdict garbles a Counter on Python 3.11.
        return {k: dict(v) if isinstance(v, Counter) else v for k, v in vars(self).items()}

    def to_json(self) -> str:
        """Equal ledgers give equal text."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Ledger:
        """The ledger that ``to_json`` wrote; TextError if it is none or does not add up."""
        try:
            raw = json.loads(text)
            counts: dict[str, Any] = {
                name: Counter(value) if isinstance(value, dict) else value
                for name, value in raw.items()
            }
            made = cls(**counts)
        except (ValueError, TypeError, AttributeError) as error:
            raise TextError(f"{LEDGER}: not a ledger ({error}); make the documents again") from None
        made.add_up()
        return made


def make_documents(
    documents: Iterable[Document], cleaning: Cleaning, splitting: Splitting, folder: Path
) -> Ledger:
    """Write ``train.arrow``, ``validation.arrow``, ``test.arrow`` and ``ledger.json``.

    Of equal texts the first stays. Only digests are held in memory. TextError if nothing is left,
    or nothing to train on; a validation or test split may come out empty on a small corpus, and
    the ledger says so.
    """
    ledger, seen = Ledger(), Seen()
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(TableWriter(folder / f"{split}.arrow", document_schema()))
            for split in SPLITS
        }
        for document in documents:
            size = len(document.text.encode())
            ledger.documents_in += 1
            ledger.bytes_in += size
            cleaned = clean(document, cleaning)
            if isinstance(cleaned, Dropped):
                ledger.drop(cleaned.reason, size)
            elif seen.again(digest := cleaned.sha256):
                ledger.drop("duplicate", size)
            else:
                split = split_of(digest, splitting)
                size = len(cleaned.text.encode())
                writers[split].add((*cleaned, digest), size)
                ledger.keep(split, size)
    ledger.add_up()
    if not ledger.kept["train"]:
        reasons = ", ".join(f"{n} {why}" for why, n in sorted(ledger.dropped.items())) or "none"
        raise TextError(
            f"{ledger.documents_in} documents in, {ledger.kept.total()} kept, none to train on "
            f"(dropped: {reasons}); loosen the recipe's cleaning or splitting, or add text"
        )
    (folder / LEDGER).write_text(ledger.to_json(), encoding="utf-8", newline="\n")
    return ledger
