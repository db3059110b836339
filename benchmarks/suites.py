"""Scores and items a second of our suites beside lm-eval's hf model, in one run.

Run it on a quiet machine, after the model was made (``dragon run smollm2``):

    python benchmarks/suites.py --data FOLDER --harness PYTHON [--model smollm2/foundation]

FOLDER has ARC-easy, LAMBADA and BLiMP as llm-foundry and their authors write them
(``arc_easy.jsonl``, ``lambada_openai_first_half.jsonl``, ``blimp/*.jsonl``). PYTHON has lm-eval
installed and runs its hf model on our export, with the prompts of its own tasks. Both read the same
files in fp32 with as many threads; they take turns, set by set, and the fastest of ``--rounds``
counts. Loading the model and the rows does not count; tokenizing does. ``--random WIDTH`` takes a
random network of SmolLM2's depth instead of a model of the store, to try the script out.

It prints a table, and ends with 1 if a score differs by more than 0.2 points.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import torch
folder, tasks, threads, batch = sys.argv[1:5]
torch.set_num_threads(int(threads))
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
model = HFLM(folder, device="cpu", dtype="float32", batch_size=int(batch))
manager = TaskManager(include_path=tasks, include_defaults=False)
print("ready", file=sys.stderr, flush=True)
for line in sys.stdin:
    name = line.strip()
    began = time.monotonic()
    found = lm_eval.simple_evaluate(
        model=model, tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=False
    )
    seconds = time.monotonic() - began
    row = {k.partition(",")[0]: v for k, v in found["results"][name].items() if k.endswith(",none")}
    print("RESULT " + json.dumps({"seconds": seconds, **row}), flush=True)
"""
CHOICE = """output_type: multiple_choice
doc_to_text: "{{query}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc}, {metric: acc_bytes}]
"""
PAIRS = """output_type: multiple_choice
doc_to_text: ""
doc_to_choice: "{{[sentence_good, sentence_bad]}}"
doc_to_target: 0
metric_list: [{metric: acc}]
"""
ENDING = """output_type: loglikelihood
doc_to_text: "{{context}}"
doc_to_target: "{{' ' + continuation}}"
metric_list: [{metric: acc}]
"""


def sets_of(data: Path) -> dict[str, tuple[str, str, Path]]:
    """(kind of suite, lm-eval's task, file) by name."""
    sets = {
        "arc_easy": ("multiple_choice", CHOICE, data / "arc_easy.jsonl"),
        "lambada": ("last_word", ENDING, data / "lambada_openai_first_half.jsonl"),
    }
    for path in sorted((data / "blimp").glob("*.jsonl")):
        sets[f"blimp_{path.stem}"] = ("minimal_pairs", PAIRS, path)
    return sets


