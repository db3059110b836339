"""The data card of a corpus: what came, what cleaning did to it, what is left, with examples.

Facts as rows, for three doors: an asset's metadata, the report and the command line. Counts come
from the ledger; of the texts only the first few are read, however large the corpus is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping

from pipelines.core.artefact import Rows
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.corpora.ledger import Ledger, StepCount
from pipelines.corpora.splits import SPLITS
from pipelines.tokens.artefacts import TokenShards

MOST = 12  # rows of a table that could have thousands
LOOKED_THROUGH = 20_000  # left-out documents among which an example of each reason is sought


class Bytes(int):
    """A number of bytes that reads like ``1.2 MB``: a kB is 1,000 bytes."""

    def __str__(self) -> str:
        if abs(self) < 1000:
            return f"{int(self)} B"
        units = zip((1e3, 1e6, 1e9, 1e12), ("kB", "MB", "GB", "TB"), strict=True)
        size, name = next((u, n) for u, n in units if abs(self) < 999.95 * u or n == "TB")
        return f"{self / size:,.1f} {name}"


class Share(float):
    """A part of a whole that reads like ``12.3%``."""

    def __str__(self) -> str:
        return f"{float(self):.1%}"


def shown(value: object) -> str:
    """A cell as people read it: thousands parted by commas, bytes and shares in their units."""
    if isinstance(value, Bytes | Share | bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def legible(text: str) -> str:
    """A text that shows what is in it: control, format and other invisible characters escaped.

    Documents are foreign bytes; unescaped they could colour, move and reorder what surrounds them.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def shorten(text: str, length: int = 300) -> str:
    """The start of a text, for a look, in legible characters."""
    return legible(text if len(text) <= length else text[: length - 1] + "…")


def masked(text: str, length: int = 300) -> str:
    """The start of a text that no cleaning went over: what leads to a person is masked in it.

    Such looks end up in databases and pages, where nobody would seek them to forget them.
    """
    from pipelines.corpora.cleaning.outcome import Cleaned
    from pipelines.corpora.cleaning.steps.personal_data import STEP

    start = text[: 10 * length]  # a mask may be shorter than what it stands for
    outcome = STEP.of()(start)
    return shorten(outcome.text if isinstance(outcome, Cleaned) else "", length)


def headline(ledger: Ledger) -> str:
    """What came and what is left, in a sentence."""
    kept, whole, added = ledger.kept.total(), _whole(ledger), _added(ledger)
    divided = f" and were divided into {ledger.documents_in + added:,}" if added else ""
    return (
        f"{_documents(ledger.documents_in)} of {Bytes(ledger.bytes_in)} came{divided};"
        f" {kept:,} of {Bytes(ledger.bytes_kept.total())} were kept ({Share(kept / whole)})."
    )


def _documents(count: int) -> str:
    return f"{count:,} document{'s' * (count != 1)}"


def tables(ledger: Ledger) -> dict[str, Rows]:
    """``splits``, ``cleaning``, ``dropped`` and ``licences``, where there is anything in them."""
    found = {
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
    return {title: rows for title, rows in found.items() if rows}


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
    """Documents that came of dividing others."""
    return sum(step.added for step in ledger.steps)


def _whole(ledger: Ledger) -> int:
    """Documents that were kept or dropped, which shares are of."""
    return max(ledger.kept.total() + ledger.dropped.total(), 1)


def most(counts: Counter[str]) -> dict[str, int]:
    """The highest counts first; those past the first dozen as one, ``others``."""
    found = dict(counts.most_common(MOST))
    others = counts.total() - sum(found.values())
    return {**found, "others": others} if others else found


def steps(ledger: Ledger) -> list[tuple[str, int, int]]:
    """What is left after each cleaning step and what it dropped, from what came on."""
    done = [(s.step, s.documents_in + s.added - s.dropped, s.dropped) for s in ledger.steps]
    came = ledger.documents_in
    read = [("reading", came - ledger.unread, ledger.unread)] if ledger.unread else []
    return [("came", came, 0), *read, *done]


def samples(documents: Documents, count: int = 3) -> Rows:
    """The first documents of the training split."""
    return [
        {
            "id": masked(d.id),
            "source": masked(d.source),
            "changes": legible("; ".join(d.changes)),
            "text": shorten(d.text),
        }
        for d in itertools.islice(documents.split("train"), count)
    ]


def examples(documents: Documents) -> Rows:
    """A document for each reason that some were left out for, the most frequent reason first.

    Sought among the first 20,000: a reason that none of these has goes without.
    """
    reasons = [reason for reason, _ in documents.ledger().dropped.most_common()]
    found: dict[str, dict[str, object]] = {}
    for row in itertools.islice(documents.dropped(), LOOKED_THROUGH):
        if row.reason not in found:
            found[row.reason] = {
                "reason": row.reason,
                "id": masked(row.id),
                "detail": masked(row.detail),
                "characters": row.characters,
                "text": masked(row.text, 200),
            }
            if len(found) == len(reasons):
                break
    return [found[reason] for reason in reasons if reason in found]


def tokens(shards: TokenShards, corpus: str | None = None) -> Rows:
    """What a corpus, or each, came to as tokens, by split."""
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


def contaminated(contamination: Contamination) -> Rows:
    """How many training documents of each corpus share words with each evaluation set."""
    counts: Counter[tuple[str, str]] = Counter()
    # The rows of one training document follow each other.
    for (corpus, _), rows in itertools.groupby(contamination.overlaps(), key=lambda row: row[:2]):
        counts.update((corpus, evaluation) for evaluation in {row.evaluation for row in rows})
    return [
        {"trained on": corpus, "evaluated on": evaluation, "documents": count}
        for (corpus, evaluation), count in sorted(counts.items())
    ]


def overlaps(contamination: Contamination, count: int = 10, corpus: str | None = None) -> Rows:
    """The first training documents that share words with an evaluation text (of a corpus)."""
    rows = (row for row in contamination.overlaps() if corpus in (None, row.corpus))
    return [
        {name: shorten(v) if isinstance(v, str) else v for name, v in row._asdict().items()}
        for row in itertools.islice(rows, count)
    ]


def readable(rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
    """Rows with every cell as people read it."""
    return [{name: shown(value) for name, value in row.items()} for row in rows]
