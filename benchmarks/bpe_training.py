"""Seconds to train byte-level BPE: ours against Hugging Face's ``tokenizers``.

Run it on a quiet machine: ``python benchmarks/bpe_training.py``. The text is the ``chat`` recipe's
(human conversations out of a package, fetched on the first run), shuffled and repeated up to the
size asked for. Both get the same list of strings and the same split into words; each training runs
in a process of its own, the two take turns, and the best of the turns counts. That both learn the
same merges is asserted; the table it prints goes into a dated file beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time

SOURCE = (
    "chitchat-dataset",
    "0.9.0",
    "chitchat_dataset/dataset.json",
    "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a",
)
TRAINERS = ("ours", "tokenizers")


def conversations(size: int) -> list[str]:
    """Conversations of ``size`` bytes in all: each round the same utterances in another order."""
    from pipelines.core.project import Project
    from pipelines.corpora.packages import package_file

    told = json.loads(package_file(*SOURCE, Project.here().downloads))
    said = [part["text"] for talk in told.values() for turn in talk["messages"] for part in turn]
    shuffled = random.Random(0)
    texts: list[str] = []
    while size > 0:
        shuffled.shuffle(said)
        for start in range(0, len(said), 30):
            texts.append("\n".join(said[start : start + 30]))
            size -= len(texts[-1].encode())
            if size <= 0:
                break
    return texts


def ours(texts: list[str], vocab_size: int) -> set[bytes]:
    from pipelines.tokens.tokenizers.bpe_training import train_bpe

    return set(train_bpe(texts, vocab_size).ranks)


def theirs(texts: list[str], vocab_size: int) -> set[bytes]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from pipelines.tokens.tokenizers.bpe import byte_letters

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 3, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    letters = byte_letters()
    return {b"".join(letters[letter] for letter in token) for token in tokenizer.get_vocab()}


def measure(trainer: str, size: int, vocab_size: int) -> dict[str, object]:
    """Seconds, the most memory held (MB, the texts included), and what was learned."""
    texts = conversations(size)
    train = ours if trainer == "ours" else theirs
    train(texts[:10], 300)  # what is imported and started is not training
    began = time.perf_counter()
    learned = train(texts, vocab_size)
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(b"\n".join(sorted(learned))).hexdigest()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "memory": memory, "learned": digest}


def main() -> None:
    """Run both in turn and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--megabytes", type=int, default=50)
    options.add_argument("--vocab-size", type=int, default=8192)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--trainer", choices=TRAINERS)
    chosen = options.parse_args()
    if chosen.trainer:
        size = chosen.megabytes * 1_000_000
        print(json.dumps(measure(chosen.trainer, size, chosen.vocab_size)))
        return
    runs: dict[str, list[dict[str, float]]] = {trainer: [] for trainer in TRAINERS}
    for _ in range(chosen.turns):
        for trainer in TRAINERS:
            command = [sys.executable, __file__, "--trainer", trainer]
            command += ["--megabytes", str(chosen.megabytes)]
            command += ["--vocab-size", str(chosen.vocab_size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[trainer].append(json.loads(done.stdout))
    assert len({run["learned"] for done in runs.values() for run in done}) == 1
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in ("gigatoken", "tokenizers")
    ]
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()},")
    print(f"{', '.join(versions)}, load average {load:.1f} at the end,")
    print(f"{chosen.megabytes} MB, vocabulary {chosen.vocab_size}, best of {chosen.turns} turns\n")
    best = {trainer: min(run["seconds"] for run in done) for trainer, done in runs.items()}
    print("| trainer | seconds | MB/s | most memory, MB | ours is |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for trainer, seconds in best.items():
        memory = max(run["memory"] for run in runs[trainer])
        print(
            f"| {trainer} | {seconds:.2f} | {chosen.megabytes / seconds:.1f} | {memory:,.0f} "
            f"| {seconds / best['ours']:.2f}x |"
        )


if __name__ == "__main__":
    main()
