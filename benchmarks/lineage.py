"""How long lineage takes to answer in a large store, which this script writes first.

Run it as ``python benchmarks/lineage.py FOLDER``. The store in FOLDER gets 1,000,000 documents in
20 corpora and 2,000 artefacts with valid manifests, records and tables: corpora, shards, 200
foundations that each drew 5,000 documents, what was fine-tuned and judged under them. Nothing is
trained. A store that is there already is used again. Then it measures how long the index takes to
make and how large it is, and the time of each question: its own work in a process of its own, as
the median of several, and the whole command with Python's start.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.core.artefact import Artefact  # noqa: E402
from pipelines.core.store import Store  # noqa: E402
from pipelines.lineage.diff import differences  # noqa: E402
from pipelines.lineage.documents import documents_of, models_in  # noqa: E402
from pipelines.lineage.graph import Graph, Place  # noqa: E402
from pipelines.lineage.index import Index, place_of  # noqa: E402
from pipelines.lineage.metrics import metrics  # noqa: E402
from pipelines.lineage.near import NearIndex  # noqa: E402
from pipelines.lineage.subjects import impact_of  # noqa: E402
from pipelines.lineage.trace import locate, trace  # noqa: E402
from pipelines.lineage.tree import tree  # noqa: E402
from pipelines.text.tables import Document  # noqa: E402
from tests.lineage import made_up  # noqa: E402
from tests.lineage.made_up import MadeUp  # noqa: E402

CORPORA, RECIPES, VERSIONS = 20, 40, 5
DRAWN, TUNED = 5_000, 500  # documents that a foundation, and what is fine-tuned, drew
SOURCE = {"kind": "generated", "generator": "made up", "licence": "CC0-1.0"}
TIMES = 15
WORDS = [f"word{number}" for number in range(3_000)]


def corpus(name: str, size: int) -> list[Document]:
    """Documents of 30 words, from the corpus' name alone."""
    chance = random.Random(name)
    return [
        Document(f"{name}-{n}", " ".join(chance.choices(WORDS, k=30)), f"{name}.txt", "CC0-1.0")
        for n in range(size)
    ]


