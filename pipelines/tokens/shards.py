"""Token shards: Arrow files in which a training run reads any token without reading the rest.

A shard has one row for each document: ``document_id: string``, ``sha256: binary(32)`` of its text,
``tokens: list<uint16>``. Each document ends with the end of text. So the values buffer of a record
batch is one continuous stream of tokens, which is viewed without a copy; the list offsets are the
document boundaries.

The plan of the shards depends only on the documents' table. So any number of processes can write
the shards, in any order, with the same bytes. A shard that was finished before a kill is not made
again if it matches the note beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out
from pipelines.corpora.splits import SPLITS
from pipelines.text.arrow import ArrowFile, ArrowWriter, FileIndex
from pipelines.text.errors import TextError
from pipelines.text.parallel import ordered_map
from pipelines.tokens.artefacts import INDEX, ShardEntry, TokenizerFiles
from pipelines.tokens.shard_rows import Rows, record_batches, shard_schema

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

MAX_SHARD_BYTES = 256_000_000
# The bytes of documents in a shard, or one longer document. Tokenizers give at most one token for
# each byte, and a token has at most four bytes, so a shard stays below its limit; about 30 MB is
# usual.
TABLE_BYTES_PER_SHARD = 60_000_000


@dataclass(frozen=True)
class ShardPlan:
    """The plan of one shard: the record batches ``first`` to ``last - 1`` of a documents table."""

    path: str
    split: str
    corpus: str
    table: FileIndex
    first: int
    last: int

    @property
    def size(self) -> int:
        """The bytes of the documents."""
        return sum(batch.length for batch in self.table.batches[self.first : self.last])


def dtype_for(vocab_size: int) -> str:
    """The smaller of uint16 and uint32 that holds every id. Raises TextError if neither does."""
    if vocab_size < 1 << 16:  # the highest number marks a hole
        return "uint16"
    if vocab_size < 1 << 32:
        return "uint32"
    raise TextError(f"vocab_size={vocab_size}: no token fits in 32 bits; choose a smaller one")


def plan_shards(split: str, corpus: str, table: FileIndex) -> list[ShardPlan]:
    """The shards of one table of documents: whole record batches in order, at least one each."""
    cuts, size = [0], 0
    for number, batch in enumerate(table.batches):
        if size and size + batch.length > TABLE_BYTES_PER_SHARD:
            cuts.append(number)
            size = 0
        size += batch.length
    cuts.append(len(table.batches))
    return [
        ShardPlan(f"{split}/{corpus}-{number:05d}.arrow", split, corpus, table, first, last)
        for number, (first, last) in enumerate(pairwise(cuts))
        if last > first
    ]


def write_shards(
    folder: Path,
    plans: Sequence[ShardPlan],
    documents: Mapping[str, Path],
    tokenizer: Mapping[str, bytes],
    *,
    version: str = "",
    left_out: Mapping[str, frozenset[str]] | None = None,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> list[ShardEntry]:
    """Write the shards of the plans to ``folder``; shards that are finished there are kept.

    ``documents`` are the folders of the corpora's tables, ``tokenizer`` the files of a tokenizer
    and ``version`` its version, by which a hole knows how many tokens it has.
    Documents in ``left_out`` (ids by corpus) are skipped in the training split. ``advance``
    receives the bytes of documents done. Equal documents and tokenizer give equal bytes for any
    number of ``workers``.
    """
    for plan in plans:
        (folder / plan.path).parent.mkdir(parents=True, exist_ok=True)
    for partial in folder.rglob("*.partial"):
        partial.unlink()
    arguments = (folder, dict(documents), dict(tokenizer), version, dict(left_out or {}))
    entries = []
    for plan, entry in zip(plans, ordered_map(_encoder, arguments, plans, workers), strict=True):
        advance(plan.size)
        entries.append(entry)
    return [entry for entry in entries if entry.tokens]


def _encoder(
    folder: Path,
    documents: Mapping[str, Path],
    files: Mapping[str, bytes],
    version: str,
    left_out: Mapping[str, frozenset[str]],
) -> Callable[[ShardPlan], ShardEntry]:
    from pipelines.tokens.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(files.__getitem__)

    def make(plan: ShardPlan) -> ShardEntry:
        entry = _finished(folder, plan)
        if entry is None:
            skipped = left_out.get(plan.corpus, frozenset()) if plan.split == "train" else ()
            tokenizer.begin()
            entry = _make(folder, plan, documents[plan.corpus], tokenizer, version, skipped)
            if not tokenizer.by_bulk:
                # The bulk library was wrong in the middle. Encode all with the reference, so that
                # the bytes do not depend on other texts that this process encoded.
                tokenizer.begin(bulk=False)
                entry = _make(folder, plan, documents[plan.corpus], tokenizer, version, skipped)
            note = {"entry": asdict(entry), "sha256": _digest(entry)}
            _write_note(folder / f"{plan.path}.json", json.dumps(note).encode())
        return entry

    return make


def _finished(folder: Path, plan: ShardPlan) -> ShardEntry | None:
    """The shard that an earlier try finished, with every byte checked; None if there is none."""
    try:
        note = json.loads((folder / f"{plan.path}.json").read_bytes())
        entry = ShardEntry.from_json(note["entry"])
        if note["sha256"] != _digest(entry) or (entry.file.path, entry.corpus) != (
            plan.path,
            plan.corpus,
        ):
            return None
        for _ in ArrowFile(folder, entry.file).batches():
            pass
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry


def _digest(entry: ShardEntry) -> str:
    return hashlib.sha256(json.dumps(asdict(entry), sort_keys=True).encode()).hexdigest()


def _make(
    folder: Path,
    plan: ShardPlan,
    documents: Path,
    tokenizer: Tokenizer,
    version: str,
    skipped: frozenset[str] | tuple[()],
) -> ShardEntry:
    """Write one shard, first as a partial file."""
    table, dtype = ArrowFile(documents, plan.table), dtype_for(tokenizer.vocab_size)
    token_counts, text_bytes, gone = [], 0, []
    partial = f"{plan.path}.partial"
    with ArrowWriter(folder, partial, shard_schema(dtype)) as writer:
        for number in range(plan.first, plan.last):
            rows = Rows.of(table.batch(number), skipped, version)
            text_bytes += sum(len(text.encode()) for text in rows.texts)
            gone += [count for count in rows.holes if count]
            for token_count, batch in record_batches(rows, tokenizer, dtype):
                writer.write(batch)
                token_counts.append(token_count)
    index = writer.index
    if index.size > MAX_SHARD_BYTES:
        raise TextError(
            f"shard {plan.path}: {index.size} bytes, at most {MAX_SHARD_BYTES}: its documents are"
            " too long for this tokenizer; lower max_document_bytes, or divide them"
        )
    (folder / partial).replace(folder / plan.path)
    file = FileIndex(plan.path, index.size, index.frame_sha256, index.batches)
    counts = tuple(token_counts), len(gone), sum(gone)
    return ShardEntry(file, plan.split, plan.corpus, dtype, text_bytes, *counts)


def _write_note(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_index(
    folder: Path,
    entries: Iterable[ShardEntry],
    vocab_size: int,
    end_of_text: int | None = None,
) -> Path:
    """Write ``shards.json``, the index of all splits and corpora; equal shards give equal bytes.

    With holes it says what marks them, and what is read in their place: the ``end_of_text``.
    """
    shards = sorted((asdict(entry) for entry in entries), key=lambda entry: entry["file"]["path"])
    content: dict[str, Any] = {"vocab_size": vocab_size, "shards": shards}
    if any(entry["holes"] for entry in shards):
        assert end_of_text is not None
        bits = 16 if shards[0]["dtype"] == "uint16" else 32
        content["hole"] = [(1 << bits) - 1, end_of_text]
    path = folder / INDEX
    text = json.dumps(content, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def encode(
    making: Making,
    tokenizer: TokenizerFiles,
    documents: dict[str, Documents],
    contamination: dict[str, Contamination],
) -> None:
    """Token ids as Arrow IPC: one row for each document, one checksum for each record batch."""
    plans = [
        plan
        for split in SPLITS
        for corpus, texts in documents.items()
        for plan in plan_shards(split, corpus, texts.table(f"{split}.arrow").index)
    ]
    entries = write_shards(
        making.parts(),
        plans,
        {corpus: texts.folder for corpus, texts in documents.items()},
        {name: tokenizer.read(name) for name in tokenizer.files},
        version=tokenizer.version,
        left_out=left_out(contamination),
        workers=making.project.workers,
        advance=making.advance(sum(plan.size for plan in plans)),
    )
    for corpus in documents:
        if not any(entry.corpus == corpus and entry.split == "train" for entry in entries):
            raise ValueError(
                f"corpus {corpus}: no training document is left after decontamination; raise"
                " `ngram` of the recipe's decontamination, or set drop: false"
            )
    for entry in entries:
        making.take(entry.file.path)
    encoder = tokenizer.load()
    write_index(making.folder, entries, encoder.vocab_size, encoder.end_of_text)
    making.write(FIGURES, _figures(entries))


def _figures(entries: list[ShardEntry]) -> dict[str, float]:
    """The tokens by split, and the bytes of text for each token (compression)."""
    tokens = {
        split: sum(sum(e.tokens) - e.hole_tokens for e in entries if e.split == split)
        for split in SPLITS
    }
    text_bytes = sum(entry.text_bytes for entry in entries)
    return {
        **{f"{split}_tokens": count for split, count in tokens.items()},
        "bytes_per_token": round(text_bytes / max(sum(tokens.values()), 1), 4),
    }
