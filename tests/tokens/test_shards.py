"""Shards: tokens without a copy, boundaries kept, the same bytes whoever makes them."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.text import tables
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, open_table, write_documents
from pipelines.text.tables import write_index as write_tables
from pipelines.tokens import shard_rows, shards
from pipelines.tokens.artefacts import INDEX, Shard, ShardEntry, read_index
from pipelines.tokens.shards import dtype_for, plan_shards, write_index, write_shards
from pipelines.tokens.tokenizers import Tokenizer, bulk
from pipelines.tokens.tokenizers.bulk import Bulk


def documents(texts: Sequence[str]) -> list[Document]:
    return [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts)]


def write_table(folder: Path, texts: Sequence[str], split: str = "train") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder, [write_documents(folder, f"{split}.arrow", documents(texts))])


def files_of(tokenizer: Tokenizer, folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make(
    folder: Path,
    texts: Sequence[str],
    tokenizer: Tokenizer,
    *,
    workers: int = 1,
    left_out: dict[str, frozenset[str]] | None = None,
) -> list[ShardEntry]:
    """The shards of one corpus' training documents in ``folder``, and their index."""
    write_table(folder / "documents", texts)
    plans = plan_shards("train", "chat", open_table(folder / "documents", "train.arrow").index)
    made = write_shards(
        folder / "shards",
        plans,
        {"chat": folder / "documents"},
        files_of(tokenizer, folder / "tokenizer"),
        workers=workers,
        left_out=left_out,
    )
    (folder / "shards").mkdir(exist_ok=True)
    write_index(folder / "shards", made, tokenizer.vocab_size)
    return made


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record batches of 100 tokens, of documents of 1,000 bytes; shards of 4,000 bytes of them."""
    monkeypatch.setattr(shard_rows, "TOKENS_PER_BATCH", 100)
    monkeypatch.setattr(tables, "BYTES_PER_BATCH", 1000)
    monkeypatch.setattr(shards, "TABLE_BYTES_PER_SHARD", 4000)


def opened(folder: Path) -> list[Shard]:
    found = read_index((folder / "shards" / INDEX).read_bytes())[1]
    return [Shard(folder / "shards", entry) for entry in found]


def hashes(folder: Path) -> dict[str, str]:
    """Every shard's sha256, and the index's."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "shards").rglob("*"))
        if path.suffix == ".arrow" or path.name == INDEX
    }


# --- what is in them ----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_every_document_ends_with_end_of_text(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    given = ["", "<|endoftext|>", *texts[:40]]
    made = make(tmp_path, given, small)
    assert sum(entry.file.rows for entry in made) == 42
    assert sum(entry.text_bytes for entry in made) == sum(len(t.encode()) for t in given)
    assert len(made) > 2
    assert len(made[0].tokens) > 3
    found = [row for shard in opened(tmp_path) for row in shard.documents()]
    assert [name for name, *_ in found] == [f"d{i}" for i in range(42)]
    for text, (_, digest, tokens) in zip(given, found, strict=True):
        assert digest == hashlib.sha256(text.encode()).digest()
        assert tokens.tolist() == [*small.encode(text), small.end_of_text]
    stream = np.concatenate([s.tokens(batch) for s in opened(tmp_path) for batch in range(len(s))])
    assert len(stream) == sum(sum(entry.tokens) for entry in made)
    assert (stream == small.end_of_text).sum() == 42


