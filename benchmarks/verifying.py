"""How fast ``dragon verify --all`` reads a store, beside plain reading and hashing of its files.

Run it as ``python benchmarks/verifying.py --gigabytes 4 --artefacts 500 --folder DIR`` on a quiet
machine. It makes a store of random bytes in DIR, which is not in memory as a whole if it is larger
than the memory, and takes the ratios side by side, each best of three: the time of the verification
beside the time to read all files once, and beside the time to hash them in one thread. Before each
cold pass the kernel is asked to forget the files (posix_fadvise), which works for clean pages.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.core.identity import digest
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.lineage.verify import verify


def fill(store: Store, artefacts: int, size: int) -> None:
    """Publish artefacts of eight files each, one of them with most of the bytes."""
    for number in range(artefacts):
        decides = {"code": "c", "recipe": {"n": number}, "libraries": {}, "inputs": {}}
        key = f"many/asset_{number}"
        with store.work(key, digest(decides)) as work:
            draft = work.draft()
            (draft / "large").write_bytes(os.urandom(size // artefacts))
            for small in range(7):
                (draft / f"small_{small}").write_bytes(os.urandom(2000))
            record = Record(seal(draft), "Artefact", decides, (), {"key": key})
            store.publish(key, draft, record)


def forget(paths: list[Path]) -> None:
    os.sync()
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read_all(paths: list[Path]) -> None:
    piece = bytearray(1 << 20)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass


def hash_all(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def seconds(work: Callable[[], object], paths: list[Path], *, cold: bool) -> float:
    best = float("inf")
    for _ in range(3):
        if cold:
            forget(paths)
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--artefacts", type=int, default=500)
    parser.add_argument("--folder", type=Path)
    told = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=told.folder))
    try:
        store = Store(root / "store")
        fill(store, told.artefacts, int(told.gigabytes * 1e9))
        paths = [path for path in (store.root / "objects").rglob("*") if path.is_file()]

        def verified() -> None:
            assert not verify(store, None, lambda *_: None).faults

        for cold in (True, False):
            times = {
                "read": seconds(lambda: read_all(paths), paths, cold=cold),
                "hash in one thread": seconds(lambda: hash_all(paths), paths, cold=cold),
                "verify": seconds(verified, paths, cold=cold),
            }
            words = "not in memory" if cold else "in memory"
            for name, taken in times.items():
                rate = told.gigabytes * 1e3 / taken
                ratio = taken / times["verify"]
                print(
                    f"{words:14} {name:20} {taken:8.2f} s {rate:8.0f} MB/s {ratio:6.2f} of verify"
                )
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
