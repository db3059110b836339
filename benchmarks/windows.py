"""Tokens a second of pretraining batches: ours against the way nanoGPT's training script reads.

Run it on a quiet machine: ``python benchmarks/windows.py``. 100 M uint16 tokens in documents of
about 500 (log-normal) are written twice into a temporary folder: as a plain file, and as an Arrow
file with a row a document and a record batch each 2^18 tokens, as token shards are.

- plain memmap: what nanoGPT does, written here from its description: the file is mapped anew for
  each batch, starts are drawn at random, and a row of tokens and one of targets are cut, widened
  to int64 and stacked.
- ``Windows``: over the Arrow file, a piece a record batch, in the seeded order in which every
  window comes once an epoch, with the names of its rows.
- ``Packed``: whole documents, each numbered for the attention mask; packed as the epoch goes on.

All read what the page cache holds in one process, on one thread, with the allocator prepared as
for training. They take turns, and the best of the turns counts. Tokens are those of the batch; its
targets come besides.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.core import processor

processor.prepare()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import torch  # noqa: E402

from model.batches.batching import DocumentPiece, TokenStream, Windows  # noqa: E402
from model.batches.packing import Packed  # noqa: E402

T = 1024
BATCH_SIZES = (8, 16, 32)
TOKENS_PER_BATCH = 1 << 18
Reader = Callable[[int], object]


def write(folder: Path, tokens: int) -> None:
    """The same random tokens as ``tokens.bin`` and as ``tokens.arrow``."""
    source = np.random.default_rng(0)
    ids = source.integers(50_257, size=tokens, dtype=np.uint16)
    ids.tofile(folder / "tokens.bin")
    lengths = np.ceil(source.lognormal(5.7, 1.0, size=tokens // 200)).astype(np.int64)
    ends = np.minimum(np.cumsum(lengths), tokens)
    ends = ends[: np.searchsorted(ends, tokens) + 1]
    schema = pa.schema([("tokens", pa.list_(pa.uint16()))])
    with (
        pa.OSFile(str(folder / "tokens.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, schema) as out,
    ):
        begin = first = 0
        while begin < tokens:
            last = max(first + 1, int(np.searchsorted(ends, begin + TOKENS_PER_BATCH, "right")))
            bounds = np.concatenate([[begin], ends[first:last]])
            offsets = pa.array(bounds - begin, pa.int32())
            rows = pa.ListArray.from_arrays(offsets, pa.array(ids[begin : bounds[-1]]))
            out.write_batch(pa.record_batch([rows], schema=schema))
            begin, first = int(bounds[-1]), last


def memmapped(path: Path, batch_size: int) -> Reader:
    """A batch as nanoGPT reads it."""

    def batch(_: int) -> object:
        data = np.memmap(path, dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - T, (batch_size,))

        def rows(shift: int) -> torch.Tensor:
            spans = (data[start + shift : start + shift + T] for start in starts)
            return torch.stack([torch.from_numpy(span.astype(np.int64)) for span in spans])

        return rows(0), rows(1)

    return batch


def stream_of(path: Path) -> TokenStream:
    """The Arrow file, a piece a record batch."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))

    def piece(number: int) -> DocumentPiece:
        rows = reader.get_batch(number).column(0)
        return DocumentPiece(
            len(rows.values),
            lambda: torch.from_dlpack(rows.values),
            lambda: torch.from_dlpack(rows.offsets),
        )

    return TokenStream([piece(number) for number in range(reader.num_record_batches)])


def rate(batch: Reader, batch_size: int, seconds: float, first: int) -> tuple[float, int]:
    """Tokens a second from step ``first`` on, and the step it came to."""
    began, step = time.perf_counter(), first
    while time.perf_counter() - began < seconds:
        for _ in range(32):
            batch(step)
            step += 1
    return (step - first) * batch_size * T / (time.perf_counter() - began), step


def main() -> None:
    """Measure all at each batch size, in turns, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--tokens", type=int, default=100_000_000)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()},")
    print(
        f"load {os.getloadavg()[0]:.1f} before, torch {torch.__version__}, numpy {np.__version__},"
    )
    print(f"windows of {T} from {chosen.tokens:,} tokens, best of {chosen.turns} turns,")
    print("M tokens/s\n")
    print("| batch size | plain memmap | Windows | times | Packed | times |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, chosen.tokens)
        stream = stream_of(folder / "tokens.arrow")
        for size in BATCH_SIZES:
            ours = {"text": stream}, {"text": 1.0}, T, size, 0
            readers = [
                memmapped(folder / "tokens.bin", size),
                Windows(*ours).batch,
                Packed(*ours).batch,
            ]
            best, steps = [0.0] * 3, [0] * 3
            for turn in range(chosen.turns + 1):
                for i, batch in enumerate(readers):
                    found, steps[i] = rate(batch, size, chosen.seconds, steps[i])
                    if turn:  # the first one faults the pages in
                        best[i] = max(best[i], found / 1e6)
            plain, windows, packed = best
            row = f"{plain:.0f} | {windows:.0f} | {windows / plain:.1f} | {packed:.0f}"
            print(f"| {size} | {row} | {packed / plain:.1f} |")
        _packing(stream)


def _packing(stream: TokenStream) -> None:
    """How fast a corpus is packed, and how full its rows are."""
    documents = sum(len(piece.bounds()) - 1 for piece in stream.pieces)  # type: ignore[attr-defined]
    packed = Packed({"text": stream}, {"text": 1.0}, T, 8, 0)
    began = time.perf_counter()
    rows = packed.windows("text")
    seconds = time.perf_counter() - began
    print(
        f"\nPacking: {documents / seconds:,.0f} documents/s ({len(stream) / seconds / 1e6:,.0f} M"
    )
    print(f"tokens/s), {len(stream) / (rows * T):.2%} of the cells filled.")


if __name__ == "__main__":
    main()
