"""Arrow files with checksums: rows come back, and no changed byte is ever used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.arrow import ArrowFile, ArrowWriter, FileIndex
from pipelines.text.errors import TextError

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32())])


def batch(rows: list[tuple[str, int]]) -> pa.RecordBatch:
    return pa.record_batch([[r[0] for r in rows], [r[1] for r in rows]], schema=SCHEMA)


def write(folder: Path, *batches: list[tuple[str, int]]) -> FileIndex:
    with ArrowWriter(folder, "t.arrow", SCHEMA) as writer:
        for rows in batches:
            writer.write(batch(rows))
    return writer.index


@given(st.lists(st.lists(st.tuples(st.text("abé猫"), st.integers(0, 9)), max_size=4), max_size=4))
def test_batches_come_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("arrow")
    index = write(folder, *batches)
    assert index.size == (folder / "t.arrow").stat().st_size
    assert index.rows == sum(map(len, batches))
    file = ArrowFile(folder, index)
    assert [b.to_pylist() for b in file.batches()] == [batch(b).to_pylist() for b in batches]
    assert list(file.rows(["n", "id"])) == [(n, i) for b in batches for i, n in b]


def test_arrow_itself_reads_them(tmp_path: Path) -> None:
    write(tmp_path, [("a", 1)], [("b", 2), ("c", 3)])
    with pa.memory_map(str(tmp_path / "t.arrow")) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    table.validate(full=True)
    assert table["n"].to_pylist() == [1, 2, 3]


def read_all(folder: Path, index: FileIndex) -> None:
    for _ in ArrowFile(folder, index).batches():
        pass


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)], [("there", 2)])
    path = tmp_path / "t.arrow"
    whole = path.read_bytes()
    read_all(tmp_path, index)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(TextError, match=r"t\.arrow.*record batch"):
            read_all(tmp_path, index)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)], [("there", 2)])
    path = tmp_path / "t.arrow"
    whole = path.read_bytes()
    for length in [*range(len(whole)), len(whole) + 1]:
        path.write_bytes((whole + b"\0")[:length])
        with pytest.raises(TextError, match=r"t\.arrow: \d+ bytes.*record batch"):
            read_all(tmp_path, index)


def test_a_good_batch_is_read_beside_a_bad_one(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)], [("there", 2)])
    path = tmp_path / "t.arrow"
    damaged = bytearray(path.read_bytes())
    damaged[index.batches[1].offset + 20] ^= 1
    path.write_bytes(damaged)
    file = ArrowFile(tmp_path, index)
    assert file.batch(0).to_pylist() == [{"id": "hello", "n": 1}]
    for _ in range(2):
        with pytest.raises(TextError, match="record batch 1 "):
            file.batch(1)


def test_what_is_cut_after_it_was_opened_is_no_crash(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)], [("there", 2)])
    file = ArrowFile(tmp_path, index)
    file.batch(0)
    (tmp_path / "t.arrow").write_bytes(b"")
    with pytest.raises(TextError, match="record batch 0 "):
        file.batch(0)


def test_what_is_overwritten_after_it_was_read_is_found_at_the_next_read(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)], [("there", 2)])
    file = ArrowFile(tmp_path, index)
    before = file.batch(0)
    with (tmp_path / "t.arrow").open("r+b") as changed:
        changed.seek(index.batches[0].offset)
        changed.write(bytes(index.batches[0].length))
    with pytest.raises(TextError, match="record batch 0 "):
        file.batch(0)
    assert before.to_pylist() == [{"id": "hello", "n": 1}]  # the bytes that were hashed


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    index = write(tmp_path, [("hello", 1)])
    file, path = ArrowFile(tmp_path, index), tmp_path / "t.arrow"
    path.rename(tmp_path / "moved")
    if kind == "link":
        path.symlink_to("moved")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    for read in (lambda: ArrowFile(tmp_path, index), lambda: file.batch(0)):
        with pytest.raises(TextError, match=r"t\.arrow: cannot be read \((a link|not a regular)"):
            read()


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    index = write(tmp_path, [("hello", 1)])
    with pytest.raises(TextError, match="no column text"):
        list(ArrowFile(tmp_path, index).rows(["text"]))
    (tmp_path / "t.arrow").unlink()
    with pytest.raises(TextError, match=r"t\.arrow: missing"):
        ArrowFile(tmp_path, index)


def test_nothing_is_left_open_when_writing_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with ArrowWriter(tmp_path, "t.arrow", SCHEMA) as writer:
            writer.write(batch([("a", 1)]))
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """100 MB through 40 MB of room beyond what the libraries take."""
    code = f"""
import resource, pyarrow as pa
from pathlib import Path
from pipelines.text.arrow import ArrowFile, ArrowWriter
schema = pa.schema([("id", pa.large_string())])
pa.record_batch([["x"]], schema=schema)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ArrowWriter(Path({str(tmp_path)!r}), "t.arrow", schema) as writer:
    for number in range(100):
        writer.write(pa.record_batch([[chr(65 + number % 26) * 1_000_000]], schema=schema))
for one in ArrowFile(Path({str(tmp_path)!r}), writer.index).batches():
    assert one.num_rows == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = int(done.stdout) * (1024 if sys.platform != "darwin" else 1)
    assert grown < 40 << 20
