"""The whole graph on ``tiny``: made once, reused after, resumed when killed, known to Dagster."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.tracking import Tracker
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.corpora.raw_text import read
from pipelines.definitions import build
from pipelines.lineage.views import open_current
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare
from pipelines.training.artefacts import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes" / "tiny.yaml"

TASKS = {"tiny/toy_reply_assistant", "tiny/toy_spam_classifier"}
MODELS = {"tiny/foundation"} | TASKS

# The same on every machine: the generator, the cleaning, BPE and Arrow are. A change here is a
# change of what everybody's data are, and wants a line in the changelog.
DATA = {
    "toy_dialogues/raw_text": "304135a24ac030a9a6825c261ecd064dfd3a81c1efbf1938e0c05d9d2d8eaae7",
    "toy_messages/raw_text": "2429da159a574ff2377379dc06bd6f9b33f0852462652ad2763f91229472a486",
    "toy_dialogues/documents": "e519e13ed082722240a2cd22635d98cbfcf3acf416acb04769732340f3529317",
    "toy_messages/documents": "e1b7353e121237dfedddffd2c983248552a3ca106cd803efaa6513ba3448dae2",
    "toy_dialogues/toy_reply_examples": (
        "85bc3833424958f25877f4dc2cbedddeacaf6c9cde98a72e51246dbb278d2833"
    ),
    "toy_messages/toy_spam_examples": (
        "f8392f8f36604d901ac18a84663e31008ed0dada9a90f8d00987794933df6d40"
    ),
    "tiny/tokenizer": "9bc4afa57e832d0e036a9b8754b2b212078bb01873276c517c472312853afd73",
    "tiny/token_shards": "1428d89bac9eacab192e0b6353c65103ea96ada962ede981773ea4519eb33642",
}
EVALUATIONS = {f"tiny/{name}_evaluation" for name in ("foundation", "toy_reply", "toy_spam")}
KEYS = {*DATA, *MODELS, *EVALUATIONS, "tiny/report"}


def edited(folder: Path, *changes: tuple[str, str]) -> Path:
    """``tiny`` under its own name elsewhere, with pieces exchanged."""
    text = TINY.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def assets_of(chain, path: Path) -> dict[str, dg.AssetSpec]:
    definitions = build(chain.project, [load_recipe(path)])
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def counts(said) -> tuple[int, int]:
    """Made and reused, as the command says."""
    found = re.search(r"^\d+ assets, (\d+) made, (\d+) reused, in", said.out, re.MULTILINE)
    assert found, said.out + said.err
    return int(found[1]), int(found[2])


def test_the_whole_chain_is_made(chain):
    assert counts(chain.said) == (15, 0)
    assert chain.said.err == ""
    assert "failed" not in chain.said.out
    on_demand = {"toy_dialogues/index", "toy_messages/index"}
    assert chain.store.keys() == sorted(KEYS) == sorted(assets_of(chain, TINY).keys() - on_demand)
    for key in KEYS:
        open_current(chain.store, key).verify()
    report = re.search(r"The report: +file://(\S+)", chain.said.out)
    assert "<svg" in Path(report[1]).read_text()
    assert [path.name for path in (chain.root / ".work").iterdir()] == ["lock"]


def test_data_have_the_same_versions_on_every_machine(chain):
    assert {key: chain.store.versions(key) for key in DATA} == {
        key: [version] for key, version in DATA.items()
    }


def test_a_second_run_makes_nothing(chain, copy, home):
    again = type(copy)(home, copy.root, chain.said)
    before = sorted(path for path in copy.root.rglob("*") if ".work" not in path.parts)
    said = again.dragon("run", "tiny")
    assert counts(said) == (0, 15)
    assert said.out.count("  reused") == 15
    assert sorted(path for path in copy.root.rglob("*") if ".work" not in path.parts) == before


def test_an_edited_prompt_makes_its_evaluation_and_the_report(copy, home, tmp_path):
    path = edited(tmp_path, ("A: hello", "A: good morning"))
    said = type(copy)(home, copy.root, copy.said).dragon("run", str(path))
    assert counts(said) == (2, 13)
    made = re.findall(r"^  (\S+) .* made in", said.out, re.MULTILINE)
    assert made == ["tiny/foundation_evaluation", "tiny/report"]


@pytest.mark.parametrize(
    ("change", "own"),
    [
        (("A: hello", "A: bye"), {"tiny/foundation_evaluation"}),
        (("{steps: 60", "{steps: 61"), {"tiny/toy_spam_classifier"}),
        (("{steps: 40", "{steps: 41"), {"tiny/toy_reply_assistant"}),
        (("steps: 120", "steps: 121"), {"tiny/foundation"}),
        (("d_model: 64", "d_model: 32"), {"tiny/foundation"}),
        (("seed: 7", "seed: 8"), {"tiny/foundation", *TASKS}),
        (("vocab_size: 512", "vocab_size: 500"), {"tiny/tokenizer"}),
        (("context_turns: 2", "context_turns: 3"), {"toy_dialogues/toy_reply_examples"}),
        (
            ("[ham, spam]", "[spam, ham]"),
            {"toy_messages/toy_spam_examples", "tiny/toy_spam_classifier"},
        ),
        (("documents: 1200", "documents: 1201"), {"toy_messages/raw_text"}),
        (("min_characters: 20", "min_characters: 21"), {"toy_dialogues/documents"}),
        (("validation: 0.1, test: 0.2", "test: 0.2"), {"toy_messages/documents"}),
        (("in miniature", "in little"), {"tiny/report"}),
        (("batch_size: 8\n", "batch_size:    8  # a remark\n"), set()),
        (("kind: bpe, vocab_size: 512", "vocab_size: 512, kind: bpe"), set()),
    ],
    ids=lambda value: value[1].strip() if isinstance(value, tuple) else "",
)  # fmt: skip
def test_an_edit_changes_what_hangs_on_it_and_no_more(chain, tmp_path, change, own):
    before, after = assets_of(chain, TINY), assets_of(chain, edited(tmp_path, change))
    changed = {key for key in before if before[key].code_version != after[key].code_version}
    # The labels are on the page of their evaluation's figures: its measure names one of them.
    # The report shows the settings of all, so every edit that decides something changes it.
    shown = {"tiny/toy_spam_evaluation", "tiny/report"}
    assert changed - shown == own - shown
    assert ("tiny/report" in changed) is bool(own)


def test_every_asset_is_presentable(chain):
    for key, spec in assets_of(chain, TINY).items():
        assert spec.description, key
        assert "\n\n" not in spec.description
        assert spec.group_name in ("corpora", "tiny")
        assert spec.owners == []  # tiny names none
        assert "recipe/tiny" in spec.tags
        assert key.split("/")[0] in spec.kinds
        assert spec.code_version


# What Dagster knows


@pytest.fixture(scope="module")
def instance(chain):
    with dg.DagsterInstance.from_config(str(chain.home / "dagster")) as found:
        yield found


def test_dagster_records_the_stores_versions(chain, instance):
    for key in KEYS:
        event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        materialization = event.asset_materialization
        artefact = open_current(chain.store, key)
        record = chain.store.record(artefact.derivation)
        tags = materialization.tags
        assert tags["dagster/data_version"] == artefact.version
        assert materialization.metadata["derivation"].value == artefact.derivation[:12]
        assert "reused" not in materialization.metadata
        assert record.made["dagster_run"] == event.run_id
        prefix = "dagster/input_data_version/"
        inputs = {k.removeprefix(prefix): v for k, v in tags.items() if k.startswith(prefix)}
        assert set(inputs.values()) == set(record.decides["inputs"].values())
        stated = {p["input"]: p["version"] for p in record.parents}
        assert stated == record.decides["inputs"]


def test_a_materialization_shows_what_a_person_wants_to_see(instance):
    def shown(key: str) -> set[str]:
        event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        return set(event.asset_materialization.metadata)

    assert {"in short", "samples", "size"} <= shown("toy_dialogues/raw_text")
    assert {"dagster/row_count", "splits", "lengths"} <= shown("toy_dialogues/documents")
    assert {"funnel", "cleaning", "licences", "samples"} <= shown("toy_dialogues/documents")
    assert {"longest_tokens", "lossless", "end_of_text"} <= shown("tiny/tokenizer")
    assert "splits" in shown("tiny/token_shards")
    assert {"loss", "parameters", "configuration"} <= shown("tiny/foundation")
    assert {"comparison", "test_bits_per_byte"} <= shown("tiny/foundation_evaluation")
    assert {"confusion", "f1"} <= shown("tiny/toy_spam_evaluation")


def test_dagsters_database_may_be_lost(copy, home):
    """Without a materialization to ask, an input is the store's current version."""
    definitions = build(Project(ROOT, home, copy.root), [load_recipe(TINY)])
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["tiny", "token_shards"])]
        )
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["reused"].value.startswith("made on ")
    assert (
        event.materialization.tags["dagster/data_version"]
        == (copy.store.versions("tiny/token_shards")[0])
    )


