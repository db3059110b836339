"""Files as streams: every packed byte is checked, and memory does not grow with the file."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.sources import compression, read_source
from pipelines.corpora.sources.compression import unpacked
from pipelines.corpora.sources.decoding import decoded, lines, pieces
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.text.errors import TextError

TEXT = "".join(f"{number:x} " for number in range(60_000)).encode()


PACKS = {"gzip": gzip.compress, "zstd": lambda data: pa.Codec("zstd").compress(data).to_pybytes()}


def unpack(data: bytes, packing: str) -> bytes:
    return b"".join(unpacked(io.BytesIO(data), packing, "a"))


# --- packed files -------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKS)
def test_members_and_frames_follow_each_other(packing: str) -> None:
    pack = PACKS[packing]
    assert unpack(pack(TEXT) + pack(b"more") + pack(b"") + pack(b"end"), packing) == (
        TEXT + b"more" + b"end"
    )


def test_a_window_beyond_the_limit_is_told_as_that() -> None:
    """A frame as ``zstd --long=31`` writes it: whole, and of a window of 2 GiB."""
    text = b"whole"
    block = struct.pack("<I", len(text) << 3 | 1)[:3] + text  # the last block, not packed
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + block
    told = r"^a: after .* its zstandard window is more than 128 MiB.*`zstd -d --long=31`"
    with pytest.raises(TextError, match=told) as caught:
        unpack(frame, "zstd")
    assert "damaged" not in str(caught.value)
    small = b"\x28\xb5\x2f\xfd\x00" + bytes([(27 - 10) << 3]) + block
    assert unpack(small, "zstd") == text


def test_a_frame_to_be_skipped_is_skipped() -> None:
    skipped = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
    data = skipped + PACKS["zstd"](TEXT) + skipped
    assert compression.packing_of(data) == "zstd"
    assert unpack(data, "zstd") == TEXT


@pytest.mark.parametrize("packing", PACKS)
def test_a_packed_file_cut_short_anywhere_is_an_error(packing: str) -> None:
    """Fault 6: every length of a small file, and the error says how far it came."""
    whole = PACKS[packing](TEXT[:3000])
    for length in range(1, len(whole)):
        with pytest.raises(TextError, match=rf"^a: {packing} data cut short or damaged after \d+"):
            unpack(whole[:length], packing)
    large = PACKS[packing](TEXT)
    with pytest.raises(TextError, match=r"after [1-9]\d+ bytes unpacked \(.*; fetch") as caught:
        unpack(large[:-1], packing)
    assert "\n" not in str(caught.value)


def test_a_damaged_gzip_is_an_error() -> None:
    """Each bit that gzip's checksum guards; zstandard has one only where its writer asked."""
    whole = gzip.compress(TEXT[:500], mtime=0)
    for index in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1 << index % 8
        with pytest.raises(TextError, match="cut short or damaged"):
            unpack(bytes(damaged), "gzip")


@pytest.mark.parametrize("packing", PACKS)
@pytest.mark.parametrize("garbage", [b"garbage", b"\0" * 100, b"PK\x03\x04"])
def test_what_stands_behind_the_end_is_an_error(packing: str, garbage: bytes) -> None:
    with pytest.raises(TextError, match="cut short or damaged"):
        unpack(PACKS[packing](TEXT) + garbage, packing)


@pytest.mark.parametrize("packing", PACKS)
def test_a_bomb_is_stopped(packing: str) -> None:
    """Fault 7: 256 MiB of line feeds in a few hundred kilobytes, no line of which is long."""
    data, made = PACKS[packing](b"\n" * (64 << 20)) * 4, []
    with pytest.raises(TextError, match=rf"^a: {len(data)} bytes unpack to more than \d+ \(200:1"):
        made.extend(map(len, unpacked(io.BytesIO(data), packing, "a")))
    assert sum(made) <= compression.ALWAYS_ALLOWED + 200 * len(data)


def test_repetition_in_a_small_file_is_no_bomb() -> None:
    assert len(unpack(gzip.compress(b"again and again\n" * 500_000), "gzip")) == 8_000_000