def write(root: Path, documents: int) -> None:
    """The store: each corpus with two recipes, each recipe with five versions of its models."""
    making = MadeUp(root)
    for number in range(CORPORA):
        name = f"corpus{number}"
        held = corpus(name, documents // CORPORA)
        raw = making.publish(f"{name}/raw_text", "RawText", made_up.raw_text(held), recipe=SOURCE)
        clean = _clean(making, name, held, raw)
        if number == 0:  # a second version, of which one document differs
            changed = [held[0]._replace(text="another text"), *held[1:]]
            raw = making.publish(
                f"{name}/raw_text", "RawText", made_up.raw_text(changed), recipe=SOURCE
            )
            _clean(making, name, changed, raw)
        for recipe in range(number, RECIPES, CORPORA):
            _recipe(making, f"recipe{recipe}", name, held, clean)
        print(f"{name} is written", file=sys.stderr)


def _clean(making: MadeUp, name: str, held: list[Document], raw: Artefact) -> Artefact:
    cut = len(held) // 20
    splits = {"train": held[2 * cut :], "validation": held[:cut], "test": held[cut : 2 * cut]}
    fill = made_up.documents(splits)
    return making.publish(f"{name}/documents", "Documents", fill, {"raw": raw})


def _recipe(making: MadeUp, recipe: str, name: str, held: list[Document], clean: Artefact) -> None:
    read = {f"documents/{name}": clean}
    tokenizer = making.publish(f"{recipe}/tokenizer", "TokenizerFiles", made_up.plain(recipe), read)
    inputs = {"tokenizer": tokenizer, **read}
    fill = made_up.shards({name: held[len(held) // 10 :]}, recipe)
    shards = making.publish(f"{recipe}/token_shards", "TokenShards", fill, inputs)
    for version in range(VERSIONS):
        torch = {"libraries": {"torch": f"2.{version + 9}.0"}}
        chance = random.Random(f"{recipe} {version}")
        drawn = chance.sample(held[len(held) // 10 :], min(DRAWN, len(held) // 2))
        draws = [(name, d.id, "", d.sha256, 4, step + 1) for step, d in enumerate(drawn)]
        foundation = making.publish(
            f"{recipe}/foundation", "Checkpoint", made_up.checkpoint(draws, f"{recipe}{version}"),
            {"tokenizer": tokenizer, "token_shards": shards}, recipe={"steps": version}, **torch,
        )  # fmt: skip
        judged = [_judged(making, f"{recipe}/foundation", foundation, version)]
        for task in ("reply", "spam", "style", "topic"):
            examples = [
                ("examples", d.id, f"{d.id}/1", d.sha256, 2, step + 1)
                for step, d in enumerate(drawn[:TUNED])
            ]
            tuned = making.publish(
                f"{recipe}/{task}_model", "Checkpoint",
                made_up.checkpoint(examples, f"{recipe}{version}{task}"),
                {"foundation": foundation, "tokenizer": tokenizer}, **torch,
            )  # fmt: skip
            judged.append(_judged(making, f"{recipe}/{task}", tuned, version))


def _judged(making: MadeUp, key: str, model: Artefact, version: int) -> Artefact:
    fill = made_up.evaluation({"loss": 3 - version / 10, f"of {key}": 1.0})
    return making.publish(f"{key}_evaluation", "Evaluation", fill, {"model": model})


def timed(work: Callable[[], object], times: int = TIMES) -> tuple[float, float, float]:
    """The median and the largest time of some work and its median processor time, in seconds.

    On a machine with other work the first two say little; the third leaves out what it waited for.
    """
    taken, used = [], []
    for _ in range(times):
        began, before = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - began)
        used.append(time.process_time() - before)
    return statistics.median(taken), max(taken), statistics.median(used)


def questions(
    store: Store, path: Path, number: int
) -> Iterator[tuple[str, Callable[[], object], list[str]]]:
    """Each question with its own work and its command."""

    def asked(question: Callable[[Index, Graph], object]) -> Callable[[], object]:
        def work() -> object:
            with Index(store, path) as index:
                return question(index, index.graph())

        return work

    def traced(key: str, *, documents: bool = False, verify: bool = True) -> object:
        node = trace(store, locate(store, key), verify=verify)
        return tree(node), [list(documents_of(m)) for m in models_in(node)] if documents else []

    def compared(a: str, b: str) -> Callable[[Index, Graph], object]:
        def work(index: Index, graph: Graph) -> object:
            places = [Place(v.version, v.derivation) for v in (locate(store, a), locate(store, b))]
            found = differences(index, graph, *places)
            return found, list(metrics(store, graph, *places))

        return work

    key = "recipe7/reply_model"
    first, last = _versions(store, "recipe7/foundation")
    raws = [f"corpus0/documents@{v}" for v in store.versions("corpus0/documents")]
    a, b = (f"recipe7/foundation@{one}" for one in (first, last))
    for subject in (f"corpus7-{number}", "torch==2.9.0", "corpus7", a):
        work = asked(lambda index, _, subject=subject: impact_of(index, subject))  # type: ignore[misc]
        yield f"impact {subject}", work, ["impact", subject]
    yield "trace", lambda: traced(key), ["trace", key]
    yield "trace, not hashed", lambda: traced(key, verify=False), []
    yield "trace --documents", lambda: traced(key, documents=True), ["trace", key, "--documents"]
    yield "diff of two models", asked(compared(a, b)), ["diff", a, b]
    yield "diff of 1 document in 50,000", asked(compared(*raws)), ["diff", *raws]


def _versions(store: Store, key: str) -> tuple[str, str]:
    records = sorted(store.records(key), key=lambda record: str(record.made["finished"]))
    return records[0].version, records[-1].version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--near", action="store_true", help="measure near copies too: minutes")
    parser.add_argument("--ask", action="store_true", help="only ask: the index is there")
    given = parser.parse_args()
    root, home = given.folder / "store", given.folder / "home"
    store, path = Store(root), place_of(Store(root), home)
    if not given.ask:
        build(root, home, path, given.documents)
        # What making the index left in memory would slow the questions down.
        again = [sys.executable, __file__, str(given.folder), "--documents", str(given.documents)]
        subprocess.run([*again, "--ask", *(["--near"] if given.near else [])], check=True)
        return
    environment = {**os.environ, "DRAGON_STORE": str(root), "DRAGON_HOME": str(home)}
    print("| question | own work | largest | processor | whole command |\n|---|---|---|---|---|")
    for name, work, command in questions(store, path, given.documents // CORPORA * 3 // 5):
        median, largest, used = timed(work)
        whole = "-"
        if command:
            run = [sys.executable, "-c", "from pipelines.cli.main import run; run()", *command]
            seconds, _, _ = timed(
                lambda run=run: subprocess.run(  # type: ignore[misc]
                    run, env=environment, cwd=ROOT, check=True, capture_output=True
                ),
                3,
            )
            whole = f"{seconds:.2f} s"
        told = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in (median, largest, used))
        print(f"| {name} | {told} | {whole} |", flush=True)
    if given.near:
        near_copies(store, home, path, f"corpus7-{given.documents // CORPORA * 3 // 5}")


def build(root: Path, home: Path, path: Path, documents: int) -> None:
    """Write the store if it is not there, make its index anew, and print how long that took."""
    if not (root.parent / "written").exists():
        began = time.perf_counter()
        write(root, documents)
        (root.parent / "written").touch()
        print(f"written in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    home.mkdir(exist_ok=True)
    store = Store(root)
    path.unlink(missing_ok=True)
    graph_only = timed(lambda: Graph.of(store), 3)[0]
    began = time.perf_counter()
    with Index(store, path) as index:
        index.update(index.graph())
    built = time.perf_counter() - began
    count = sum(1 for _ in (root / "objects").iterdir())
    print(f"| artefacts | {count:,} |\n| documents | {documents:,} |")
    print(f"| graph without an index | {graph_only:.2f} s |")
    print(f"| index | {built:.1f} s, {path.stat().st_size / 1e6:.0f} MB |", flush=True)


def near_copies(store: Store, home: Path, path: Path, subject: str) -> None:
    """The time to sign all documents, and of a question for near copies after that."""
    place = place_of(store, home, "near")
    place.unlink(missing_ok=True)
    with Index(store, path) as index, NearIndex(store, place) as near:
        began = time.perf_counter()
        impact_of(index, subject, near)
        made = time.perf_counter() - began
        again, _, _ = timed(lambda: impact_of(index, subject, near), 3)
    print(f"| signatures | {made:.0f} s, {place.stat().st_size / 1e6:.0f} MB |")
    print(f"| impact --near | {again * 1000:.0f} ms |")


if __name__ == "__main__":
    main()
