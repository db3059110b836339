"""Runs from the terminal: under their job, in the code location, and cancelled when interrupted."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

from pipelines.orchestration.driving import LOCATION, REPOSITORY
from pipelines.orchestration.execution import INTERRUPT, execute
from pipelines.recipe.loading import load_recipe

ROOT = Path(__file__).resolve().parents[2]


def newest(home: Path) -> dg.DagsterRun:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return instance.get_runs(limit=1)[0]


def test_a_run_is_of_its_job_in_the_code_location(chain) -> None:
    """The timeline and the job's page ask for these."""
    run = newest(chain.home)
    assert run.job_name == "make_tiny"
    assert run.status is dg.DagsterRunStatus.SUCCESS
    origin = run.remote_job_origin
    assert origin is not None
    assert origin.repository_origin.get_label() == f"{REPOSITORY}@{LOCATION}"
    assert run.tags_for_storage()[".dagster/repository"] == f"{REPOSITORY}@{LOCATION}"
    assert f"location_name: {LOCATION}\n" in (ROOT / "workspace.yaml").read_text() + "\n"


def test_a_part_of_a_recipe_is_a_part_of_its_job(made, recipe_file) -> None:
    said = made.dragon("run", str(recipe_file()), "-s", "smaller/tokenizer")
    assert said.code == 0, said.err
    run = newest(made.home)
    assert run.job_name == "make_smaller"
    assert run.asset_selection is not None
    assert {key.to_user_string() for key in run.asset_selection} == {
        *("talk/raw_text", "talk/documents", "smaller/tokenizer")
    }


# One moment of a run, at which the command sends itself the signal.
MOMENTS = {
    "a training": (
        "interrupt(Making, 'curve', lambda making, step, values: step == 6)",
        "the training of smaller/foundation goes on from step 4, 4 finished assets are reused",
    ),
    "a training without a checkpoint": (
        "interrupt(Making, 'curve', lambda making, step, values: step == 2)",
        "smaller/foundation begins anew, 4 finished assets are reused",
    ),
    "a publication": (
        "interrupt(store, 'sync', lambda path: path.name == 'objects')",
        "5 finished assets are reused",
    ),
    "an evaluation": (
        "interrupt(Making, 'write', lambda making, *_: making.key.endswith('evaluation'))",
        "smaller/foundation_evaluation begins anew, 5 finished assets are reused",
    ),
}
SLOWER = ("a training without a checkpoint", "an evaluation")
SEND = """
import os, signal
from pipelines.core import store
from pipelines.core.making import Making

def interrupt(owner, name, when):
    real, sent = getattr(owner, name), []
    def watched(*arguments, **named):
        if not sent and when(*arguments):
            sent.append(os.kill(os.getpid(), signal.SIGINT))
        return real(*arguments, **named)
    setattr(owner, name, watched)
"""


@pytest.mark.parametrize(
    "moment",
    [
        *("a training", "a publication"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWER),
    ],
)
def test_interrupted_it_says_what_is_true_and_is_canceled(made, recipe_file, moment) -> None:
    sends, told = MOMENTS[moment]
    command = ("run", str(recipe_file()), "-s", "smaller/foundation_evaluation")
    out, err = (run := made.start(*command, first=SEND + sends)).communicate(timeout=180)
    assert (run.returncode, err) == (130, ""), out
    line = out.splitlines()[-1]
    assert line == f"dragon: interrupted; run the same command to continue: {told}"
    assert newest(made.home).status is dg.DagsterRunStatus.CANCELED
    versions = {r.version for r in made.store.references.all()}
    published = {path.name for path in (made.root / "objects").iterdir()}
    assert published == versions, "nothing is half published"
    if moment == "a publication":
        assert made.store.versions("smaller/foundation"), "it was finished first"
    if moment == "a training":
        again = made.dragon(*command)
        assert again.code == 0, again.err
        assert "goes on from the checkpoint at step 4" in again.out


def test_interrupted_before_a_run_nothing_was_made(made, recipe_file) -> None:
    send = "import os, signal, pipelines.recipe.loading as l; real = l.load_recipe\n"
    send += "l.load_recipe = lambda p: (os.kill(os.getpid(), signal.SIGINT), real(p))[1]\n"
    before = newest(made.home).run_id
    out, err = (run := made.start("run", str(recipe_file()), first=send)).communicate(timeout=60)
    assert (run.returncode, err) == (130, "")
    assert out == "dragon: interrupted before the run began; nothing was made\n"
    assert newest(made.home).run_id == before


def test_why_assets_are_made_again_is_told(copy, home, tmp_path) -> None:
    text = (ROOT / "recipes" / "tiny.yaml").read_text()
    path = tmp_path / "tiny.yaml"
    path.write_text(text.replace("{steps: 60", "{steps: 61"))
    said = type(copy)(home, copy.root, copy.said).dragon("run", str(path))
    assert said.code == 0, said.err
    why = said.out.split("made again, because of a change in:\n")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^  (\S+) +(.+)$", why, re.MULTILINE))
    assert rows["tiny/toy_spam_classifier"] == "training.steps: 60 -> 61"
    assert rows["tiny/toy_spam_evaluation"] == "input classifier"
    assert "tiny/foundation" not in rows
    assert "made again" not in copy.said.out, "all was made for the first time"


def test_every_asset_is_told_with_its_figures(chain) -> None:
    line = next(row for row in chain.said.out.splitlines() if row.startswith("  tiny/foundation "))
    assert re.search(r"made in \d+\.\d s   163,840 parameters, 120 steps, final validation", line)


def test_whoever_watches_is_told_each_beginning_and_end(copy, home) -> None:
    told: list[tuple[str, ...]] = []

    class Watch:
        def phase(self, label: str) -> None:
            told.append(("phase", label))

        def begins(self, key: str, usual: float | None, number: int, count: int) -> None:
            assert usual is not None, "it was made before"
            told.append(("begins", key, f"{number}/{count}"))

        def ends(self, artefact, record, reused: bool) -> None:
            assert reused
            told.append(("ends", artefact.key, record.version[:4]))

    place = type(copy)(home, copy.root, copy.said)
    recipe = load_recipe(ROOT / "recipes" / "tiny.yaml")
    done = execute(place.project, recipe, ["tiny/tokenizer"], Watch())
    assert done.made == 0
    assert told[:2] == [
        ("phase", "opening MLflow's database"),
        ("phase", "opening Dagster's database"),
    ]
    assert ("begins", "tiny/tokenizer", "3/3") in told or (
        "begins",
        "tiny/tokenizer",
        "5/5",
    ) in told
    assert told.index(next(t for t in told if t[:2] == ("ends", "tiny/tokenizer"))) > 0


def test_dagsters_name_for_an_interruption_is_known() -> None:
    from dagster._core.execution.plan.objects import ErrorSource

    assert INTERRUPT in set(ErrorSource)
