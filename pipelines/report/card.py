"""The data card of a corpus: counts of documents before and after cleaning, with examples.

The facts are rows of tables. An asset's metadata, the report and the command line show them. Counts
come from the ledger. Only the first few texts are read, however large the corpus is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping

from pipelines.core.artefact import Rows
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.corpora.ledger import Ledger, StepCount
from pipelines.corpora.splits import SPLITS
from pipelines.evaluation.items import SeenItems
from pipelines.tokens.artefacts import TokenShards

MOST = 12  # the largest number of rows of a table of counts
LOOKED_THROUGH = 20_000  # how many dropped documents are searched for an example of each reason


class Bytes(int):
    """A number of bytes that is shown like ``1.2 MB``; a kB is 1,000 bytes."""

    def __str__(self) -> str:
        if abs(self) < 1000:
            return f"{int(self)} B"
        units = zip((1e3, 1e6, 1e9, 1e12), ("kB", "MB", "GB", "TB"), strict=True)
        size, name = next((u, n) for u, n in units if abs(self) < 999.95 * u or n == "TB")
        return f"{self / size:,.1f} {name}"


class Share(float):
    """A share of a whole that is shown like ``12.3%``."""

    def __str__(self) -> str:
        return f"{float(self):.1%}"


def shown(value: object) -> str:
    """A cell of a table for people: commas between thousands, units for bytes and shares."""
    if isinstance(value, Bytes | Share | bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def legible(text: str) -> str:
    """A text with its control, format and other invisible characters escaped.

    Documents come from outside. Without escapes they could colour, move or reorder the text around
    them.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def shorten(text: str, length: int = 300) -> str:
    """The first ``length`` characters of a text, in legible characters."""
    return legible(text if len(text) <= length else text[: length - 1] + "…")


def masked(text: str, length: int = 300) -> str:
    """The start of a text that was perhaps not cleaned, with personal data masked."""
    from pipelines.corpora.cleaning.masking import without_personal_data

    # A mask may be shorter than the text that it replaces.
    return shorten(without_personal_data(text[: 10 * length]), length)


def headline(ledger: Ledger) -> str:
    """One sentence about the documents that came and the documents that were kept."""
    kept, whole, added = ledger.kept.total(), _whole(ledger), _added(ledger)
    divided = f" and were divided into {ledger.documents_in + added:,}" if added else ""
    return (
        f"{_documents(ledger.documents_in)} of {Bytes(ledger.bytes_in)} came{divided};"
        f" {kept:,} of {Bytes(ledger.bytes_kept.total())} were kept ({Share(kept / whole)})."
    )


def _documents(count: int) -> str:
    return f"{count:,} document{'s' * (count != 1)}"


def tables(ledger: Ledger) -> dict[str, Rows]:
    """The tables ``splits``, ``cleaning``, ``dropped`` and ``licences``, without empty ones."""
    by_title = {
        "splits": _splits(ledger),
        "cleaning": _cleaning(ledger),
        "dropped": [
            {
                "reason": reason,
                "documents": count,
                "share": Share(count / _whole(ledger)),
                "bytes": Bytes(ledger.bytes_dropped[reason]),
            }
            for reason, count in ledger.dropped.most_common()
        ],
        "licences": [
            {"licence": shorten(name, 60), "documents": n, "share": Share(n / ledger.kept.total())}
            for name, n in most(ledger.licences).items()
        ],
    }
    return {title: rows for title, rows in by_title.items() if rows}


def _splits(ledger: Ledger) -> Rows:
    parts = [
        ("came", ledger.documents_in, ledger.bytes_in),
        ("dropped", ledger.dropped.total(), ledger.bytes_dropped.total()),
        ("kept", ledger.kept.total(), ledger.bytes_kept.total()),
        *((split, ledger.kept[split], ledger.bytes_kept[split]) for split in SPLITS),
    ]
    return [
        {
            "part": part,
            "documents": count,
            "share": "" if part == "came" else Share(count / _whole(ledger)),
            "bytes": Bytes(size),
        }
        for part, count, size in parts
    ]


