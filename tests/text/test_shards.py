"""Shards: tokens without a copy, boundaries kept, and no changed byte is ever used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.text import shards
from pipelines.text.errors import TextError
from pipelines.text.shards import (
    INDEX,
    Shard,
    ShardEntry,
    SplitSummary,
    dtype_for,
    read_index,
    read_shard,
    write_index,
    write_shards,
)
from pipelines.text.tables import Document
from pipelines.text.tokenizers import Tokenizer


def documents(texts: list[str]) -> list[Document]:
    return [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts)]


def make(
    folder: Path, texts: list[str], tokenizer: Tokenizer, max_bytes: int = 1 << 20
) -> SplitSummary:
    made = write_shards(folder, "train", "chat", documents(texts), tokenizer, max_bytes)
    write_index(folder, [made], tokenizer.vocab_size)
    return made


@pytest.fixture
def batches_of_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TOKENS_PER_BATCH", 100)
    monkeypatch.setattr(shards, "CHARACTERS_PER_CHUNK", 1000)


def opened(folder: Path) -> list[Shard]:
    return [read_shard(folder, entry) for entry in read_index((folder / INDEX).read_bytes())[1]]


# --- what is in them ----------------------------------------------------------------------------


@pytest.mark.usefixtures("batches_of_100")
def test_every_document_ends_with_end_of_text(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    given = ["", "<|endoftext|>", *texts[:40]]
    made = make(tmp_path, given, small)
    assert (made.documents, made.text_bytes) == (42, sum(len(t.encode()) for t in given))
    assert len(made.shards) == 1
    assert len(made.shards[0].batches) > 5
    (shard,) = opened(tmp_path)
    found = list(shard.documents())
    assert [name for name, _ in found] == [f"d{i}" for i in range(42)]
    for text, (_, tokens) in zip(given, found, strict=True):
        assert tokens.tolist() == [*small.encode(text), small.end_of_text]
    stream = np.concatenate([shard.tokens(batch) for batch in range(len(shard))])
    assert len(stream) == made.tokens
    assert (stream == small.end_of_text).sum() == 42


@pytest.mark.usefixtures("batches_of_100")
def test_shards_keep_to_their_size(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    made = make(tmp_path, texts[:40], small, max_bytes=1500)
    assert len(made.shards) > 2
    assert [i for shard in opened(tmp_path) for i, _ in shard.documents()] == [
        f"d{i}" for i in range(40)
    ]
    for entry in made.shards:
        last = entry.batches[-1]
        assert len(entry.batches) == 1 or last.offset + last.tokens * 2 <= 1500
    assert [e.path for e in made.shards[:2]] == [
        "train/chat-00000.arrow",
        "train/chat-00001.arrow",
    ]


def test_tokens_are_a_read_only_view_of_the_mapped_file(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    (entry,) = make(tmp_path, texts[:5], small).shards
    shard = read_shard(tmp_path, entry)
    tokens = shard.tokens(0)
    address, batch = tokens.__array_interface__["data"][0], entry.batches[0]
    inside = address - shard._buffer.address - batch.offset
    assert 0 < inside < batch.length
    assert tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_the_smallest_dtype_that_holds_the_vocabulary(tmp_path: Path) -> None:
    assert [dtype_for(n) for n in (512, 65536, 65537, 1 << 32)] == [
        "uint16",
        "uint16",
        "uint32",
        "uint32",
    ]
    with pytest.raises(TextError, match="no token fits in 32 bits"):
        dtype_for((1 << 32) + 1)
    ranks = [bytes([i]) for i in range(256)]
    ranks += [bytes([one, two]) for one in range(256) for two in range(256)]
    large = Tokenizer(ranks, "bpe")
    made = make(tmp_path, ["abc"], large)
    assert made.shards[0].dtype == "uint32"
    assert read_shard(tmp_path, made.shards[0]).tokens(0).tolist() == [
        *large.encode("abc"),
        large.end_of_text,
    ]


def test_no_documents_no_shard(tmp_path: Path, small: Tokenizer) -> None:
    made = make(tmp_path, [], small)
    assert (made.documents, made.tokens, made.shards) == (0, 0, ())
    assert opened(tmp_path) == []


def test_same_documents_same_bytes(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    for name in "ab":
        make(tmp_path / name, texts[:30], Tokenizer(small.ranks, "bpe"))
    for path in (INDEX, "train/chat-00000.arrow"):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_the_size_of_chunks_does_not_show(
    tmp_path: Path, small: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(tmp_path / "a", texts[:30], small)
    monkeypatch.setattr(shards, "CHARACTERS_PER_CHUNK", 1)
    assert make(tmp_path / "b", texts[:30], small) == whole


@pytest.mark.filterwarnings("default")
def test_datasets_reads_them(
    tmp_path: Path, small: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    make(tmp_path, texts[:20], small)
    found = datasets.load_dataset(
        "arrow",
        data_files={"train": str(tmp_path / "train" / "chat-*.arrow")},
        cache_dir=str(tmp_path / "cache"),
    )["train"]
    assert found.features["tokens"].feature.dtype == "uint16"
    assert found["document_id"][:2] == ["d0", "d1"]
    assert found[3]["tokens"] == [*small.encode(texts[3]), small.end_of_text]


# --- no corrupt byte is used --------------------------------------------------------------------


def read_all(folder: Path, entry: ShardEntry) -> None:
    shard = read_shard(folder, entry)
    for batch in range(len(shard)):
        shard.tokens(batch)
        shard.document_ids(batch)


@pytest.fixture
def tiny_shard(tmp_path: Path, small: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> ShardEntry:
    monkeypatch.setattr(shards, "TOKENS_PER_BATCH", 8)
    (entry,) = make(tmp_path, ["hello there", "hello river"], small).shards
    assert len(entry.batches) == 2
    return entry


def test_every_flipped_byte_is_found(tmp_path: Path, tiny_shard: ShardEntry) -> None:
    path = tmp_path / tiny_shard.path
    whole = path.read_bytes()
    read_all(tmp_path, tiny_shard)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(TextError, match=r"chat-00000\.arrow.*record batch"):
            read_all(tmp_path, tiny_shard)


def test_every_truncation_is_found(tmp_path: Path, tiny_shard: ShardEntry) -> None:
    path = tmp_path / tiny_shard.path
    whole = path.read_bytes()
    for length in [*range(len(whole)), len(whole) + 1]:
        path.write_bytes((whole + b"\0")[:length])
        with pytest.raises(TextError, match=r"chat-00000\.arrow: \d+ bytes.*record batch"):
            read_all(tmp_path, tiny_shard)


def test_a_good_batch_is_read_beside_a_bad_one(tmp_path: Path, tiny_shard: ShardEntry) -> None:
    path = tmp_path / tiny_shard.path
    damaged = bytearray(path.read_bytes())
    damaged[tiny_shard.batches[1].offset + 20] ^= 1
    path.write_bytes(damaged)
    shard = read_shard(tmp_path, tiny_shard)
    assert len(shard.tokens(0))
    for _ in range(2):
        with pytest.raises(TextError, match="record batch 1 "):
            shard.tokens(1)


def test_missing_and_swapped_shards_are_found(
    tmp_path: Path, small: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "TOKENS_PER_BATCH", 8)
    one, two, *_ = make(tmp_path, ["river here", "river hers", "x"], small, max_bytes=1).shards
    assert one.size == two.size, "only the content can tell them apart"
    first, second = tmp_path / one.path, tmp_path / two.path
    shutil.move(first, tmp_path / "aside")
    with pytest.raises(TextError, match=r"chat-00000\.arrow: missing"):
        read_shard(tmp_path, one)
    shutil.copy(second, first)
    with pytest.raises(TextError, match=r"chat-00000\.arrow.*record batch"):
        read_all(tmp_path, one)


def test_a_broken_index_is_named() -> None:
    for broken in (b"{", b"{}", b'{"vocab_size": 3, "shards": [{}]}', b"\xff"):
        with pytest.raises(TextError, match=r"shards\.json: not an index"):
            read_index(broken)


def test_the_index_comes_back(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    made = [
        write_shards(tmp_path, split, "chat", documents(texts[:3]), small)
        for split in ("train", "test")
    ]
    path = write_index(tmp_path, made, small.vocab_size)
    vocab_size, found = read_index(path.read_bytes())
    assert vocab_size == 512
    assert found == [*made[1].shards, *made[0].shards]
    assert write_index(tmp_path, reversed(made), small.vocab_size).read_bytes() == (
        path.read_bytes()
    )
    assert replace(found[0], split="train", path=found[1].path) == found[1]


def test_arrow_itself_reads_them(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    make(tmp_path, texts[:4], small)
    with pa.memory_map(str(tmp_path / "train" / "chat-00000.arrow")) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    table.validate(full=True)
    assert table.schema.names == ["document_id", "tokens"]
    assert table.num_rows == 4
