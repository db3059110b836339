"""Our scores are those of the Evaluation Harness: its hf model on our export, and our adapter."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.architectures.gpt.config import GPTConfig
from pipelines.evaluation import choices, endings, texts
from pipelines.evaluation.asking import ask
from pipelines.evaluation.items import Item
from pipelines.evaluation.suites import catalogue
from pipelines.tokens.tokenizers import BytePairTokenizer

harness = pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm-eval")
pytestmark = pytest.mark.slow

from tests.exports.test_huggingface import SIZES, exported, network, words  # noqa: E402

__all__ = ["words"]  # a fixture

WORDS = ("how", "are", "you", "fine", "thank", "friend", "the", "sea", "is", "blue", "cold")
# The tasks of lm-eval on these sets, with its own prompts.
TASKS = {
    "choose": """
output_type: multiple_choice
doc_to_text: "{{query}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc}, {metric: acc_bytes}]
""",
    "pairs": """
output_type: multiple_choice
doc_to_text: ""
doc_to_choice: "{{[sentence_good, sentence_bad]}}"
doc_to_target: 0
metric_list: [{metric: acc}]
""",
    "last": """
output_type: loglikelihood
doc_to_text: "{{context}}"
doc_to_target: "{{' ' + continuation}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "whole": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}]
""",
}
KINDS = {
    "choose": ("multiple_choice", {}),
    "pairs": ("minimal_pairs", {}),
    "last": ("last_word", {}),
}


def rows_of(task: str, count: int = 40) -> list[dict[str, Any]]:
    draw = random.Random(7)

    def some(low: int, high: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(low, high)))

    makers = {
        "choose": lambda n: {"query": f"Question: {some(2, 5)}?", "gold": n % 3,
                             "choices": [some(1, 4) + "é" * (n % 2) for _ in range(3)]},
        "pairs": lambda _: {"sentence_good": some(3, 5), "sentence_bad": some(3, 5)},
        "last": lambda _: {"context": some(2, 9), "continuation": draw.choice(WORDS)},
        "whole": lambda _: {"text": some(20, 40)},
    }  # fmt: skip
    return [makers[task](n) for n in range(count)]


def their_tasks(folder: Path) -> Any:
    from lm_eval.tasks import TaskManager

    for name, task in TASKS.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows_of(name))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        head = f"task: ours_{name}\ndataset_path: json\ntest_split: test\n"
        head += f"dataset_kwargs: {{data_files: {{test: {folder / f'{name}.jsonl'}}}}}\n"
        (folder / f"{name}.yaml").write_text(head + task.lstrip())
    return TaskManager(include_path=str(folder), include_defaults=False)


def judged(model: Any, manager: Any) -> dict[str, dict[str, float]]:
    """What lm-eval finds with a model, by task and measure."""
    found = harness.simple_evaluate(
        model=model,
        tasks=[f"ours_{name}" for name in TASKS],
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=False,
    )
    return {
        name: {
            key.partition(",")[0]: value
            for key, value in found["results"][f"ours_{name}"].items()
            if key.endswith(",none") and "stderr" not in key
        }
        for name in TASKS
    }


@pytest.fixture
def asked(
    words: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """One random network: ours, its export, and lm-eval's tasks; nothing is fetched."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    folder = exported(tmp_path, ours, words)
    (tmp_path / "tasks").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manager = their_tasks(tmp_path / "tasks")
    return SimpleNamespace(network=ours, words=words, folder=folder, manager=manager)


def our_figures(asked: SimpleNamespace) -> dict[str, dict[str, float]]:
    """The same measures by our suites, under lm-eval's names."""
    seen = SimpleNamespace(ids=frozenset, overlaps=lambda: [])
    found = {}
    for task, (kind, _) in KINDS.items():
        suite = catalogue()[kind]
        fields = suite.options.model_fields["fields"].default
        items = [suite.item(f"{n}", row, fields) for n, row in enumerate(rows_of(task))]
        delimiter = "\nAnswer: " if task == "choose" else " "
        answered = ask(asked.network, asked.words, [], items, delimiter)
        judge = endings.findings if task == "last" else choices.findings
        found[task] = dict(judge(answered, seen).figures)
    items = [Item(f"{n}", [""], [row["text"]], 0) for n, row in enumerate(rows_of("whole"))]
    read = texts.predicted(asked.network, asked.words, items, None)
    found["whole"] = dict(texts.findings(read, seen).figures)
    return found


def require_equal(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> None:
    assert theirs["choose"]["acc"] == ours["choose"]["accuracy"]
    assert theirs["choose"]["acc_bytes"] == ours["choose"]["normalised_accuracy"]
    assert theirs["pairs"]["acc"] == ours["pairs"]["accuracy"]
    assert theirs["last"]["acc"] == ours["last"]["accuracy"]
    assert theirs["last"]["perplexity"] == pytest.approx(ours["last"]["perplexity"], rel=1e-4)
    assert theirs["whole"]["bits_per_byte"] == pytest.approx(
        ours["whole"]["bits_per_byte"], rel=1e-4
    )
    assert len({theirs["choose"]["acc"], theirs["choose"]["acc_bytes"], 0.0, 1.0}) == 4


def test_our_scores_are_those_of_lm_eval(asked: SimpleNamespace) -> None:
    """Its hf model on our export, its prompts, its way to count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lm_eval.models.huggingface import HFLM

        model = HFLM(str(asked.folder), device="cpu", dtype="float32", batch_size=4)
        require_equal(our_figures(asked), judged(model, asked.manager))


def test_lm_eval_runs_on_our_network_without_an_export(asked: SimpleNamespace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pipelines.evaluation.harness import DragonLM

        model = DragonLM(asked.network, asked.words)
        require_equal(our_figures(asked), judged(model, asked.manager))
        said = model.generate_until(
            [
                SimpleNamespace(args=("how are you", {"until": ["."], "max_gen_toks": 8})),
                SimpleNamespace(args=("the sea", {"until": [" "], "max_gen_toks": 8})),
            ]
        )
    assert len(said) == 2
    assert "." not in said[0]
    assert " " not in said[1]