# A making is a plain function


def declaration(path: Path, key: str) -> Declaration:
    return next(one for one in declare([load_recipe(path)]) if one.key == key)


def test_a_making_is_called_plainly(chain, tmp_path):
    declared = declaration(TINY, "toy_dialogues/raw_text")
    read(Making(declared.key, tmp_path, chain.project), declared.settings, {})
    made = chain.store.current(declared.key, RawText)
    assert {path.name for path in tmp_path.iterdir()} == set(made.files)
    for name in made.files:
        assert (tmp_path / name).read_bytes() == made.read(name)


def test_a_making_takes_its_inputs_as_arguments(chain, tmp_path):
    declared = declaration(TINY, "tiny/tokenizer")
    documents = chain.store.current("toy_dialogues/documents", Documents)
    making = Making(declared.key, tmp_path, chain.project)
    declared.make()(making, **declared.arguments({documents.key: documents}))
    made = open_current(chain.store, declared.key)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: made.read(name) for name in made.files
    }


# Interrupted


def wait_for_checkpoint(root: Path, process: subprocess.Popen, after: int = 0) -> int:
    """The step of the first checkpoint past ``after`` that a running command writes."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for pointer in (root / ".work").glob("*/checkpoint.json"):
            step = json.loads(pointer.read_text())["step"]
            if step > after:
                return step
        time.sleep(0.002)
    process.kill()
    raise AssertionError("no checkpoint came")


@pytest.mark.timeout(240)
def test_killed_and_stopped_it_ends_with_the_uninterrupted_weights(place, recipe_file, tmp_path):
    recipe = recipe_file(
        ("steps: 12", "steps: 300"), ("checkpoint_every: 4", "checkpoint_every: 10")
    )
    command = ("run", str(recipe), "--select", "smaller/foundation")

    stopped = place.start(*command)
    first = wait_for_checkpoint(place.root, stopped)
    stopped.send_signal(signal.SIGTERM)
    out, err = stopped.communicate(timeout=120)
    assert (stopped.returncode, err) == (130, ""), out
    assert out.splitlines()[-1].startswith("dragon: interrupted; run the same command to continue")
    assert place.store.versions("smaller/foundation") == []

    killed = place.start(*command)
    second = wait_for_checkpoint(place.root, killed, after=first + 20)
    killed.kill()
    killed.communicate(timeout=120)
    assert place.store.versions("smaller/foundation") == []

    said = place.dragon(*command)
    assert said.code == 0, said.err
    resumed = int(re.search(r"goes on from the checkpoint at step (\d+)", said.out)[1])
    assert resumed >= second
    artefact = place.store.current("smaller/foundation", Checkpoint)
    record = place.store.record(artefact.derivation)
    legs = record.made["legs"]
    assert legs[0]["step"] == 0
    assert legs[-1]["step"] == resumed
    assert len(legs) == 3, "started, went on after SIGTERM, went on after kill -9"
    assert all({**leg, "step": 0} == legs[0] for leg in legs)
    assert [path.name for path in (place.root / ".work").iterdir()] == ["lock"]

    straight = type(place)(place.home, tmp_path / "straight")
    assert straight.dragon(*command).code == 0
    assert straight.store.versions("smaller/foundation") == [artefact.version]
    other = straight.store.current("smaller/foundation", Checkpoint)
    assert other.curve() == artefact.curve()
    nothing_runs_for_ever(place, record.derivation)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_five_times_it_ends_with_the_uninterrupted_weights(place, recipe_file, tmp_path):
    recipe = recipe_file(
        ("steps: 12", "steps: 300"), ("checkpoint_every: 4", "checkpoint_every: 10")
    )
    command, step = ("run", str(recipe), "--select", "smaller/foundation"), 0
    for _ in range(5):
        going = place.start(*command)
        step = wait_for_checkpoint(place.root, going, after=step)
        going.kill()
        going.communicate(timeout=120)
        assert place.store.versions("smaller/foundation") == []
    said = place.dragon(*command)
    assert said.code == 0, said.err
    artefact = place.store.current("smaller/foundation", Checkpoint)
    legs = place.store.record(artefact.derivation).made["legs"]
    began = [leg["step"] for leg in legs]
    assert began[0] == 0
    assert len(began) == 6
    assert began == sorted(set(began))
    straight = type(place)(place.home, tmp_path / "straight")
    assert straight.dragon(*command).code == 0
    assert straight.store.versions("smaller/foundation") == [artefact.version]


def nothing_runs_for_ever(place, derivation: str) -> None:
    """Dagster and MLflow learn of a run that was killed when the next one begins."""
    with dg.DagsterInstance.from_config(str(place.home / "dagster")) as instance:
        going = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        assert instance.get_runs(going) == []
    client = Tracker(place.project.mlflow).connect().client
    experiment = client.get_experiment_by_name("dragon")
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`dragon.derivation` = '{derivation}'",
        order_by=["attributes.start_time"],
    )
    # The last is the uninterrupted one.
    assert [run.info.status for run in runs] == ["FAILED", "KILLED", "FINISHED", "FINISHED"]


SIGNALS = ("SIGTERM SIGTERM", "SIGINT", "SIGINT SIGINT SIGTERM")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_signals_of_every_kind_and_number_end_it_in_grace(place, recipe_file, tmp_path):
    """Sent as a terminal sends them: to the whole group."""
    recipe = recipe_file(
        ("steps: 12", "steps: 400"), ("checkpoint_every: 4", "checkpoint_every: 10")
    )
    command, step = ("run", str(recipe), "--select", "smaller/foundation"), 0
    for names in SIGNALS:
        run = place.start(*command, first="import os; os.setsid()")
        step = wait_for_checkpoint(place.root, run, after=step + 10)
        for name in names.split():
            os.killpg(run.pid, signal.Signals[name])
            time.sleep(0.05)
        out, err = run.communicate(timeout=120)
        assert (run.returncode, err) == (130, ""), out
        assert out.splitlines()[-1].startswith(
            "dragon: interrupted; run the same command to continue"
        )
        assert place.store.versions("smaller/foundation") == []
    said = place.dragon(*command)
    assert said.code == 0, said.err
    straight = type(place)(place.home, tmp_path / "straight")
    assert straight.dragon(*command).code == 0
    artefact = place.store.current("smaller/foundation", Checkpoint)
    assert straight.store.versions("smaller/foundation") == [artefact.version]
    record = place.store.record(artefact.derivation)
    assert len(record.made["legs"]) == 1 + len(SIGNALS)


# Sends the command the signal itself, at one moment of its work, once.
AT_A_MOMENT = """
import os, signal
from pipelines.core import store, work
from pipelines.core.making import Making