def _cleaning(ledger: Ledger) -> Rows:
    came, size = ledger.documents_in, ledger.bytes_in
    reading = StepCount("reading", came, dropped=ledger.unread, bytes_in=size, bytes_out=size)
    return [
        {
            "step": step.step,
            "in": step.documents_in,
            **({"added": step.added} if _added(ledger) else {}),
            "changed": step.changed,
            "dropped": step.dropped,
            "left": step.documents_in + step.added - step.dropped,
            "bytes in": Bytes(step.bytes_in),
            "bytes out": Bytes(step.bytes_out),
        }
        for step in (*([reading] if ledger.unread else []), *ledger.steps)
    ]


def _added(ledger: Ledger) -> int:
    """The number of documents that steps added by dividing other documents."""
    return sum(step.added for step in ledger.steps)


def _whole(ledger: Ledger) -> int:
    """The number of documents that were kept or dropped, at least 1. Shares are shares of it."""
    return max(ledger.kept.total() + ledger.dropped.total(), 1)


def most(counts: Counter[str]) -> dict[str, int]:
    """The 12 highest counts, the highest first; the other counts are summed as ``others``."""
    highest = dict(counts.most_common(MOST))
    others = counts.total() - sum(highest.values())
    return {**highest, "others": others} if others else highest


def steps(ledger: Ledger) -> list[tuple[str, int, int]]:
    """(step, documents left, documents dropped) for each cleaning step, starting with ``came``."""
    cleaning = [(s.step, s.documents_in + s.added - s.dropped, s.dropped) for s in ledger.steps]
    came = ledger.documents_in
    reading = [("reading", came - ledger.unread, ledger.unread)] if ledger.unread else []
    return [("came", came, 0), *reading, *cleaning]


def samples(documents: Documents, count: int = 3) -> Rows:
    """The first documents of the training split."""
    return [
        {
            "id": masked(d.id),
            "source": masked(d.source),
            "changes": legible("; ".join(d.changes)),
            "text": masked(d.text),
        }
        for d in itertools.islice(documents.split("train"), count)
    ]


def examples(documents: Documents) -> Rows:
    """One dropped document for each reason, the most frequent reason first.

    Only the first 20,000 dropped documents are searched. A reason that none of them has gets no
    example.
    """
    reasons = [reason for reason, _ in documents.ledger().dropped.most_common()]
    by_reason: dict[str, dict[str, object]] = {}
    for row in itertools.islice(documents.dropped(), LOOKED_THROUGH):
        if row.reason not in by_reason:
            by_reason[row.reason] = {
                "reason": row.reason,
                "id": masked(row.id),
                "detail": masked(row.detail),
                "characters": row.characters,
                "text": masked(row.text, 200),
            }
            if len(by_reason) == len(reasons):
                break
    return [by_reason[reason] for reason in reasons if reason in by_reason]


def tokens(shards: TokenShards, corpus: str | None = None) -> Rows:
    """The counts of documents, tokens and bytes of one corpus, or of each corpus, by split."""
    return [
        {
            "split": row["split"],
            "corpus": row["corpus"],
            "documents": row["documents"],
            "tokens": row["tokens"],
            "bytes": Bytes(row["text_bytes"]),
            "bytes per token": row["text_bytes"] / max(row["tokens"], 1),
        }
        for split in SPLITS
        for row in shards.summaries()
        if row["split"] == split and corpus in (None, row["corpus"])
    ]


def contaminated(contamination: Contamination, corpus: str | None = None) -> Rows:
    """How many training documents of each corpus, or of one, share words with each evaluation set.

    Whether a training used them is not said here: who reads the search leaves them out.
    """
    counts: Counter[tuple[str, str]] = Counter()
    # The rows of one training document are consecutive.
    for (name, _), rows in itertools.groupby(contamination.overlaps(), key=lambda row: row[:2]):
        counts.update((name, evaluation) for evaluation in {row.evaluation for row in rows})
    return [
        {"training text": name, "shares words with": evaluation, "documents": count}
        for (name, evaluation), count in sorted(counts.items())
        if corpus in (None, name)
    ]


def overlaps(
    contamination: Contamination | SeenItems, count: int = 10, corpus: str | None = None
) -> Rows:
    """The first training documents (of one corpus) that share words with an evaluation text."""
    rows = (row for row in contamination.overlaps() if corpus in (None, row.corpus))
    return [
        {name: shorten(v) if isinstance(v, str) else v for name, v in row._asdict().items()}
        for row in itertools.islice(rows, count)
    ]


def readable(rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
    """Rows with every cell formatted for people."""
    return [{name: shown(value) for name, value in row.items()} for row in rows]
