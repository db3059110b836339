"""Near duplicates: documents a second and what is found, beside datatrove's MinHash.

``python benchmarks/near_duplicates.py --peer-python PYTHON`` on a quiet machine; PYTHON is the
interpreter of an environment with ``datatrove[processing]`` and ``spacy``, without it only this
project is measured. Each method runs in a process of its own on one thread, with the same
documents in memory, the methods take turns, and the best of the turns counts; what it prints goes
into a dated file beside it.

The documents are 20,000 groups of paragraphs (14 words or more) from a folder of novels and
articles, then 500 edited copies of some, with 5 to 15 % of the words, at random places, replaced
by words of the corpus. A planted copy is found if it and its original are not both kept. What is
dropped is right if it is such a pair, or shares at least half of its word 2-grams (Jaccard, from
the sets themselves) with some other document.

datatrove runs its four stages one after the other, with its own defaults (5-grams, 14 bands of 8)
and with settings that suit these copies: of those tried (2- and 3-grams; 25 bands of 5, 32 of 4, 42
of 3) the fastest that finds 95 % of them. It compares bands alone, so precision is what that costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parents[2] / "shared" / "data" / "text"
DOCUMENTS, COPIES = 20_000, 500

# --- the methods, each in a process of its own --------------------------------------------------


def ours(texts: Sequence[str]) -> Iterator[int]:
    """Numbers of the documents that the default step drops."""
    from pipelines.corpora.deduplication import NearDuplicates

    step = NearDuplicates()
    for number, text in enumerate(texts):
        if step(text, str(number)):
            yield number


def datatrove(texts: Sequence[str], ngram: int, bands: int, rows: int) -> Iterator[int]:
    """Numbers of the documents that datatrove's stages drop."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash

    config = minhash.MinhashConfig(n_grams=ngram, num_buckets=bands, hashes_per_bucket=rows)
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        signatures, buckets, removed = f"{folder}/1", f"{folder}/2", f"{folder}/3"
        minhash.MinhashDedupSignature(signatures, config).run(iter(documents))
        for band in range(bands):
            minhash.MinhashDedupBuckets(signatures, buckets, config=config).run(None, band, bands)
        minhash.MinhashDedupCluster(buckets, removed, config=config).run()
        kept = {int(one.id) for one in minhash.MinhashDedupFilter(removed).run(iter(documents))}
    yield from sorted(set(range(len(texts))) - kept)


METHODS = {
    "Dragon, defaults": ours,
    "datatrove, defaults": lambda texts: datatrove(texts, 5, 14, 8),
    "datatrove, 2-grams, 32 bands of 4": lambda texts: datatrove(texts, 2, 32, 4),
}


def work(method: str, documents: Path) -> None:
    """Print what a method drops and the seconds it took, loading and warming up not counted."""
    texts = json.loads(documents.read_text(encoding="utf-8"))
    list(METHODS[method](texts[:50]))
    began = time.perf_counter()
    dropped = list(METHODS[method](texts))
    print(json.dumps({"seconds": time.perf_counter() - began, "dropped": dropped}))


# --- the documents and what is true of them -----------------------------------------------------


def paragraphs(path: Path) -> list[str]:
    """Of a text: lines, if they are as long as paragraphs are, else what blank lines part."""
    text = path.read_text(encoding="utf-8-sig")
    unwrapped = max(map(len, text.split("\n"))) > 200
    parts = text.split("\n") if unwrapped else re.split(r"\n\s*\n", text)
    return [folded for part in parts if (folded := " ".join(part.split()))]


def grouped(parts: Iterable[str], words: int = 14) -> Iterator[str]:
    """Paragraphs that follow each other, until there are so many words."""
    group: list[str] = []
    for part in parts:
        group.append(part)
        if sum(len(one.split()) for one in group) >= words:
            yield "\n".join(group)
            group = []


def planted(folder: Path) -> tuple[list[str], list[tuple[int, int]]]:
    """The documents, and pairs of numbers of an original and its copy."""
    chance = random.Random(0)
    groups = [group for path in sorted(folder.glob("*.txt")) for group in grouped(paragraphs(path))]
    texts = [groups[at] for at in sorted(chance.sample(range(len(groups)), DOCUMENTS))]
    vocabulary = sorted({word for text in texts for word in text.split()})
    pairs = []
    for original in chance.sample(range(DOCUMENTS), COPIES):
        copy = texts[original].split()
        share = 0.05 + 0.1 * chance.random()
        for place in chance.sample(range(len(copy)), max(1, round(share * len(copy)))):
            copy[place] = chance.choice(vocabulary)
        pairs.append((original, len(texts)))
        texts.append(" ".join(copy))
    return texts, pairs


