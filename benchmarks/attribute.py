"""Attribution: building an index and asking it, beside the size of its text and a plain scan.

``python benchmarks/attribute.py --megabytes 100`` on a quiet machine; what it prints goes into a
dated file beside it. The text is made: documents of 40 sentences, each sentence of 5 to 20 words,
a word drawn by Zipf's law from 50,000 made words. Twenty sentences of words that no document has
are planted, each in one document. The index is built in a process of its own, whose peak memory is
told; then another process opens it and asks three kinds of texts:

planted   five planted sentences with new words between them
read      500 characters in a row out of one document
new       500 characters of sentences from the same words, which no document has as a whole

Each text is asked once right after the index was opened (with the files in the system's cache, and
nothing in ours), and then seven times more; told are the first time and the best. What was found is
compared with a plain scan of the text for every passage, and the time of the scan is told too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

VOCABULARY, PLANTED = 50_000, 20
ASKED = (0, 5, 10, 15, 19)  # of the planted sentences
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en", "is")]


def vocabulary() -> list[str]:
    """Made words of two to four syllables; the first are drawn most."""
    chance = random.Random(1)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(chance.choices(SYLLABLES, k=chance.choice((1, 2, 2, 3, 3, 4))))] = None
    return list(words)


def sentences(seed: int) -> Iterator[str]:
    """Sentences without end; the word of rank r is drawn in proportion to 1 / r."""
    chance, words = random.Random(seed), vocabulary()
    weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    while True:
        drawn = chance.choices(words, cum_weights=weights, k=chance.randint(5, 20))
        yield f"{' '.join(drawn).capitalize()}."


def planted(number: int) -> str:
    """A sentence of words that ``sentences`` never draws."""
    return f"Quixotic wyverns {number} juxtapose {number * 7919} waxy cyphers with jolly haiku."


def texts(megabytes: float) -> Iterator[str]:
    """The documents: so many megabytes, with the planted sentences spread over them."""
    source, size, count = sentences(2), 0, 0
    while size < megabytes * 1e6:
        lines = list(itertools.islice(source, 40))
        if count < PLANTED and size >= count * megabytes * 1e6 / PLANTED:
            lines.insert(17, planted(count))
            count += 1
        text = "\n".join(" ".join(lines[n : n + 4]) for n in range(0, len(lines), 4))
        size += len(text)
        yield text


def build(megabytes: float, folder: Path) -> None:
    """Write the index into ``folder``, and print its figures."""
    from pipelines.core.work import seal
    from pipelines.index.building import write_parts
    from pipelines.text.tables import Document

    made = [Document(str(n), text, "made", "MIT") for n, text in enumerate(texts(megabytes))]
    size = sum(len(document.text) for document in made)
    with tempfile.TemporaryDirectory() as warm:  # imports libraries, whose memory is no text's
        write_parts(made[:1], Path(warm), Path(warm))
    before = peak_memory()
    began = time.perf_counter()
    write_parts(made, folder, folder)
    seconds = time.perf_counter() - began
    disk = sum(path.stat().st_size for path in folder.iterdir())
    memory = peak_memory() - before
    told = {"documents": len(made), "bytes": size, "seconds": seconds, "disk": disk}
    print(json.dumps({**told, "memory": memory, "version": seal(folder)}))


def peak_memory() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ask(version_: str, folder: Path) -> None:
    """Open the index and ask it, and print the seconds and what a plain scan says."""
    from pipelines.core.artefact import read_manifest
    from pipelines.index.artefacts import TextIndex
    from pipelines.lineage.attribute import Searched, attribute

    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.text")))
    (folder / "part-00000.order").read_bytes()  # into the system's cache
    index = TextIndex("made/index", version_, "", folder, read_manifest(folder, version_))
    kinds = asked_texts(text)
    warm = Searched("made/index", version_, {"made": index.open()})
    attribute(warm, planted(1))  # imports libraries, which is no part of a question
    found: dict[str, Any] = {"kinds": {}}
    for kind, question in kinds.items():
        began = time.perf_counter()
        searched = Searched("made/index", version_, {"made": index.open()})
        opening = time.perf_counter() - began
        times = []
        for _ in range(8):
            began = time.perf_counter()
            passages = attribute(searched, question)
            times.append(time.perf_counter() - began)
        began = time.perf_counter()
        counts = [overlapping(text, passage.text.encode()) for passage in passages]
        scan = time.perf_counter() - began
        assert counts == [passage.count for passage in passages], "a scan finds other places"
        if kind == "planted":
            for n in ASKED:  # with what happens to stand before it in both texts
                assert any(planted(n) in passage.text for passage in passages), planted(n)
        told = {"passages": len(passages), "opening": opening, "first": times[0]}
        found["kinds"][kind] = {**told, "best": min(times), "scan": scan}
    found["memory"] = peak_memory()
    print(json.dumps(found))


def asked_texts(text: bytes) -> dict[str, str]:
    """The three questions."""
    fillers = itertools.islice(sentences(3), 6)
    mixed = " ".join(f"{filler} {planted(n)}" for filler, n in zip(fillers, ASKED, strict=False))
    place = text.index(b"\xff", len(text) // 2) + 1000
    new = " ".join(itertools.islice(sentences(4), 20))
    return {"planted": mixed, "read": text[place : place + 500].decode(), "new": new[:500]}


def overlapping(text: bytes, wanted: bytes) -> int:
    """How often ``wanted`` stands in ``text``, by a plain scan."""
    count, place = 0, text.find(wanted)
    while place >= 0:
        count, place = count + 1, text.find(wanted, place + 1)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)  # the work of a child
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        kind, value = options.part
        build(float(value), options.folder) if kind == "build" else ask(value, options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        built = child(name, "build", str(options.megabytes))
        asked = child(name, "ask", built["version"])
    for line in lines(built, asked):
        print(line)


def child(folder: str, kind: str, value: str) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, __file__, "--part", kind, value, "--folder", folder]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def lines(built: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
    """The tables."""
    names = ("pydivsufsort", "numpy", "pyarrow")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    yield f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()},"
    yield f"Python {platform.python_version()}, {libraries}"
    yield ""
    size = built["bytes"]
    yield "| text | documents | seconds | MB/s | memory beside the documents | disk |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    cells = [f"{size / 1e6:.1f} MB", f"{built['documents']:,}", f"{built['seconds']:.1f}"]
    cells += [f"{size / 1e6 / built['seconds']:.1f}"]
    cells += [
        f"{built[kind] / 1e6:.0f} MB ({built[kind] / size:.2f}x)" for kind in ("memory", "disk")
    ]
    yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| asked | passages | opening ms | first ms | best ms | plain scan ms |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for kind, told in asked["kinds"].items():
        times = (f"{1000 * told[name]:.1f}" for name in ("opening", "first", "best", "scan"))
        yield f"| {kind} | {told['passages']} | {' | '.join(times)} |"


if __name__ == "__main__":
    main()