class Peer:
    """lm-eval in a process of its own."""

    def __init__(self, python: str, export: Path, tasks: Path, threads: int, batch: int) -> None:
        command = [python, "-c", PEER, str(export), str(tasks), str(threads), str(batch)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tasks / "hf")}
        self.process = subprocess.Popen(
            command, env={**os.environ, **offline}, stderr=subprocess.DEVNULL, **pipes
        )

    def ask(self, name: str) -> dict[str, float]:
        """The seconds and the scores of a task."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
                return found
        raise SystemExit(f"lm-eval ended at {name}: run the command of `Peer` by hand")


def ours(network: Any, tokenizer: Any, kind: str, path: Path) -> dict[str, float]:
    """The seconds and the scores of a set by our suite."""
    from types import SimpleNamespace

    from pipelines.evaluation import choices, endings
    from pipelines.evaluation.asking import ask
    from pipelines.evaluation.suites import catalogue

    suite = catalogue()[kind]
    fields = suite.options.model_fields["fields"].default
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    items = [suite.item(f"{path.name}:{n}", row, fields) for n, row in enumerate(rows, 1)]
    seen: Any = SimpleNamespace(ids=frozenset, overlaps=lambda: [])
    began = time.monotonic()
    delimiter = "\nAnswer: " if kind == "multiple_choice" else " "
    answered = ask(network, tokenizer, [], items, delimiter)
    judge = endings.findings if kind == "last_word" else choices.findings
    figures = judge(answered, seen).figures
    seconds = time.monotonic() - began
    return {"seconds": seconds, "items": len(items), **figures}


def model_of(arguments: argparse.Namespace, export: Path) -> tuple[Any, Any]:
    """A network and its tokenizer; its export is written to ``export``."""
    from pipelines.core.project import Project
    from pipelines.core.store import Store
    from pipelines.exports.huggingface import export_hf
    from pipelines.inference.session import open_session
    from pipelines.lineage.trace import trace
    from pipelines.training.artefacts import Checkpoint

    store = Store(Project.here().store)
    checkpoint = store.current(arguments.model, Checkpoint)
    session = open_session(store, checkpoint)
    export_hf(checkpoint, session.tokenizer, trace(store, checkpoint), export)
    return session.network, session.tokenizer


def random_model(width: int, export: Path, data: Path) -> tuple[Any, Any]:
    """A random network of SmolLM2's depth with a vocabulary of the rows, and its export."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch

    from model.architectures.gpt.config import GPTConfig
    from model.architectures.gpt.network import Decoder
    from pipelines.core.store import Store
    from pipelines.exports.huggingface import export_hf
    from pipelines.tokens.tokenizers.bpe_training import train_bpe
    from tests.exports.test_huggingface import published_model

    text = (data / "lambada_openai_first_half.jsonl").read_text(encoding="utf-8")
    tokenizer = train_bpe(text.splitlines()[:500], 4096)
    sizes = {"context_length": 1024, "d_model": width, "n_layers": 30, "n_heads": width // 64}
    network = Decoder(GPTConfig(**sizes, vocab_size=tokenizer.vocab_size)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():  # a new network finds all tokens equally likely
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.02)
    folder = export.parent
    store = Store(folder / "store")
    checkpoint, lineage = published_model(
        store, "random/foundation", network, tokenizer, folder / "draft"
    )
    export_hf(checkpoint, tokenizer, lineage, export)
    return network, tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--harness", required=True, help="a Python that has lm-eval")
    parser.add_argument("--model", default="smollm2/foundation")
    parser.add_argument("--random", type=int, metavar="WIDTH")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="rows of lm-eval's batch")
    parser.add_argument("--limit", type=int, help="rows of each set, to try the script out")
    parser.add_argument("--only", nargs="*", help="names of sets")
    arguments = parser.parse_args()
    from pipelines.core import processor

    processor.prepare()
    import torch

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks, export = folder / "tasks", folder / "export"
        tasks.mkdir()
        sets = {
            name: one
            for name, one in sets_of(arguments.data).items()
            if not arguments.only or name in arguments.only
        }
        for name, (kind, task, path) in list(sets.items()):
            lines = path.read_text(encoding="utf-8").splitlines()[: arguments.limit]
            copy = tasks / f"{name}.jsonl"
            copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
            sets[name] = (kind, task, copy)
            head = f"task: {name}\ndataset_path: json\ntest_split: test\n"
            head += f"dataset_kwargs: {{data_files: {{test: {copy}}}}}\n"
            (tasks / f"{name}.yaml").write_text(head + task)
        if arguments.random:
            network, tokenizer = random_model(arguments.random, export, arguments.data)
        else:
            network, tokenizer = model_of(arguments, export)
        peer = Peer(arguments.harness, export, tasks, torch.get_num_threads(), arguments.batch)
        sys.exit(_table(network, tokenizer, peer, sets, arguments.rounds))


def _table(
    network: Any, tokenizer: Any, peer: Peer, sets: dict[str, tuple[str, str, Path]], rounds: int
) -> int:
    """Print a row for each set; 1 if a score differs by more than 0.2 points."""
    print("| set | items | ours | lm-eval | ours, items/s | lm-eval, items/s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    apart, seconds = 0, [0.0, 0.0]
    for name, (kind, _, path) in sets.items():
        turns = [(ours(network, tokenizer, kind, path), peer.ask(name)) for _ in range(rounds)]
        mine, theirs = turns[0]
        best = [min(turn[side]["seconds"] for turn in turns) for side in (0, 1)]
        seconds = [total + one for total, one in zip(seconds, best, strict=True)]
        pairs = [("accuracy", "acc")]
        pairs += [("normalised_accuracy", "acc_bytes")] if "acc_bytes" in theirs else []
        told = [
            " / ".join(f"{100 * side[pair[place]]:.2f}" for pair in pairs)
            for place, side in enumerate((mine, theirs))
        ]
        apart |= any(abs(mine[a] - theirs[b]) > 0.002 for a, b in pairs)
        rates = [mine["items"] / one for one in best]
        print(
            f"| {name} | {int(mine['items']):,} | {told[0]} | {told[1]} | {rates[0]:.1f}"
            f" | {rates[1]:.1f} | {best[1] / best[0]:.2f} |",
            flush=True,
        )
    print(f"All sets: {seconds[0]:.1f} s against {seconds[1]:.1f} s,", end=" ")
    print(f"{seconds[1] / seconds[0]:.2f} times as fast.")
    return int(apart)


if __name__ == "__main__":
    main()