def interrupt(owner, name, when):
    real, sent = getattr(owner, name), []
    def watched(*arguments, **named):
        if not sent and when(*arguments):
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return real(*arguments, **named)
    setattr(owner, name, watched)
"""
MOMENTS = {
    "warm-up": "interrupt(Making, 'curve', lambda making, step, values: step == 1)",
    "validation": "interrupt(Making, 'curve', lambda m, s, values: 'validation_loss' in values)",
    "save": "interrupt(work, 'replace', lambda path, *_: path.name == 'checkpoint.json')",
    "second save": "interrupt(work, 'replacing', lambda path, *_: path.stem == 'step-00000008')",
    "publication": "interrupt(store, 'sync', lambda path: path.name == 'objects')",
    "evaluation": "interrupt(Making, 'write', lambda m, *_: m.key.endswith('_evaluation'))",
}  # fmt: skip
EVALUATED = ("smaller/foundation", "smaller/foundation_evaluation")


@pytest.fixture(scope="module")
def straight(chain, smaller, home, tmp_path_factory) -> dict[str, list[str]]:
    """The versions that uninterrupted work gives."""
    root = Path(shutil.copytree(smaller, tmp_path_factory.mktemp("on") / "store", symlinks=True))
    place = replace(chain, home=home, root=root)
    said = place.dragon("run", str(smaller.parent / "smaller.yaml"), "--select", EVALUATED[1])
    assert said.code == 0, said.err
    return {key: place.store.versions(key) for key in EVALUATED}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_stopped_at_any_moment_it_ends_with_the_uninterrupted_result(
    made, recipe_file, straight, moment
):
    command = ("run", str(recipe_file()), "--select", EVALUATED[1])
    run = made.start(*command, first=AT_A_MOMENT + MOMENTS[moment])
    out, err = run.communicate(timeout=180)
    assert (run.returncode, err) == (130, ""), out
    assert made.store.versions(EVALUATED[1]) == []
    said = made.dragon(*command)
    assert said.code == 0, said.err
    assert {key: made.store.versions(key) for key in EVALUATED} == straight


# Killed between what the store and what Dagster is told


def events(home: Path, known: set[str]) -> list[dg.EventLogEntry]:
    """The materializations of the runs that are not known yet."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        ids = {run.run_id for run in instance.get_runs()} - known
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return [entry for run_id in ids for entry in instance.all_logs(run_id, of_type=kind)]


