"""What the asset costs over the bare loop: the same training, with and without all around it.

    python benchmarks/orchestration.py --minutes 5

Run it on a quiet machine; it takes about three times the minutes. The asset is made by ``dragon
run`` in a process of its own, into a temporary store, with tracking, events, validations and
checkpoints. The bare loop is ``train`` on the same batches and the same validations, in a process
of its own. They take turns: bare, asset, bare. The cost is the time of the asset's training over
the mean of the two, and what the asset takes before and after its training is told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

RUN = "from pipelines.cli.main import run; run()"
PROBED = 40  # steps whose speed decides how many there are


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="chat")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--bare", metavar="STORE", type=Path, help="one bare training, of a store")
    parser.add_argument("--steps", type=int, default=PROBED)
    chosen = parser.parse_args()
    if chosen.bare:
        print(json.dumps(bare(Path(chosen.recipe), chosen.bare, chosen.steps)))
        return
    with tempfile.TemporaryDirectory(prefix="dragon-orchestration-") as folder:
        place = Path(folder)
        path, content = _recipe(place, chosen.recipe)
        _dragon(place, "run", str(path), "--select", f"{path.stem}/token_shards")
        probe = _bare(place, path, PROBED)
        steps = round(60 * chosen.minutes / (probe["steps"] / PROBED))
        content["training"] = {**content["training"], "steps": steps}
        content["training"].pop("tokens", None)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        first = _bare(place, path, steps)
        asset = _asset(place, path)
        _report(chosen.recipe, steps, first, asset, _bare(place, path, steps))


def bare(path: Path, store: Path, steps: int) -> dict[str, float]:
    """Seconds of the loop alone: of all its steps, and with validations in all."""
    from pipelines.core import processor

    processor.prepare()
    from model.architectures import build, find
    from model.training.loop import Step, train
    from model.training.objectives import OBJECTIVES
    from pipelines.core.store import Store
    from pipelines.recipe.loading import load_recipe
    from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
    from pipelines.training.batches import held_out_batches, training_batches
    from pipelines.training.checkpoint import HELD_OUT_BATCH
    from pipelines.training.fitting import optimizer_of, schedule_of
    from pipelines.training.precision import precision_of

    recipe, opened = load_recipe(path), Store(store)
    training = recipe.training
    encoder = opened.current(f"{recipe.name}/tokenizer", TokenizerFiles).load()
    shards = opened.current(f"{recipe.name}/token_shards", TokenShards)
    config = recipe.model.config(encoder.vocab_size)
    objective = find(recipe.architecture).objective
    named = {"config": config, "end_of_text": encoder.end_of_text}
    streams, weights = shards.streams("train"), recipe.mixture()
    batches = training_batches(objective, streams, weights, training, **named, seed=recipe.seed)
    held_out = shards.stream("validation", encoder.end_of_text)
    windows = training.look(HELD_OUT_BATCH, config.context_length)
    network = build(recipe.architecture, config, recipe.seed)
    began = time.perf_counter()
    events = train(
        network,
        OBJECTIVES[objective],
        batches.batch,
        optimizer_of(network, training, precision_of(training)),
        steps=steps,
        schedule=schedule_of(training, steps),
        clip=training.clip,
        precision=precision_of(training),
        seed=recipe.seed,
        validate_every=training.validate_every,
        validation=lambda: held_out_batches(objective, held_out, **named, windows=windows),
    )
    in_steps, since = 0.0, began
    for event in events:
        now = time.perf_counter()
        if isinstance(event, Step):
            in_steps += now - since
        since = time.perf_counter()
    return {"steps": in_steps, "all": time.perf_counter() - began}


def _recipe(place: Path, name: str) -> tuple[Path, dict[str, Any]]:
    from pipelines.core.project import Project

    content = yaml.safe_load((Project.here().recipes / f"{name}.yaml").read_text("utf-8"))
    content["tasks"] = {}
    path = place / "orchestrated.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path, content


def _dragon(place: Path, *words: str) -> None:
    environment = {"DRAGON_STORE": str(place / "store"), "DRAGON_HOME": str(place / "home")}
    home = os.environ.get("DRAGON_HOME")
    if home and not (place / "home").exists():  # what was downloaded once serves here too
        (place / "home").mkdir()
        (place / "home" / "downloads").symlink_to(Path(home).resolve() / "downloads")
    subprocess.run(
        [sys.executable, "-c", RUN, *words], env={**os.environ, **environment}, check=True
    )


def _bare(place: Path, path: Path, steps: int) -> dict[str, float]:
    words = ["--bare", str(place / "store"), "--recipe", str(path), "--steps", str(steps)]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, check=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _asset(place: Path, path: Path) -> dict[str, Any]:
    """What the record of the foundation says of its making."""
    from pipelines.core.store import Store

    _dragon(place, "run", str(path), "--select", f"{path.stem}/foundation")
    return dict(Store(place / "store").current_record(f"{path.stem}/foundation").made)


def _report(
    recipe: str,
    steps: int,
    first: dict[str, float],
    asset: dict[str, Any],
    second: dict[str, float],
) -> None:
    whole, alone = [(first[name] + second[name]) / 2 for name in ("all", "steps")]
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, recipe")
    print(f"{recipe}, {steps:,} steps; bare loop {first['all']:.1f} s and {second['all']:.1f} s\n")
    print("| seconds | bare loop | asset | ratio |\n| --- | ---: | ---: | ---: |")
    in_steps = asset["step_seconds"] * steps
    print(f"| the steps alone | {alone:.1f} | {in_steps:.1f} | {in_steps / alone:.3f} |")
    training = asset["training_seconds"]
    print(f"| the training | {whole:.1f} | {training:.1f} | {training / whole:.3f} |")
    print(f"| the making | {whole:.1f} | {asset['seconds']:.1f} | {asset['seconds'] / whole:.3f} |")


if __name__ == "__main__":
    main()
