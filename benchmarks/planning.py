"""What ``dragon plan`` promises, and what the run then takes and reaches.

    python benchmarks/planning.py --texts FOLDER

Run it on a quiet machine: it plans and runs five recipes, each into an empty store of its own, for
about twenty minutes. Four of them are on texts of the folder that the law of the loss was not
fitted on (benchmarks/plan_law.py names those it was); the fifth is tiny. The table that it prints
goes into a dated file beside it.
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

COMMAND = "from pipelines.cli.main import run; run()"
# text, vocabulary, d_model, layers, heads, context, batch, steps
RECIPES = {
    "sherlock": (1024, 128, 4, 4, 256, 8, 390),
    "pride": (2048, 96, 3, 2, 128, 16, 500),
    "grimm": (1024, 64, 2, 2, 128, 8, 1000),
    "tom": (512, 128, 2, 2, 64, 16, 400),
}


def main() -> None:
    """Plan and run each recipe, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[*RECIPES, "tiny"])
    chosen = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}\n")
    print("| recipe | bits per byte: plan | run | minutes: plan | run | memory: plan | run |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in chosen.only:
        with tempfile.TemporaryDirectory(prefix="dragon-planning-") as folder:
            print(_row(name, *compared(name, chosen.texts, Path(folder))), flush=True)


def compared(name: str, texts: Path, place: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """The plan of a recipe, and what its run took and reached."""
    path = _recipe(name, texts, place) if name in RECIPES else name
    plan = json.loads(_dragon(place, "plan", str(path), "--json"))
    _dragon(place, "run", str(path))
    listed = json.loads(_dragon(place, "ls", "--recipe", str(path), "--json"))["assets"]
    made = json.loads(_dragon(place, "show", f"{name}/foundation", "--json"))["records"][0]["made"]
    figures = next(a for a in listed if a["key"] == f"{name}/foundation_evaluation")["figures"]
    return plan, {
        "bits_per_byte": figures["validation_bits_per_byte"],
        "seconds": sum(asset["seconds"] for asset in listed),
        "memory": made["peak_memory"],
    }


def _recipe(name: str, texts: Path, place: Path) -> Path:
    vocab, d_model, layers, heads, context, batch, steps = RECIPES[name]
    folder = place / name
    folder.mkdir()
    (folder / f"{name}.txt").write_bytes((texts / f"{name}.txt").read_bytes())
    source = {"kind": "folder", "path": str(folder), "licence": "unknown", "outside": True}
    cleaning = [{"step": "normalise"}, {"step": "divide", "max_characters": 4000}]
    sizes = {"d_model": d_model, "n_layers": layers, "n_heads": heads, "context_length": context}
    content = {
        "description": f"A plan of {name}",
        "seed": 1,
        "corpora": {
            f"{name}_text": {
                "source": source,
                "cleaning": cleaning,
                "split": {"validation": 0.05, "test": 0.05},
            }
        },
        "tokenizer": {"kind": "bpe", "vocab_size": vocab},
        "model": {"architecture": "gpt", "preset": "modern", **sizes},
        "training": {"steps": steps, "batch_size": batch},
    }
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _dragon(place: Path, *words: str) -> str:
    folders = {"DRAGON_STORE": str(place / "store"), "DRAGON_HOME": str(place / "home")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"dragon {' '.join(words)}: {done.stderr}")
    return done.stdout


def _row(name: str, plan: dict[str, Any], run: dict[str, float]) -> str:
    told = plan["forecast"]
    loss = f"{told['bits_per_byte']:.3f} ± {told['band']:.3f}" if told else "none"
    cells = [
        f"{loss} | {run['bits_per_byte']:.3f}",
        f"{plan['seconds'] / 60:.2f} | {run['seconds'] / 60:.2f}",
        f"{plan['memory'] / 1e6:,.0f} MB | {run['memory'] / 1e6:,.0f} MB",
    ]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
