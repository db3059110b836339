"""A store with valid manifests, records and tables, written without any making: cheap, and known.

Each version's bytes follow from what decides it and from its documents. So a difference anywhere
changes all that hangs on it, as a real making's would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.core.artefact import Artefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.corpora.artefacts import DROPPED, DroppedRow, dropped_schema
from pipelines.corpora.ledger import LEDGER, Ledger
from pipelines.lineage.views import view_of
from pipelines.text.arrow import ArrowWriter, FileIndex
from pipelines.text.tables import (
    Document,
    TableWriter,
    Unread,
    unread_schema,
    write_documents,
    write_index,
)
from pipelines.tokens.artefacts import ShardEntry
from pipelines.tokens.shards import write_index as write_shard_index

SPLITS = ("train", "validation", "test")
Fill = Callable[[Path], None]
Drawn = tuple[str, str, str, str, int, int]  # as the columns of draws.arrow, sha256 as hex
DRAWS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("corpus", "document_id")),
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("tokens", "first_step")),
    ]
)
SHARD = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
        pa.field("tokens", pa.list_(pa.field("item", pa.uint16(), nullable=False)), nullable=False),
    ]
)


class MadeUp:
    """Writes versions into a store."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.store = Store(root)
        self._drafts = root / ".work" / "made-up"
        self._count = 0

    def publish(
        self,
        key: str,
        makes: str,
        fill: Fill,
        inputs: Mapping[str, Artefact] | None = None,
        *,
        recipe: Mapping[str, Any] | None = None,
        libraries: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
        observed: Mapping[str, Any] | None = None,
        made: Mapping[str, Any] | None = None,
    ) -> Artefact:
        """Publish what ``fill`` writes into a folder, with a record of these parts."""
        self._count += 1
        draft = self._drafts / str(self._count)
        draft.mkdir(parents=True)
        fill(draft)
        inputs, modules = inputs or {}, modules or {f"pipelines.{makes.lower()}": "0" * 16}
        decides = {
            "making": f"pipelines.{makes.lower()}:make",
            "makes": makes,
            "reads": list(inputs),
            "code": digest(modules),
            "recipe": {"of": key, **(recipe or {})},  # different keys are different work here
            "libraries": libraries or {},
            "uses": {},
            "inputs": {name: artefact.version for name, artefact in inputs.items()},
            **({"observed": observed} if observed else {}),
        }
        parents = tuple(
            {"input": name, "version": one.version, "derivation": one.derivation}
            for name, one in inputs.items()
        )
        about = {"key": key, "finished": f"2026-11-30T10:{self._count // 60 % 60:02d}:00Z"}
        about |= {"modules": modules, **(made or {})}
        record = Record(seal(draft), makes, decides, parents, about)
        self.store.publish(key, draft, record)
        return self.store.open(key, record.version, view_of(makes), record.derivation)


def raw_text(documents: Sequence[Document]) -> Fill:
    """The files of a raw text."""

    def fill(folder: Path) -> None:
        table = write_documents(folder, "documents.arrow", documents)
        with TableWriter(folder, "unread.arrow", unread_schema()) as unread:
            unread.add(Unread("bad", "here", "CC0-1.0", "no_text", "the row has no text"), 4)
        write_index(folder, [table, unread.index])
        write_json(folder, "figures.json", {"documents": len(documents)})

    return fill


def documents(
    splits: Mapping[str, Sequence[Document]], dropped: Iterable[DroppedRow] = (), mark: str = ""
) -> Fill:
    """The files of documents. ``mark`` is in a file of its own: what decided the cleaning."""

    def fill(folder: Path) -> None:
        ledger = Ledger(unread=0)
        indexes = []
        for split in SPLITS:
            indexes.append(write_documents(folder, f"{split}.arrow", splits.get(split, ())))
            for document in splits.get(split, ()):
                ledger.documents_in += 1
                ledger.keep(split, document, len(document.text))
        with TableWriter(folder, DROPPED, dropped_schema()) as writer:
            for row in dropped:
                writer.add(row, len(row.text))
                ledger.documents_in += 1
                ledger.drop(row.reason, len(row.text))
        write_index(folder, [*indexes, writer.index])
        (folder / LEDGER).write_text(ledger.to_json())
        (folder / "mark").write_text(mark)

    return fill


def shards(corpora: Mapping[str, Sequence[Document]], mark: str = "") -> Fill:
    """The files of token shards with one training shard for each corpus."""

    def fill(folder: Path) -> None:
        (folder / "train").mkdir()
        entries = []
        for corpus, held in corpora.items():
            rows = [(d.id, bytes.fromhex(d.sha256), [1, 2, 3, 0]) for d in held]
            index = table_of(folder, f"train/{corpus}-00000.arrow", SHARD, rows)
            entries.append(ShardEntry(index, "train", corpus, "uint16", 9, (4 * len(rows),)))
        write_shard_index(folder, entries, 300)
        (folder / "mark").write_text(mark)

    return fill


def checkpoint(draws: Sequence[Drawn] | None = None, mark: str = "") -> Fill:
    """The files of a trained network; without ``draws`` as an earlier program wrote them."""

    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_text(f"weights {mark}")
        write_json(folder, "config.json", {"architecture": "gpt"})
        write_json(folder, "figures.json", {"parameters": 7, "steps": 20})
        if draws is not None:
            rows = [(c, d, e, bytes.fromhex(s), t, f) for c, d, e, s, t, f in draws]
            write_index(folder, [table_of(folder, "draws.arrow", DRAWS, rows)])

    return fill


def evaluation(figures: Mapping[str, float]) -> Fill:
    """The files of an evaluation whose first figure is compared with a baseline."""

    def fill(folder: Path) -> None:
        name, ours = next(iter(figures.items()))
        comparison = {"measure": name, "better": "lower", "ours": ours, "baselines": {"a": 9.0}}
        write_json(folder, "figures.json", dict(figures))
        write_json(folder, "comparison.json", comparison)

    return fill


def plain(mark: str) -> Fill:
    """One file."""
    return lambda folder: write_json(folder, "figures.json", {"mark": mark})


def table_of(
    folder: Path, path: str, schema: pa.Schema, rows: Sequence[Sequence[Any]]
) -> FileIndex:
    """A table with batches of at most 4096 rows."""
    with ArrowWriter(folder, path, schema) as writer:
        for start in range(0, len(rows), 4096):
            columns = zip(*rows[start : start + 4096], strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write(pa.record_batch(arrays, schema=schema))
    return writer.index


def write_json(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_bytes(canonical(value))


def text_of(corpus: str, number: int, words: int = 30) -> str:
    """A text of its own: words that follow from the corpus and the number."""
    seed = hashlib.sha256(f"{corpus} {number}".encode()).hexdigest()
    return " ".join(
        hashlib.sha256(f"{seed} {word}".encode()).hexdigest()[: 3 + word % 5]
        for word in range(words)
    )


def document(corpus: str, number: int, text: str | None = None, words: int = 30) -> Document:
    """A document of a corpus."""
    body = text_of(corpus, number, words) if text is None else text
    return Document(f"{corpus}-{number}", body, f"{corpus}.txt", "CC0-1.0")


def mark_of(*parts: Any) -> str:
    """A digest of what decides a version, as its mark."""
    return digest(json.loads(json.dumps(parts, default=list)))