@pytest.mark.usefixtures("small_batches")
def test_a_batch_is_as_full_as_documents_allow(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    for entry in make(tmp_path, texts[:40], small):
        for tokens, batch in zip(entry.tokens, entry.file.batches, strict=True):
            assert tokens <= 100 or batch.rows == 1
    assert [e.file.path for e in make(tmp_path, texts[:40], small)[:2]] == [
        "train/chat-00000.arrow",
        "train/chat-00001.arrow",
    ]


def test_a_shard_stays_below_its_limit_whatever_the_tokenizer() -> None:
    """A token a byte and four bytes a token is the worst there is."""
    assert shards.TABLE_BYTES_PER_SHARD * 4 < shards.MAX_SHARD_BYTES
    assert shards.TABLE_BYTES_PER_SHARD > tables.BYTES_PER_BATCH


def test_tokens_are_a_read_only_row(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    make(tmp_path, texts[:5], small)
    (shard,) = opened(tmp_path)
    tokens = shard.tokens(0)
    assert tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_a_shard_that_is_cut_while_it_is_open_is_an_error(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    (entry,) = make(tmp_path, texts[:5], small)
    (shard,) = opened(tmp_path)
    kept = shard.tokens(0)
    before = kept.copy()
    os.truncate(tmp_path / "shards" / entry.file.path, entry.file.batches[0].offset + 10)
    with pytest.raises(TextError, match="record batch 0 "):
        shard.tokens(0)
    assert np.array_equal(kept, before)


def test_the_smallest_dtype_that_holds_the_vocabulary() -> None:
    assert [dtype_for(n) for n in (512, 65535, 65536, (1 << 32) - 1)] == [
        "uint16",
        "uint16",
        "uint32",  # the highest number marks the tokens of forgotten documents
        "uint32",
    ]
    with pytest.raises(TextError, match="no token fits in 32 bits"):
        dtype_for(1 << 32)


def test_no_documents_no_shard(tmp_path: Path, small: Tokenizer) -> None:
    assert make(tmp_path, [], small) == []
    assert opened(tmp_path) == []


@pytest.mark.usefixtures("small_batches")
def test_documents_left_out_are_in_no_training_shard(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    out = frozenset({"d3", "d7", *(f"d{i}" for i in range(20, 40))})
    made = make(tmp_path, texts[:40], small, left_out={"chat": out, "other": frozenset({"d1"})})
    names = [name for shard in opened(tmp_path) for name, *_ in shard.documents()]
    assert names == [f"d{i}" for i in range(20) if f"d{i}" not in out]
    kept = [t for i, t in enumerate(texts[:40]) if f"d{i}" not in out]
    assert sum(entry.text_bytes for entry in made) == sum(len(t.encode()) for t in kept)


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
        data_files={"train": str(tmp_path / "shards" / "train" / "chat-*.arrow")},
        cache_dir=str(tmp_path / "cache"),
    )["train"]
    assert found.features["tokens"].feature.dtype == "uint16"
    assert found["document_id"][:2] == ["d0", "d1"]
    assert found[3]["tokens"] == [*small.encode(texts[3]), small.end_of_text]


def test_arrow_itself_reads_them(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    make(tmp_path, texts[:4], small)
    with pa.memory_map(str(tmp_path / "shards" / "train" / "chat-00000.arrow")) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    table.validate(full=True)
    assert table.schema.names == ["document_id", "sha256", "tokens"]
    assert table.num_rows == 4


# --- the same bytes -----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_any_number_of_workers_gives_the_same_bytes(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    # TOKENS_PER_BATCH is not patched in the workers: compare them with each other, too.
    made = {}
    for workers in (2, 8):
        make(tmp_path / str(workers), texts[:40], small, workers=workers)
        made[workers] = hashes(tmp_path / str(workers))
    assert made[2] == made[8]
    assert len(made[2]) > 3


def test_one_and_two_workers_give_the_same_bytes(
    tmp_path: Path, small: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BYTES_PER_BATCH", 1000)
    monkeypatch.setattr(shards, "TABLE_BYTES_PER_SHARD", 4000)
    for workers in (1, 2):
        make(tmp_path / str(workers), texts[:60], small, workers=workers)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")
    assert len(hashes(tmp_path / "1")) > 3


def test_what_a_worker_meets_is_told_as_it_is(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    write_table(tmp_path / "documents", texts[:9])
    plans = plan_shards("train", "chat", open_table(tmp_path / "documents", "train.arrow").index)
    files = files_of(small, tmp_path / "tokenizer") | {"tokenizer.meta.json": b"{}"}
    for workers in (1, 2):
        with pytest.raises(TextError, match=r"tokenizer\.meta\.json: unreadable"):
            write_shards(
                tmp_path / "s", plans, {"chat": tmp_path / "documents"}, files, workers=workers
            )


def test_a_corpus_may_have_more_shards_than_a_process_descriptors(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    (entry,) = make(tmp_path, texts[:5], small)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    held = [Shard(tmp_path / "shards", entry) for _ in range(50)]
    assert all(len(shard.tokens(0)) for shard in held)
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 10


# --- a kill -------------------------------------------------------------------------------------

MAKE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from pipelines.text import tables
from pipelines.tokens import shard_rows, shards
tables.BYTES_PER_BATCH, shards.TABLE_BYTES_PER_SHARD = 1000, 4000
shard_rows.TOKENS_PER_BATCH = 100
from pipelines.text.tables import open_table
folder = Path({folder!r})
index = open_table(folder / "documents", "train.arrow").index
plans = shards.plan_shards("train", "chat", index)
files = {{path.name: path.read_bytes() for path in (folder / "tokenizer").iterdir()}}
print("ready", flush=True)
made = shards.write_shards(folder / "shards", plans, {{"chat": folder / "documents"}},
    files)
shards.write_index(folder / "shards", made, 512)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    code = MAKE.format(tests=str(Path(__file__).parent), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def kill_and_go_on(folder: Path, kills: int, within: float, seed: int) -> int:
    """Start again after each kill -9 at a random moment; how many of them hit."""
    chance, hits = random.Random(seed), 0
    for _ in range(kills):
        with start(folder) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, within))
            hits += process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
    with start(folder) as process:
        process.communicate()
    assert process.returncode == 0
    return hits


@pytest.fixture
def prepared(
    tmp_path: Path, small: Tokenizer, texts: list[str], request: pytest.FixtureRequest
) -> Path:
    """``whole``, sharded, and ``killed``, to be."""
    request.getfixturevalue("small_batches")
    make(tmp_path / "whole", texts * 3, small)
    shutil.copytree(tmp_path / "whole" / "documents", tmp_path / "killed" / "documents")
    shutil.copytree(tmp_path / "whole" / "tokenizer", tmp_path / "killed" / "tokenizer")
    return tmp_path


def test_a_kill_leaves_nothing_that_changes_the_result(prepared: Path) -> None:
    kill_and_go_on(prepared / "killed", kills=4, within=0.5, seed=1)
    assert hashes(prepared / "killed") == hashes(prepared / "whole")
    assert not list((prepared / "killed").rglob("*.partial"))


@pytest.mark.slow
def test_fifty_kills_leave_nothing_that_changes_the_result(prepared: Path) -> None:
    for round_ in range(10):
        shutil.rmtree(prepared / "killed" / "shards", ignore_errors=True)
        kill_and_go_on(prepared / "killed", kills=5, within=0.4, seed=round_)
        assert hashes(prepared / "killed") == hashes(prepared / "whole")
        assert not list((prepared / "killed").rglob("*.partial"))


@pytest.mark.usefixtures("small_batches")
def test_finished_shards_are_not_made_again_and_broken_ones_are(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    made = make(tmp_path, texts[:40], small)
    before = hashes(tmp_path)
    first, second, third = (tmp_path / "shards" / entry.file.path for entry in made[:3])
    kept = first.stat().st_mtime_ns
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    third.unlink()
    (tmp_path / "shards" / "train" / "chat-00009.arrow.partial").write_bytes(b"half")
    make(tmp_path, texts[:40], small)
    assert hashes(tmp_path) == before
    assert first.stat().st_mtime_ns == kept
    assert not list(tmp_path.rglob("*.partial"))


def test_a_full_disk_costs_only_what_was_not_finished(prepared: Path) -> None:
    folder = prepared / "killed"

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    code = MAKE.format(tests=str(Path(__file__).parent), folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=no_room
    )
    assert done.returncode != 0
    assert "File too large" in done.stderr
    assert not (folder / "shards" / INDEX).exists()
    kill_and_go_on(folder, kills=0, within=0, seed=0)
    assert hashes(folder) == hashes(prepared / "whole")
    assert not list(folder.rglob("*.partial"))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_the_disk_at_any_call_is_an_error_or_nothing(
    tmp_path: Path, small: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    make(tmp_path / "whole", texts[:40], small)
    where: Any = os if call == "fsync" else Path
    real = getattr(where, call)
    for failing in range(40):
        calls = itertools.count()

        def once(*arguments: Any, calls: Any = calls, failing: int = failing) -> Any:
            if next(calls) == failing:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments)

        folder = tmp_path / str(failing)
        with monkeypatch.context() as patch:
            patch.setattr(where, call, once)
            try:
                make(folder, texts[:40], small)
                failed = False
            except OSError:
                failed = True
        assert failed or hashes(folder) == hashes(tmp_path / "whole")
        if next(calls) <= failing:
            break
        make(folder, texts[:40], small)
        assert hashes(folder) == hashes(tmp_path / "whole")
        assert not list(folder.rglob("*.partial"))
    assert 5 < failing < 39


@pytest.mark.usefixtures("small_batches")
def test_a_note_that_was_changed_vouches_for_nothing(
    tmp_path: Path, small: Tokenizer, texts: list[str]
) -> None:
    made = make(tmp_path, texts[:40], small)
    note = tmp_path / "shards" / f"{made[0].file.path}.json"
    told = f'"text_bytes": {made[0].text_bytes}'
    assert told in note.read_text()
    note.write_text(note.read_text().replace(told, '"text_bytes": 7'))
    assert make(tmp_path, texts[:40], small) == made


@pytest.mark.filterwarnings("ignore:tokenizer kind=bpe")
@pytest.mark.usefixtures("small_batches")
def test_wrong_bulk_ids_do_not_show_in_another_order(
    tmp_path: Path, small: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard's bytes are its own: those of a library found wrong are written by the reference."""
    real = bulk._encode

    def wrong(encoder: Any, given: list[str]) -> Any:
        found = real(encoder, given)
        return found._replace(ids=found.ids * 0) if texts[39] in given else found

    # The sample sees only beginnings: as if it had met the one that is wrong.
    monkeypatch.setattr(Bulk, "agrees", lambda _, __, sample: texts[39][:256] not in sample)
    monkeypatch.setattr(bulk, "_encode", wrong)
    whole = make(tmp_path / "whole", texts[:40], small)
    for shard in opened(tmp_path / "whole"):
        for name, _, tokens in shard.documents():
            assert tokens.tolist() == [*small.encode(texts[int(name[1:])]), small.end_of_text]
    assert len(whole) > 2


# --- no corrupt byte is used --------------------------------------------------------------------


def read_all(folder: Path) -> None:
    for shard in opened(folder):
        for batch in range(len(shard)):
            shard.tokens(batch)


@pytest.fixture
def two_shards(
    tmp_path: Path, small: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> list[ShardEntry]:
    monkeypatch.setattr(tables, "BYTES_PER_BATCH", 1)
    monkeypatch.setattr(shards, "TABLE_BYTES_PER_SHARD", 1)
    return make(tmp_path, ["river here", "river hers"], small)


def test_every_flipped_byte_is_found(tmp_path: Path, two_shards: list[ShardEntry]) -> None:
    path = tmp_path / "shards" / two_shards[0].file.path
    whole = path.read_bytes()
    read_all(tmp_path)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(TextError, match=r"chat-00000\.arrow.*record batch"):
            read_all(tmp_path)


def test_missing_and_swapped_shards_are_found(tmp_path: Path, two_shards: list[ShardEntry]) -> None:
    one, two = two_shards
    assert one.file.size == two.file.size, "only the content can tell them apart"
    first, second = (tmp_path / "shards" / entry.file.path for entry in (one, two))
    shutil.move(first, tmp_path / "aside")
    with pytest.raises(TextError, match=r"chat-00000\.arrow: missing"):
        read_all(tmp_path)
    shutil.copy(second, first)
    with pytest.raises(TextError, match=r"chat-00000\.arrow.*record batch"):
        read_all(tmp_path)


def test_a_broken_index_is_named() -> None:
    for broken in (b"{", b"{}", b'{"vocab_size": 3, "shards": [{}]}', b"\xff"):
        with pytest.raises(TextError, match=r"shards\.json: not an index"):
            read_index(broken)


def test_the_index_comes_back(tmp_path: Path, small: Tokenizer, texts: list[str]) -> None:
    made = make(tmp_path, texts[:3], small)
    content = (tmp_path / "shards" / INDEX).read_bytes()
    assert read_index(content) == (512, made, None)
    write_index(tmp_path, reversed(made), 512)
    assert (tmp_path / INDEX).read_bytes() == content
