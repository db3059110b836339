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

ROOT = Path(__file__).resolve().parents[1]
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
    copied_project.dragon("run", str(recipe), "--select", "documents/talk")
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
    copied_project.dragon("run", str(recipe), "--select", "documents/talk")
    assert "This is text number" in copied_project.dragon("documents", "talk", "--split", "train")
    lineage = copied_project.dragon("trace", "documents/talk")
    assert "41 documents, the first 41 numbers, CC0-1.0" in lineage
