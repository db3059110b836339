"""What is added by a file or two: in a copy of the project, which then runs as it is.

Each section adds to one catalogue. Nothing that was there before may be made anew by it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from pipelines.cli.main import run; run()"
DECIDED = """
import json
from pathlib import Path
from pipelines.core.identity import digest
from pipelines.recipe.loading import load_recipes
from pipelines.stages import declare
declared = declare(load_recipes(Path("recipes")).values())
print(json.dumps({one.key: digest(one.static()) for one in declared}))
"""

CHECKED = """
import sys
from pathlib import Path
from pipelines.checks import checks_of
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare
for applied in checks_of(declare([load_recipe(Path(sys.argv[1]))])):
    print(f"{applied.check.name} of {applied.key}")
"""


@dataclass(frozen=True)
class Copied:
    """A copy of the project that a test may change."""

    root: Path
    home: Path

    @property
    def store(self) -> Path:
        return self.root / "assets_store"

    def add(self, path: str, text: str) -> None:
        """A file that was not there."""
        assert not (self.root / path).exists()
        (self.root / path).write_text(text, encoding="utf-8")

    def python(self, statement: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A statement in a process of its own, with the copy's code."""
        return subprocess.run(
            [sys.executable, "-c", statement, *arguments],
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": str(self.root),
                "DRAGON_HOME": str(self.home),
                "DRAGON_STORE": str(self.store),
            },
            capture_output=True,
            text=True,
        )

    def dragon(self, *arguments: str) -> str:
        """What the copy's command line prints; it must end well."""
        done = self.python(COMMAND, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def decided(self) -> dict[str, str]:
        """What decides each asset of the shipped recipes before any input is known."""
        done = self.python(DECIDED)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def copied_project(tmp_path: Path, home: Path) -> Copied:
    """The project's code, settings and recipes in a folder of their own."""
    root = tmp_path / "project"
    for folder in ("model", "pipelines", "dragon", "recipes"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "dagster.yaml"):
        shutil.copy(ROOT / file, root / file)
    return Copied(root, home)


# --- cleaning steps -----------------------------------------------------------------------------

CAPITALS = '''\
"""Capital letters."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.cleaning.outcome import Clean, Cleaned
from pipelines.corpora.cleaning.step import Step, StepOptions


class Capitals(StepOptions):
    """Write every letter as a capital."""

    step: Literal["capitals"]
    end: str = "!"


def capitals(options: Capitals) -> Clean:
    return lambda text: Cleaned(text.upper() + options.end, "in capitals")


STEP = Step(Capitals, capitals)
'''
STEPS = "pipelines/corpora/cleaning/steps"


def test_a_cleaning_step_is_one_file(
    copied_project: Copied, recipe_file: Callable[..., Path]
) -> None:
    before = copied_project.decided()
    copied_project.add(f"{STEPS}/capitals.py", CAPITALS)
    assert copied_project.decided() == before
    cleaning = "cleaning: [{step: normalise}, {step: capitals, end: ' THE END'}]"
    recipe = recipe_file(("    split:", f"    {cleaning}\n    split:"))
    copied_project.dragon("run", str(recipe), "--select", "talk/documents")
    card = copied_project.dragon("documents", "talk")
    assert re.search(r"^ +capitals +300 +300 +0 +300 ", card, re.M)
    assert "A: GOOD TO SEE YOU. B: YOU TOO!" in card
    schema = json.loads(copied_project.dragon("schema"))
    assert schema["$defs"]["Capitals"]["properties"]["end"]["default"] == "!"


def test_a_file_that_declares_no_step_is_named(copied_project: Copied) -> None:
    copied_project.add(f"{STEPS}/capitals.py", CAPITALS.replace("STEP =", "STEPS ="))
    fault = copied_project.python(DECIDED).stderr.splitlines()[-1]
    assert fault.endswith(".steps.capitals declares no STEP: add one")


# --- kinds of source ----------------------------------------------------------------------------

COUNTED = '''\
"""Numbers in words."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.sources.kind import Kind, SourceOptions
from pipelines.text.tables import Document


class CountedSource(SourceOptions):
    """As many documents as are asked for, each a number and a sentence."""

    kind: Literal["counted"]
    documents: int
    licence: str = "CC0-1.0"


def read(source: CountedSource, _, __):
    for number in range(source.documents):
        yield Document(str(number), f"This is text number {number}.", "counted", source.licence)


KIND = Kind(options=CountedSource, read=read, origin="the first {documents} numbers")
'''


def test_a_kind_of_source_is_one_file(
    copied_project: Copied, recipe_file: Callable[..., Path]
) -> None:
    before = copied_project.decided()
    copied_project.add("pipelines/corpora/sources/kinds/counted.py", COUNTED)
    assert copied_project.decided() == before
    source = "{kind: generated, generator: dialogues, documents: 300, seed: 5}"
    recipe = recipe_file((source, "{kind: counted, documents: 41}"))
    copied_project.dragon("run", str(recipe), "--select", "talk/documents")
    assert "This is text number" in copied_project.dragon("documents", "talk", "--split", "train")
    lineage = copied_project.dragon("trace", "talk/documents")
    assert "41 documents, the first 41 numbers, CC0-1.0" in lineage


# --- kinds of task ------------------------------------------------------------------------------

RECALL = '''\
"""``<recipe>/<task>_evaluation``: how often the likeliest next token is the right one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.options import TaskOptions
from pipelines.tasks.recall.options import Asked
from pipelines.tokens.tokenizers import LIBRARIES


class RecallTask(TaskOptions):
    """The first texts of a corpus' test split, a token at a time."""

    kind: Literal["recall"]
    texts: int = 20


def plan(scope: Scope, name: str, options: RecallTask) -> Iterator[Declaration]:
    """The share of tokens that are foretold, beside always saying the most frequent one."""
    yield evaluation_of(
        scope.key(f"{name}_evaluation"),
        "pipelines.tasks.recall.evaluation:evaluate",
        inputs={
            "foundation": scope.foundation,
            "tokenizer": scope.tokenizer,
            "documents": f"{options.corpus}/documents",
        },
        settings=Asked(texts=options.texts),
        libraries=("torch", *LIBRARIES[scope.tokenizer_kind]),
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
    )


def used_by(called: Called, _: RecallTask) -> Iterator[Use]:
    """Its figure."""
    key = f"{called.recipe}/{called.task}_evaluation"
    yield Use(("show", key), key, "What it recalls")


TASK = Task("recall", RecallTask, plan, used_by)
'''
RECALL_OPTIONS = '''\
"""What decides how recall is asked."""

from __future__ import annotations

from pipelines.core.stanza import Strict


class Asked(Strict):
    """How many texts are read."""

    texts: int
'''
RECALL_EVALUATION = '''\
"""The share of a text's tokens that a network foretells."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import torch

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.tasks.recall.options import Asked
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network


def evaluate(
    making: Making,
    settings: Asked,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    documents: Documents,
) -> None:
    """Each token of some texts, foretold from those before it in its window."""
    network, words, asked, right = load_network(foundation).eval(), tokenizer.load(), 0, 0
    seen: Counter[int] = Counter()
    for document in islice(documents.split("test"), settings.texts):
        tokens = [words.start, *words.encode(document.text)][: network.context_length]
        with torch.inference_mode():
            foretold = network(torch.tensor([tokens[:-1]]))[0].argmax(-1).tolist()
        right += sum(one == other for one, other in zip(foretold, tokens[1:], strict=True))
        asked += len(tokens) - 1
        seen.update(tokens[1:])
    share, frequent = right / asked, max(seen.values()) / asked
    Findings(
        figures={"recall": share, "tokens": asked},
        comparison=Comparison(
            measure="share of tokens foretold",
            better="higher",
            ours=share,
            baselines={"the most frequent token": frequent},
        ),
    ).write(making)
'''


def test_a_kind_of_task_is_one_folder(
    copied_project: Copied, recipe_file: Callable[..., Path]
) -> None:
    before = copied_project.decided()
    folder = "pipelines/tasks/recall"
    (copied_project.root / folder).mkdir()
    copied_project.add(f"{folder}/__init__.py", RECALL)
    copied_project.add(f"{folder}/options.py", RECALL_OPTIONS)
    copied_project.add(f"{folder}/evaluation.py", RECALL_EVALUATION)
    assert copied_project.decided() == before
    tasks = "tasks:\n  held_out: {kind: recall, corpus: talk, texts: 5}\n"
    recipe = recipe_file(("training:", f"{tasks}training:"))
    said = copied_project.dragon("run", str(recipe))
    assert re.search(r"^  smaller/held_out_evaluation +[0-9a-f]{12}  made in", said, re.M)
    assert re.search(r"^What it recalls: +dragon show smaller/held_out_evaluation$", said, re.M)
    shown = copied_project.dragon("show", "smaller/held_out_evaluation")
    assert re.search(r"^  recall: \d+\.\d %  \(0", shown, re.M)
    # It is checked against its baseline, traced and shown as every other evaluation is.
    assert "└─ talk/documents" in copied_project.dragon("trace", "smaller/held_out_evaluation")
    page = (copied_project.home / "reports" / "smaller.html").read_text()
    assert "share of tokens foretold" in page
    checks = copied_project.python(CHECKED, str(recipe)).stdout
    assert "beats_every_baseline of smaller/held_out_evaluation" in checks
    schema = json.loads(copied_project.dragon("schema"))
    assert schema["$defs"]["RecallTask"]["properties"]["texts"]["default"] == 20