def bigrams(text: str) -> set[tuple[str, str]]:
    from pipelines.text.ngrams import words

    return set(itertools.pairwise(words(text)))


def jaccard(one: set[Any], other: set[Any]) -> float:
    return len(one & other) / len(one | other)


def alike(texts: Sequence[str], similarity: float = 0.5) -> set[int]:
    """Documents that are as alike as that to some other, by comparing the sets themselves."""
    sets = [bigrams(text) for text in texts]
    frequency = Counter(bigram for listed in sets for bigram in listed)
    having: dict[tuple[str, str], list[int]] = defaultdict(list)
    found = set()
    for number, listed in enumerate(sets):
        # Two such sets share one of the rarest bigrams of each (Chaudhuri et al. 2006).
        rarest = sorted(listed, key=lambda bigram: (frequency[bigram], bigram))
        prefix = rarest[: len(listed) - int(similarity * len(listed)) + 1]
        others = {other for bigram in prefix for other in having[bigram]}
        for other in others:
            if jaccard(listed, sets[other]) >= similarity:
                found |= {number, other}
        for bigram in prefix:
            having[bigram].append(number)
    return found


# --- the report ---------------------------------------------------------------------------------


def compare(peer: str | None, folder: Path, turns: int) -> Iterator[str]:
    """A table of the methods."""
    texts, pairs = planted(folder)
    right = alike(texts) | {number for pair in pairs for number in pair}
    pythons = {name: peer if "datatrove" in name else sys.executable for name in METHODS}
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        documents = Path(temporary) / "documents.json"
        documents.write_text(json.dumps(texts), encoding="utf-8")
        for name, python in turns * [(name, python) for name, python in pythons.items() if python]:
            command = [python, __file__, "--method", name, "--documents", str(documents)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
            done = subprocess.run(
                command, env=environment, check=True, stdout=-1, stderr=subprocess.DEVNULL
            )
            result = json.loads(done.stdout.splitlines()[-1])
            best[name] = min(best.get(name, result), result, key=lambda one: one["seconds"])
    yield "| method | documents/s | ours is | recall | precision | dropped |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    first = next(iter(best.values()))["seconds"]
    for name, result in best.items():
        dropped = set(result["dropped"])
        recall = sum(bool(dropped.intersection(pair)) for pair in pairs) / len(pairs)
        precision = len(dropped & right) / max(len(dropped), 1)
        rate, ratio = len(texts) / result["seconds"], result["seconds"] / first
        figures = f"{rate:,.0f} | {ratio:.1f}x | {recall:.3f} | {precision:.3f} | {len(dropped)}"
        yield f"| {name} | {figures} |"


def natural(folder: Path) -> Iterator[str]:
    """A table of what the default step drops of each text's paragraphs, nothing planted."""
    from pipelines.corpora.deduplication import NearDuplicates

    yield "| paragraphs of | in | dropped, same | dropped, alike | less than 0.5 | than 0.4 |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for path in sorted(folder.glob("*.txt")):
        texts, step = paragraphs(path), NearDuplicates()
        found = [
            jaccard(bigrams(text), bigrams(texts[int(match.document_id)])) if bigrams(text) else 1.0
            for number, text in enumerate(texts)
            if (match := step(text, str(number)))
        ]
        same = found.count(1.0)
        below, far = (sum(one < limit for one in found) for limit in (0.5, 0.4))
        yield f"| {path.stem} | {len(texts)} | {same} | {len(found) - same} | {below} | {far} |"


def main() -> None:
    """Print the tables, or (``--method``) one method's result as JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("--peer-python")
    options.add_argument("--texts", type=Path, default=TEXTS)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--method")
    options.add_argument("--documents", type=Path)
    chosen = options.parse_args()
    if chosen.method:
        work(chosen.method, chosen.documents)
        return
    libraries = ", ".join(f"{name} {version(name)}" for name in ("rensa", "numpy", "regex"))
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()},")
    print(f"Python {platform.python_version()}, {libraries}, best of {chosen.turns} turns\n")
    print(*compare(chosen.peer_python, chosen.texts, chosen.turns), "", sep="\n")
    print(*natural(chosen.texts), sep="\n")


if __name__ == "__main__":
    main()