def test_killed_between_publication_and_event_it_is_found_by_the_next_run(place, recipe_file):
    command = ("run", str(recipe_file()), "--select", "talk/raw_text")
    with dg.DagsterInstance.from_config(str(place.home / "dagster")) as instance:
        known = {run.run_id for run in instance.get_runs()}
    kill = "import os; from pipelines.orchestration import assets;"
    run = place.start(
        *command, first=f"{kill} assets._result = lambda *_, **__: os.kill(os.getpid(), 9)"
    )
    run.communicate(timeout=120)
    assert run.returncode == -signal.SIGKILL
    (version,) = place.store.versions("talk/raw_text")
    assert events(place.home, known) == []
    assert counts(place.dragon(*command)) == (0, 1)
    (event,) = events(place.home, known)
    assert event.asset_materialization.tags["dagster/data_version"] == version
    assert event.asset_materialization.metadata["reused"].value.startswith("made on ")
    assert place.store.versions("talk/raw_text") == [version]


def test_asked_for_twice_at_once_each_asset_is_made_once(place, recipe_file):
    command = ("run", str(recipe_file()), "--select", "talk/documents")
    asked = [place.start(*command) for _ in range(2)]
    said = [run.communicate(timeout=120) for run in asked]
    assert [(run.returncode, err) for run, (_, err) in zip(asked, said, strict=True)] == [
        (0, "")
    ] * 2
    assert sum(counts(SimpleNamespace(out=out, err=err))[0] for out, err in said) == 2
    assert [len(place.store.versions(key)) for key in ("talk/raw_text", "talk/documents")] == [1, 1]