def test_a_disk_error_is_not_laid_on_the_archive() -> None:
    class Failing(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(unpacked(Failing(gzip.compress(TEXT)), "gzip", "a"))


# --- lines and pieces ---------------------------------------------------------------------------

texts = st.text(st.sampled_from("ab\n\r\u2028é日😀"), max_size=60)


def cut(text: str, at: list[int]) -> Iterator[str]:
    bounds = [0, *sorted(min(place, len(text)) for place in at), len(text)]
    return (text[start:end] for start, end in pairwise(bounds))


@given(texts, st.lists(st.integers(0, 60), max_size=8), st.integers(0, 12))
def test_lines_are_those_of_split_less_the_wide_ones(text: str, at: list[int], most: int) -> None:
    expected = text.split("\n")
    if not expected[-1]:
        expected.pop()
    wanted = [line if len(line) <= most else None for line in expected]
    assert list(lines(cut(text, at), most)) == wanted


@given(texts, st.lists(st.integers(0, 60), max_size=8), st.integers(4, 40))
def test_pieces_are_the_text_at_the_last_line_end_that_fits(
    text: str, at: list[int], most: int
) -> None:
    found = list(pieces(cut(text, at), most))
    assert "".join(piece for piece, _ in found) == text
    assert [more for _, more in found] == [True] * (len(found) - 1) + [False]
    for (piece, more), following in zip(found, [*found[1:], ("", False)], strict=True):
        assert len(piece.encode()) <= most
        if more and not piece.endswith("\n"):
            assert "\n" not in piece
            assert len((piece + following[0][0]).encode()) > most
        elif more:  # the next line did not fit as well
            line, feed, _ = following[0].partition("\n")
            assert len((piece + line + feed).encode()) > most or not feed


@given(st.binary(max_size=40), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_decoding_in_blocks_is_decoding_at_once(data: bytes, sizes: list[int]) -> None:
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + sizes[len(starts) % len(sizes)])
    blocks = [data[a:b] for a, b in pairwise(starts)]
    replaced = "".join(decoded(blocks, "utf-8", "replace", "a")).replace("\udfff", "\ufffd")
    assert replaced == data.decode(errors="replace").removeprefix("\ufeff")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(TextError, match=f"byte offset {error.start} "):
            list(decoded(blocks, "utf-8", "fail", "a"))


# --- memory -------------------------------------------------------------------------------------

CHILD = """
import json, resource, sys
from collections import Counter
from pathlib import Path
from pipelines.corpora.sources.kinds.folder import FolderSource, folder_state
from pipelines.text.errors import TextError
from pipelines.corpora.sources import read_source
if sys.argv[3] == "arrow":
    import pyarrow.parquet
root, options = Path(sys.argv[1]), json.loads(sys.argv[2])
source = FolderSource(kind="folder", licence="MIT", **options)
def peak():
    # Linux's ru_maxrss starts with what the parent had; its VmHWM is the process' own.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20
before, documents, size, error, notes = peak(), 0, 0, None, Counter()
try:
    for document in read_source(source, folder_root=root, cache=root, notes=notes):
        documents, size = documents + 1, size + len(document.text)
except TextError as caught:
    error = str(caught)
    folder_state(source, root)
print(json.dumps([documents, size, error, dict(notes), peak() - before]))
"""


def measured(path: Path, arrow: bool = False, **options: Any) -> list[Any]:
    """[documents, characters, error, notes, MiB above those before reading] of a process' own."""
    options = {"path": path.name, "max_document_bytes": 4 << 20} | options
    command = [sys.executable, "-c", CHILD, str(path.parent), json.dumps(options)]
    done = subprocess.run(
        [*command, "arrow" if arrow else ""],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def write(path: Path, block: bytes, times: int) -> int:
    with path.open("wb") as file:
        for _ in range(times):
            file.write(block)
    return path.stat().st_size


def check_one_line(path: Path, mebibytes: int) -> None:
    size = write(path, b"x" * (1 << 20), mebibytes)
    documents, characters, error, _, peak = measured(path, on_long="split")
    assert (documents, characters, error) == (mebibytes // 4, size, None)
    assert peak < 48
    documents, _, error, _, peak = measured(path)
    assert documents == 0
    assert "a text of more than max_document_bytes=4194304; raise max_document_bytes" in error
    assert peak < 48


def test_one_line_of_any_length_takes_little_memory(tmp_path: Path) -> None:
    """Fault 4 in small: the file has 4 times the memory that reading it may take."""
    check_one_line(tmp_path / "line.txt", 160)


@pytest.mark.slow
def test_one_line_of_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    """Fault 4."""
    check_one_line(tmp_path / "line.txt", 1024)


def test_a_line_too_wide_for_a_row_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    write(path, b"x" * (1 << 20), 160)
    with path.open("ab") as file:
        file.write(b'\n{"text": "fine"}\n')
    documents, _, error, notes, peak = measured(path, on_bad_row="drop")
    assert (documents, error, notes) == (1, None, {"bad_rows_dropped": 1})
    assert peak < 112, "a row may have 64 MiB"


@pytest.mark.slow
def test_many_packed_rows_take_little_memory(tmp_path: Path) -> None:
    row = json.dumps({"text": random.Random(1).randbytes(40_000).hex()}) + "\n"
    member = gzip.compress(row.encode() * 50, 1)
    write(tmp_path / "rows.jsonl.gz", member, 16)
    documents, characters, error, _, peak = measured(tmp_path / "rows.jsonl.gz", arrow=True)
    assert (documents, characters, error) == (800, 64_000_000, None)
    assert peak < 24


def test_a_value_that_parquet_repeats_takes_little_memory(tmp_path: Path) -> None:
    """Fault 7: 10,000 rows of one 1 MB text, 10 GB, in a file of a few kilobytes."""
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["word " * 200_000])
    pq.write_table(
        pa.table({"text": words}),
        tmp_path / "rows.parquet",
        compression="zstd",
        store_schema=False,
    )
    assert (tmp_path / "rows.parquet").stat().st_size < 1 << 20
    documents, _, error, _, peak = measured(tmp_path / "rows.parquet", arrow=True)
    assert documents <= 64
    assert "unpack to more than" in error
    assert peak < 96


@pytest.mark.slow
def test_a_large_parquet_file_takes_little_memory(tmp_path: Path) -> None:
    """One row group of 160 MB, which is not read at once."""
    text = random.Random(1).randbytes(8_000).hex()
    table = pa.table({"text": [text] * 10_000})
    options: Any = {"use_dictionary": False, "compression": "none", "row_group_size": 10_000}
    pq.write_table(table, tmp_path / "rows.parquet", **options)
    documents, _, error, _, peak = measured(tmp_path / "rows.parquet", arrow=True)
    assert (documents, error) == (10_000, None)
    assert peak < 112


@pytest.mark.slow
def test_a_large_file_is_hashed_in_blocks(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", os.urandom(1 << 20), 64)
    documents, _, error, _, peak = measured(tmp_path / "a.zip")
    assert documents == 0
    assert "archive" in error, "and then the folder's state was taken"
    assert peak < 16


def test_a_packed_parquet_file_is_read_from_disk(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"]}), sink)
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(sink.getvalue()))
    source = FolderSource(kind="folder", path=".", licence="MIT")
    found = read_source(source, folder_root=tmp_path, cache=tmp_path, notes=Counter())
    assert [d.text for d in found] == ["one", "two"]
