"""Forgets documents of tiny, and compares each replay with a training from scratch.

Both have the same holes. Run it from the checkout:

    python benchmarks/forgetting.py FOLDER [--documents 20] [--together 5] [--vocab-size 300]

A small vocabulary has few merges, which a document hardly changes: then the replay is what counts.
With tiny's own 512 tokens almost every document changes a merge, so that everything is made anew.

Documents are drawn at random from those that the foundation read, and taken back one after another,
then some together. Each time the recipe runs twice: in its store, where the training may go on from
a kept state, and in a new store, from scratch. A row says which state it went on from, how many
steps it made, the most that the goal allows (the share that remains after the first step that read
the document, and 5 %), and whether both foundations are the same bytes. It ends with a search for
all forgotten texts. Exits with 1 if anything differs. About 40 seconds a document.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.core.store import Store
from pipelines.training.artefacts import Checkpoint

RECIPE, EVERY, STEPS = "recipes/tiny.yaml", 6, 120
FOUNDATION, STATES = "tiny/foundation", "tiny/foundation_states"
CORPUS = "toy_dialogues"


def dragon(project: Path, store: str, *arguments: str) -> None:
    """The command line in a project of its own. Ends the program if it fails."""
    places = {"DRAGON_STORE": str(project / store), "DRAGON_HOME": str(project / "home")}
    code = "from pipelines.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        env={**os.environ, **places, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"dragon {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def make_project(folder: Path, vocab_size: int) -> None:
    """A project with tiny alone, whose training keeps a state every few steps."""
    text = Path(RECIPE).read_text(encoding="utf-8")
    assert "\ntraining:\n" in text
    kept = text.replace("\ntraining:\n", f"\ntraining:\n  keep: {{every: {EVERY}}}\n")
    assert "vocab_size: 512" in kept
    kept = kept.replace("vocab_size: 512", f"vocab_size: {vocab_size}")
    (folder / "recipes").mkdir(parents=True)
    (folder / RECIPE).write_text(kept, encoding="utf-8")


def forget(project: Path, chosen: list[Any]) -> bool:
    """Take documents back, run both ways, print a row; whether both ended at the same bytes."""
    names = [draw.document_id for draw in chosen]
    dragon(project, "store", "forget", CORPUS, *names, "--reason", "a trial", "--yes")
    run = ("run", "tiny", "--select", FOUNDATION)
    dragon(project, "store", *run)
    shutil.rmtree(project / "scratch", ignore_errors=True)
    dragon(project, "scratch", *run)
    store, scratch = Store(project / "store"), Store(project / "scratch")
    version = store.current_record(FOUNDATION).version
    same = version == scratch.current_record(FOUNDATION).version
    replayed = store.current_record(STATES).made.get("replayed") or {"step": 0}
    first = min(draw.first_step for draw in chosen)
    merges = store.current_record("tiny/tokenizer").version
    allowed = STEPS - first + 1 + round(0.05 * STEPS)
    made = STEPS - replayed["step"]
    print(
        f"| {', '.join(names)} | {first} | {replayed['step']} | {made} | {allowed} |"
        f" {merges[:8]} | {'the same' if same else 'OTHER'} {version[:12]} |",
        flush=True,
    )
    return same


def main() -> None:
    """Make the project, forget, print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--documents", type=int, default=20)
    options.add_argument("--together", type=int, default=5)
    options.add_argument("--seed", type=int, default=1337)
    options.add_argument("--vocab-size", type=int, default=512)
    chosen = options.parse_args()
    project = chosen.folder / "project"
    make_project(project, chosen.vocab_size)
    dragon(project, "store", "run", "tiny", "--select", FOUNDATION)
    print("| forgotten | first read | went on from | steps made | allowed | merges | foundation |")
    print("| --- | ---: | ---: | ---: | ---: | --- | --- |")
    draw, alike = random.Random(chosen.seed), True
    for count in [1] * chosen.documents + [chosen.together] * (chosen.together > 0):
        read = list(Store(project / "store").current(FOUNDATION, Checkpoint).draws())
        alike &= forget(project, draw.sample(read, count))
    dragon(project, "store", "run", "tiny")
    dragon(project, "store", "forget", CORPUS, "--certificate", "gone.json")
    print("no forgotten text was found in the current artefacts")
    sys.exit(not alike)


if __name__ == "__main__":
    main()
