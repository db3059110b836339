"""Tracking: one run per materialization, found by version, and never at the cost of the work."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import json
import logging
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pipelines.core.tracking as tracking
from pipelines.core.tracking import Result, Tracker, sending
from pipelines.core.tracking import place as places
from pipelines.core.tracking.names import VALUE_LENGTH, legal, masked, parameters, text
from pipelines.core.tracking.spool import Spool, claim, left, read
from pipelines.lineage.trace import trace
from pipelines.lineage.views import open_current
from pipelines.training.artefacts import Checkpoint

DECIDES = {"key": "a/raw_text", "recipe": {"steps": 3, "name": "x", "empty": {}, "none": None}}


def all_runs(folder: Path):
    client = Tracker(folder).connect().client
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, client.search_runs(experiments, max_results=1000)


@pytest.fixture(scope="module")
def tracked(chain):
    client, runs = all_runs(chain.project.mlflow)
    parents = [run for run in runs if run.data.tags.get("kind") == "dagster"]
    children = {run.data.tags["dragon.key"]: run for run in runs if run not in parents}
    return client, parents, children


def a_run(tracker: Tracker, derivation: str = "d" * 64, decides=DECIDES, dagster_run: str = "r1"):
    return tracker.run("a/raw_text", derivation, dagster_run, decides, {"b/raw_text": "b" * 64})


def use(tracker: Tracker, points: int = 1, **named) -> None:
    with a_run(tracker, **named) as run:
        for step in range(points):
            run.curve(step, {"a": float(step)})
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)


RESULT = Result(
    note="a **note**",
    headline="1 b",
    figure="b",
    facts={"count": "3"},
    finals=("a", "never drawn"),
    files={"card.md": b"a card", "dir/list.json": b"[]"},
)


def children(folder: Path):
    client, runs = all_runs(folder)
    return client, [run for run in runs if "dragon.key" in run.data.tags]


def whole(folder: Path, points: int, count: int = 1) -> None:
    """MLflow holds so many runs of ``use``, complete, and nothing twice."""
    client, runs = children(folder)
    assert len(runs) == count
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["dragon.version"] == "v" * 64
        assert run.data.params == parameters(DECIDES) | {"count": "3"}
        assert run.data.tags["mlflow.note.content"] == "a **note**"
        assert [d.dataset.digest for d in run.inputs.dataset_inputs] == ["b" * 36]
        history = client.get_metric_history(run.info.run_id, "a")
        assert sorted(m.step for m in history) == list(range(points))
        assert [m.value for m in client.get_metric_history(run.info.run_id, "b")] == [1.0]
    models_whole(client, runs, points)


def models_whole(client, runs, points: int) -> None:
    """Each run has its one model, complete; the registry has their version once."""
    places = [experiment.experiment_id for experiment in client.search_experiments()]
    models = client.search_logged_models(places)
    assert sorted(m.source_run_id for m in models) == sorted(run.info.run_id for run in runs)
    for model in models:
        found = [(f.key, f.value, f.step) for f in model.metrics]
        assert sorted(found) == [("a", points - 1, points - 1), ("b", 1.0, 0)]
        assert model.params == parameters(DECIDES) | {"count": "3"}
        [output] = client.get_run(model.source_run_id).outputs.model_outputs
        assert output.model_id == model.model_id
        files = [file.path for file in client.list_artifacts(model.source_run_id)]
        assert files == ["card.md", "dir_list.json"]
        assert [file.path for file in client.list_logged_model_artifacts(model.model_id)] == files
    [registered] = client.search_registered_models()
    [version] = client.search_model_versions("name = 'a-raw_text'")
    assert registered.aliases == {"current": version.version}
    assert version.tags["dragon.version"] == "v" * 64


def warnings(caplog) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("dragon") and record.levelno >= logging.WARNING
    ]


def test_every_materialization_is_one_run_under_one_parent(chain, tracked):
    _, parents, children = tracked
    assert set(children) == set(chain.store.keys())
    assert len(children) == 15
    assert len(parents) == 1
    for key, run in children.items():
        artefact = open_current(chain.store, key)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["dragon.version"] == artefact.version
        assert run.data.tags["dragon.derivation"] == artefact.derivation
        figures = {name: pytest.approx(value) for name, value in artefact.figures().items()}
        told = run.data.metrics
        if artefact.kind == "safetensors":  # a chart of one constant says nothing
            told = {
                name: float(value) for name, value in run.data.params.items() if name in figures
            }
            assert not figures.keys() & run.data.metrics
        assert {name: told[name] for name in figures} == figures
    assert parents[0].info.status == "FINISHED"


def test_what_mlflow_has_is_kept_no_longer(chain):
    assert [path.name for path in (chain.home / "tracking").iterdir()] == ["lock"]


def test_inputs_are_datasets_whose_digest_is_the_version(chain, tracked):
    _, _, children = tracked
    for key, run in children.items():
        artefact = open_current(chain.store, key)
        found = {
            dataset.dataset.name: (
                dataset.dataset.digest,
                {tag.key: tag.value for tag in dataset.tags}["dragon.version"],
            )
            for dataset in run.inputs.dataset_inputs
        }
        expected = {
            node.artefact.key: (node.artefact.version[:36], node.artefact.version)
            for node in trace(chain.store, artefact).parents
        }
        assert found == expected


def test_parameters_are_what_decides(chain, tracked):
    _, _, children = tracked
    parameters = children["tiny/foundation"].data.params
    assert parameters["recipe.training.steps"] == "120"
    assert parameters["recipe.model.architecture"] == "gpt"
    assert parameters["inputs.tokenizer"] == chain.store.versions("tiny/tokenizer")[0]
    assert children["tiny/report"].data.tags["dragon.key"] == "tiny/report"


def test_the_curve_has_every_point(chain, tracked):
    client, _, children = tracked
    curve = chain.store.current("tiny/foundation", Checkpoint).curve()
    run_id = children["tiny/foundation"].info.run_id
    for ours, theirs in (("train", "training_loss"), ("validation", "validation_loss")):
        points = [(m.step, m.value) for m in client.get_metric_history(run_id, theirs) if m.step]
        assert sorted(points) == [tuple(point) for point in curve[ours]]
    assert len(curve["train"]) == 120
    assert [step for step, _ in curve["validation"]] == [40, 80, 120]


def test_a_model_is_external_and_has_the_figures(chain, tracked):
    client, parents, children = tracked
    models = client.search_logged_models([parents[0].info.experiment_id])
    keys = [model.tags["dragon.key"] for model in models]
    assert sorted(keys) == [
        "tiny/foundation",
        "tiny/toy_reply_assistant",
        "tiny/toy_spam_classifier",
    ]
    for model in models:
        key = model.tags["dragon.key"]
        assert model.tags["mlflow.model.isExternal"] == "true"
        assert model.tags["dragon.version"] == chain.store.versions(key)[0]
        assert model.source_run_id == children[key].info.run_id
        assert "validation_loss" in {metric.key for metric in model.metrics}
        assert model.params["final_validation_loss"]


def test_none_of_many_parameters_is_dropped(folder):
    decides = {f"n{i:03d}": i for i in range(250)} | {"long": "x" * (VALUE_LENGTH + 1)}
    use(Tracker(folder), decides=decides)
    _, [run] = children(folder)
    assert len(run.data.params) == 252  # with a fact of the result
    assert run.data.params["n249"] == "249"
    assert run.data.params["long"].startswith("sha256 ")
    assert run.data.params["long"].endswith(f" of {VALUE_LENGTH + 1} characters")


def test_a_failure_is_marked(folder):
    with pytest.raises(KeyError), a_run(Tracker(folder)):
        raise KeyError
    client, [run] = children(folder)
    assert run.info.status == "FAILED"
    assert client.get_run(run.data.tags["mlflow.parentRunId"]).info.status == "FAILED"


def test_points_are_sent_in_batches(folder, monkeypatch):
    tracker, calls = Tracker(folder), Counter()
    tracker._server = tracker.connect()
    send = tracker._server.client.log_batch

    def counted(*arguments, **named):
        calls["log_batch"] += 1
        return send(*arguments, **named)

    monkeypatch.setattr(tracker._server.client, "log_batch", counted)
    use(tracker, 500)
    assert calls["log_batch"] <= 10
    whole(folder, 500)


def test_mlflow_tells_nobody(tmp_path):
    body = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.core.tracking import Tracker\n"
        "Tracker(Path(sys.argv[1]) / 'mlflow').wake()\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(get_telemetry_client(), is_telemetry_disabled())\n"
    )
    # MLflow is silent in tests and in CI by itself: look as a person would run it.
    kept = ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT")
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", body, str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name in kept},
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == ["None", "True"], told.stderr


# Names and values

REFUSED = [
    "",
    "recipe.encoding.old/*",
    "50% off: today!",
    "mean@1",
    "Sci/Tech",
    "/",
    "//",
    "a//b",
    "a/",
    "../a",
    "a/../b",
    "..",
    ".",
    "./a",
    "...",
    "a_x2A_",
    "a_x",
    "a*",
    "हिन्दी",
    "emoji 🙂",
    "a\n",
    "\0",
    "\ud800",
    "x" * 251,
    "%" * 200,
]


def is_taken(name: str) -> bool:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    try:
        _validate_param(name, "")
        _validate_metric(name, 1.0, 0, 0)
        _validate_tag(name, "")
    except MlflowException:
        return False
    return True


NAMES = st.text() | st.text("._x2A/*: -", max_size=12) | st.sampled_from(REFUSED)


@given(st.lists(NAMES, max_size=20, unique=True))
@example(REFUSED)
@example(["a/*", "a/_x2A_", "a/_x5F_x2A_", "a/_x", "a/_x*"])
def test_every_name_is_taken_and_none_is_another(names):
    found = [legal(name) for name in names]
    assert all(map(is_taken, found))
    assert len(set(found)) == len(names)
    for name in found:
        name.encode()


@pytest.mark.parametrize(
    "name", ["recipe.training.steps", "inputs.tokenizer/tiny", "Sci/Tech", "été: 1"]
)
def test_a_name_that_mlflow_takes_stays(name):
    assert legal(name) == name


def test_a_refused_name_stays_readable():
    assert legal("50% off: today!") == "50_x25_ off: today_x21_"
    assert legal("x" * 300).startswith("x" * 200)


KEYS = st.text("ab.*/%\0\ud800", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def leaves(value) -> int:
    if isinstance(value, dict) and value:
        return sum(map(leaves, value.values()))
    return 1


@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=5))
@example({"a.b": 1, "a": {"b": 2}, "*": float("nan"), "c": float("inf")})
def test_every_parameter_arrives(decides):
    from mlflow.utils.validation import _validate_param

    found = parameters(decides)
    assert len(found) == leaves(decides)
    for name, value in found.items():
        _validate_param(name, value)
        assert len(value) <= VALUE_LENGTH
        assert "\0" not in value
        value.encode()


def test_the_order_of_keys_names_no_parameter_anew():
    one, other = {"a.b": 1, "a": {"b": 2}}, {"a": {"b": 2}, "a.b": 1}
    assert parameters(one) == parameters(other)


@given(st.text(), st.integers(40, 100))
@example("\ud800\0" * 30, 100)
def test_a_text_fits(value, limit):
    shown = text(value, max(limit, 100))
    assert len(shown) <= 100
    shown.encode()


SECRETS = ("HUNTER2PW", "SIGSECRET99")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://bob:HUNTER2PW@host/a.txt", "https://***@host/a.txt"),
        ("https://host:8080/a?X-Amz-Signature=SIGSECRET99&b=1", "https://host:8080/a?***"),
        ("https://host/a#token=SIGSECRET99", "https://host/a#***"),
        ("https://bob:HUNTER2PW/x@host/a", "https://***"),
        ("https://bob:HUNTER2PW?SIGSECRET99@host/a", "https://***"),
        ("//bob:HUNTER2PW@host/a", "//***@host/a"),
        ('["s3://HUNTER2PW@bucket/a?SIGSECRET99"]', '["s3://***@bucket/a?***"]'),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("hf://datasets/owner/name@main/x", "hf://datasets/owner/name@main/x"),
        ("a//b?.txt", "a//b?.txt"),
    ],
)
def test_secrets_of_an_address_are_masked(address, shown):
    assert masked(address) == shown
    told = parameters({"url": address, address: "1", "list": [{"deep": address}]})
    assert all(secret not in json.dumps(told) for secret in SECRETS)
    assert legal(address) == legal(address) != legal(address + "1")


def holding(secrets: tuple[str, ...], *folders: Path) -> list[str]:
    """The files that hold a secret."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(f) for f in files if any(secret.encode() in f.read_bytes() for secret in secrets)]


PLANTED = [
    "https://bob:HUNTER2PW@127.0.0.1:9/a.txt",
    "https://127.0.0.1:9/a.txt?X-Amz-Signature=SIGSECRET99",
]


@pytest.mark.parametrize("address", PLANTED)
def test_a_planted_secret_reaches_neither_mlflow_nor_a_spool(folder, address):
    decides = {"recipe": {"url": address, "all": [{"of": address}]}}
    for tracker in (Tracker(folder), Tracker(folder, address.replace("https", "http"))):
        use(tracker, decides=decides)
    assert len(left(tracker.spools)) == 1
    assert holding(SECRETS, folder, tracker.spools) == []
    assert len(children(folder)[1]) == 1


@pytest.mark.parametrize("address", PLANTED)
def test_a_planted_secret_is_in_no_file_of_a_run(copied, fresh, tmp_path, caplog, address):
    text = b"The quiet river carries a ladder.\n"
    sha256 = hashlib.sha256(text).hexdigest()
    fresh.project.downloads.mkdir(parents=True)
    (fresh.project.downloads / sha256).write_bytes(text)  # fetched before
    recipe = tmp_path / "secret.yaml"
    recipe.write_text(
        f"""
description: an address with a secret
seed: 1
corpora:
  secret:
    source: {{kind: url, url: "{address}", sha256: {sha256}, licence: CC0-1.0}}
tokenizer: {{kind: bpe, vocab_size: 300}}
model: {{architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1}}
training: {{steps: 1, batch_size: 1}}
"""
    )
    copied(fresh.project.mlflow)
    said = fresh.dragon("run", str(recipe), "--select", "secret/raw_text")
    assert said.code == (1 if "@" in address else 0)
    traced = fresh.dragon("trace", "secret/raw_text")
    told = said.out + said.err + traced.out + traced.err + caplog.text
    assert not [secret for secret in SECRETS if secret in told]
    assert holding(SECRETS, tmp_path) == [str(recipe)]


def test_masking_takes_linear_time():
    for hostile in ("a" * 200_000 + "//", "https://" * 25_000, "a+" * 100_000, "//@?#" * 40_000):
        began = time.process_time()
        masked(hostile)
        assert time.process_time() - began < 2


def test_values_that_are_no_numbers_arrive(folder):
    values = {"nan": math.nan, "up": math.inf, "down": -math.inf, "50% off!": 1.0, "mean@1": 2.0}
    for _ in range(2):
        with a_run(Tracker(folder), decides={"old/*": "latin-1", "*": "\0\ud800"}) as run:
            run.curve(1, values)
            run.curve(1, values)
            run.finish("v" * 64, values, model=True)
    _, runs = children(folder)
    for run in runs:
        assert math.isnan(run.data.metrics["nan"])
        assert run.data.metrics["up"] == sys.float_info.max
        assert run.data.metrics["down"] == -sys.float_info.max
        assert run.data.metrics["50_x25_ off_x21_"] == 1.0
        assert run.data.metrics["mean_x40_1"] == 2.0
        assert run.data.params == {"old/_x2A_": "latin-1", "_x2A_": "\\u0000\\ud800"}


def test_a_fault_of_ours_is_none_of_mlflow(folder):
    with pytest.raises(TypeError), a_run(Tracker(folder)) as run:
        run.curve(1, {"a": None})


def test_a_fault_in_the_thread_is_shown_and_loses_nothing(folder, caplog, monkeypatch):
    tracker = Tracker(folder)
    monkeypatch.setattr("pipelines.core.tracking.sending.metrics", lambda *_: [].nothing)
    use(tracker)
    [told] = warnings(caplog)
    assert "Traceback" in told
    assert "nothing" in told
    assert len(left(tracker.spools)) == 1


# The spool


def start(**fields):
    return {
        "key": "k",
        "derivation": "d",
        "dagster_run": "r",
        "parameters": {},
        "inputs": {},
    } | fields


def test_a_spool_is_its_writers_until_it_ends(tmp_path):
    spool = Spool.begin(tmp_path, **start())
    [path] = left(tmp_path)
    assert claim(path) is None
    spool.close()
    assert claim(path) is not None


def test_half_a_line_is_no_line(tmp_path):
    spool = Spool.begin(tmp_path, **start())
    size = spool.path.stat().st_size
    spool.add("points", step=1, values={"a": 1.0})
    content = spool.path.read_bytes()
    for cut in range(size, len(content)):
        spool.path.write_bytes(content[:cut])
        assert [line["kind"] for _, line in read(spool.path, 0)] == ["start"]
    spool.path.write_bytes(content)
    assert [line["kind"] for _, line in read(spool.path, 0)] == ["start", "points"]


def test_after_a_full_disk_the_next_line_is_whole(tmp_path, monkeypatch):
    spool = Spool.begin(tmp_path, **start())
    write = os.write

    def full(handle, line):
        write(handle, line[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            spool.add("points", step=1, values={"a": 1.0})
    spool.add("points", step=2, values={"a": 1.0})
    found = [line and line.get("step") for _, line in read(spool.path, 0)]
    assert found == [None, None, 2]


FOREIGN = [
    b"",
    b"\n",
    b"garbage\n" * 1000,
    b"\0" * 10_000,
    os.urandom(5000),
    b"[" * 100_000 + b"\n",
    b'{"kind": []}\n',
    b'{"kind": "start", "time": 1}\n',
    b'{"kind": "points", "time": 1, "step": 1, "values": {"a": 1.0}}\n',
    json.dumps({"kind": "start", "time": 1, "attempt": "' or 1=1", **start()}).encode() + b"\n",
    b"9" * (1 << 25),
]


def test_what_is_no_spool_is_put_aside(folder, caplog):
    tracker = Tracker(folder)
    tracker.spools.mkdir()
    for number, content in enumerate(FOREIGN):
        (tracker.spools / f"{number}.jsonl").write_bytes(content)
    os.mkfifo(tracker.spools / "pipe.jsonl")
    (tracker.spools / "folder.jsonl").mkdir()
    (tracker.spools / "link.jsonl").symlink_to("/dev/zero")
    use(tracker)
    assert tracker.settle(120)
    whole(folder, 1)
    assert left(tracker.spools) == []
    assert len(list(tracker.spools.glob("*.unreadable"))) == len(FOREIGN)
    assert sum("renamed to" in told for told in warnings(caplog)) == len(FOREIGN)


def test_lines_of_a_strangers_hand_do_not_stop_a_spool(folder):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        run.curve(0, {"a": 0.0})
        odd = [
            "nonsense",
            '{"kind": "points", "time": 1, "step": 1, "values": {"a": "x"}}',
            '{"kind": "points", "time": -1, "step": 1, "values": {"a": 1.0}}',
            '{"kind": "points", "time": 1, "step": 1e99, "values": {"a": 1.0}}',
            '{"kind": "points", "time": 1, "step": 7, "values": {"no @ name": 1.0, "fine": 1.0}}',
            '{"kind": "end", "time": 1, "status": "SPOILED"}',
        ]
        with run._spool.path.open("a") as file:
            file.write("\n".join([*odd, ""]))
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
    whole(folder, 1)
    client, [run] = children(folder)
    assert [m.step for m in client.get_metric_history(run.info.run_id, "fine")] == [7]


# MLflow away and back


def locked(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        folder / "mlflow.db", isolation_level=None, check_same_thread=False
    )
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_lock_in_the_middle_loses_and_doubles_nothing(folder, caplog):
    tracker = Tracker(folder)
    use(tracker, dagster_run="before", points=300)
    tracker.settle(60)
    with a_run(tracker) as run:
        run.curve(0, {"a": 0.0})
        tracker._wait(lambda: tracker._thread is None)
        connection = locked(folder)
        timer = threading.Timer(3, lambda: connection.execute("ROLLBACK"))
        timer.start()
        began = time.monotonic()
        for step in range(1, 300):
            run.curve(step, {"a": float(step)})
        assert time.monotonic() - began < 1.5
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
        timer.join()
    connection.close()
    assert tracker.settle(60)
    assert [told for told in warnings(caplog) if "did not answer" not in told] == []
    whole(folder, 300, count=2)


def test_an_outage_of_a_whole_run_is_made_up_for_by_the_next(folder, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    Tracker(folder).connect()
    connection = locked(folder)
    tracker = Tracker(folder)
    began = time.monotonic()
    for number in range(3):
        use(tracker, points=150, derivation=f"{number}" * 64)
    assert not tracker.settle(0.5)
    assert time.monotonic() - began < 8
    [told] = warnings(caplog)
    assert "wait in" in told
    connection.execute("ROLLBACK")
    connection.close()
    deadline = time.monotonic() + 60
    while tracker._thread is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    tracker.settle(0)
    again = Tracker(folder)
    again.replay()
    assert again.settle(60)
    whole(folder, 150, count=3)


def test_a_spool_that_mlflow_refuses_holds_up_no_other(folder, caplog, monkeypatch):
    create = sending.create_run

    def refuse(server, start, *, alive):
        if start["derivation"] == "0" * 64:
            raise sending.RefusedError("no such thing")
        return create(server, start, alive=alive)

    monkeypatch.setattr(sending, "create_run", refuse)
    tracker = Tracker(folder)
    for number in range(2):
        use(tracker, derivation=f"{number}" * 64)
    assert not tracker.settle(60)
    whole(folder, 1)
    [told] = warnings(caplog)
    assert "MLflow refuses a run (a/raw_text: no such thing)" in told
    assert not tracker._away.exists()  # no other process has to think so
    monkeypatch.undo()
    assert Tracker(folder).settle(60)
    whole(folder, 1, count=2)


def test_a_tracker_that_cannot_connect_has_not_settled(folder, monkeypatch):
    Spool.begin(Tracker(folder).spools, **start()).close()
    monkeypatch.setattr(Tracker, "initialise", lambda _: (_ for _ in ()).throw(OSError("away")))
    assert not Tracker(folder).settle(1)


def test_sending_again_doubles_nothing(folder):
    """Whatever the call that fails first, and though it reached MLflow."""
    tracker = Tracker(folder)
    tracker._server = tracker.connect()
    client = tracker._server.client
    calls = Counter()
    names = [
        "search_experiments", "search_runs", "get_experiment", "create_run", "log_batch",
        "log_inputs", "search_logged_models", "create_logged_model", "finalize_logged_model",
        "get_run", "log_outputs", "get_registered_model", "create_registered_model",
        "search_model_versions", "create_model_version", "set_logged_model_tags",
        "set_registered_model_alias", "set_registered_model_tag", "log_artifact",
        "log_model_artifact", "set_tag", "update_run", "set_terminated",
    ]  # fmt: skip

    def unlucky(name, call):
        def tried(*arguments, **named):
            calls[name] += 1
            answer = call(*arguments, **named)
            if calls[name] <= 2:
                raise ConnectionError(f"{name}: the answer was lost")
            return answer

        return tried

    for name in names:
        setattr(client, name, unlucky(name, getattr(client, name)))
    use(tracker, points=120)
    tracker.finish_run("r1", "FINISHED")
    for _ in range(90):
        if tracker.settle(60):
            break
    assert set(names) == set(calls)
    whole(folder, 120)


def test_a_spool_sent_already_is_sent_again_without_harm(folder):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        for step in range(50):
            run.curve(step, {"a": float(step)})
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
        kept = run._spool.path
        run._tracker = None  # its end does not arrive
        content = kept.read_bytes()
    end = json.dumps({"kind": "end", "time": 4_000_000_000_000, "status": "FINISHED"})
    tracker.settle(60)
    for _ in range(2):
        kept.write_bytes(content + end.encode() + b"\n")
        again = Tracker(folder)
        assert again.settle(120)
        whole(folder, 50)


def test_a_database_removed_in_the_middle_gets_all_of_it(folder):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        for step in range(150):
            run.curve(step, {"a": float(step)})
        tracker._wait(lambda: tracker._thread is None)
        with sqlite3.connect(folder / "mlflow.db") as database:
            for table in ("metrics", "latest_metrics", "params", "tags", "inputs", "runs"):
                database.execute(f"DELETE FROM {table}")
        database.close()
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
    assert tracker.settle(60)
    whole(folder, 150)


KILLED = """
import contextlib, os, sys
from pathlib import Path
from pipelines.core.tracking import Tracker
folder, away = Path(sys.argv[1]), sys.argv[2]
with contextlib.ExitStack() as stack:
    for name, tracker in {'sent': Tracker(folder), 'unsent': Tracker(folder, away)}.items():
        run = stack.enter_context(tracker.run('a/raw_text', 'd' * 64, name, {'n': 1}, {}))
        for step in range(150):
            run.curve(step, {'a': 1.0})
        tracker._wait(lambda: tracker._thread is None)
        run._spool.write()
        os.write(run._spool._handle, b'{"kind": "poi')
    os.kill(os.getpid(), 9)
"""


def test_a_killed_run_ends_as_killed_at_the_next_start(folder):
    away = f"http://127.0.0.1:{closed_port()}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(folder), away])
    assert done.returncode == -signal.SIGKILL
    assert [run.data.tags["dagster.run_id"] for run in children(folder)[1]] == ["sent"]
    tracker = Tracker(folder)
    use(tracker, dagster_run="next")
    assert tracker.settle(60)
    client, runs = children(folder)
    found = {run.data.tags["dagster.run_id"]: run for run in runs}
    statuses = {name: run.info.status for name, run in found.items()}
    assert statuses == {"sent": "KILLED", "unsent": "KILLED", "next": "FINISHED"}
    for killed in (found["sent"], found["unsent"]):
        assert client.get_run(killed.data.tags["mlflow.parentRunId"]).info.status == "KILLED"
        assert len(client.get_metric_history(killed.info.run_id, "a")) == 150
        assert killed.info.end_time <= found["next"].info.start_time


def test_a_living_run_is_nobody_elses(folder):
    with a_run(Tracker(folder), dagster_run="alive") as run:
        use(Tracker(folder), dagster_run="beside")
        _, runs = children(folder)
        found = {run.data.tags["dagster.run_id"]: run.info.status for run in runs}
        assert found["alive"] == "RUNNING"
        run.finish("v" * 64, {}, model=False)


@pytest.mark.slow
def test_two_processes_send_what_was_left(folder):
    away = Tracker(folder, f"http://127.0.0.1:{closed_port()}")
    for number in range(4):
        use(away, points=20, derivation=f"{number}" * 64, dagster_run=f"r{number}")
    away.settle(10)
    assert len(left(away.spools)) == 4
    body = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.core.tracking import Tracker\n"
        "print(Tracker(Path(sys.argv[1])).settle(200))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", body, str(folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=300)[0] for process in both] == ["True\n"] * 2
    assert left(away.spools) == []
    whole(folder, 20, count=4)


# What people do on MLflow's page


def test_a_deleted_experiment_is_left_alone(folder, caplog):
    use(Tracker(folder))
    client, _ = all_runs(folder)
    first = client.get_experiment_by_name("dragon")
    client.delete_experiment(first.experiment_id)
    use(Tracker(folder), dagster_run="after")
    use(Tracker(folder), dagster_run="later")
    [told] = warnings(caplog)
    assert "'dragon 2'" in told
    assert "restored" in told
    whole(folder, 1, count=2)
    client.restore_experiment(first.experiment_id)
    use(Tracker(folder), dagster_run="restored")
    whole(folder, 1, count=4)
    found = {
        run.data.tags["dagster.run_id"]: run.info.experiment_id == first.experiment_id
        for run in children(folder)[1]
    }
    assert found == {"r1": True, "after": False, "later": False, "restored": True}


def test_a_renamed_experiment_is_followed(folder):
    use(Tracker(folder))
    client, _ = all_runs(folder)
    client.rename_experiment(client.get_experiment_by_name("dragon").experiment_id, "my work")
    use(Tracker(folder), dagster_run="after")
    whole(folder, 1, count=2)
    assert client.get_experiment_by_name("dragon") is None


@pytest.mark.parametrize("what", ["run", "experiment"])
@pytest.mark.parametrize("restored", [True, False])
def test_a_run_deleted_while_it_runs(folder, caplog, what, restored):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        run.curve(0, {"a": 0.0})
        tracker._wait(lambda: tracker._thread is None)
        client, [found] = children(folder)
        places = (found.info.run_id, found.info.experiment_id)
        act = client.delete_run if what == "run" else client.delete_experiment
        act(places[what == "experiment"])
        run.curve(1, {"a": 1.0})
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
    tracker.settle(60)
    [told] = warnings(caplog)
    assert "restore it" in told
    assert "a/raw_text" in told
    if restored:
        act = client.restore_run if what == "run" else client.restore_experiment
        act(places[what == "experiment"])
    again = Tracker(folder)
    again.replay()
    assert again.settle(60)
    assert left(tracker.spools) == []
    if restored:
        whole(folder, 2)
    else:
        assert children(folder)[1] == []


def test_a_run_ended_and_renamed_while_it_runs_goes_on(folder, caplog):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        run.curve(0, {"a": 0.0})
        tracker._wait(lambda: tracker._thread is None)
        client, [found] = children(folder)
        client.set_terminated(found.info.run_id, "KILLED")
        client.update_run(found.info.run_id, name="mine")
        run.curve(1, {"a": 1.0})
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
    whole(folder, 2)
    assert children(folder)[1][0].info.run_name == "mine"
    assert warnings(caplog) == []


def test_a_deleted_parent_is_left_alone(folder, caplog):
    tracker = Tracker(folder)
    with a_run(tracker) as run:
        run.curve(0, {"a": 0.0})
        tracker._wait(lambda: tracker._thread is None)
        client, [found] = children(folder)
        client.delete_run(found.data.tags["mlflow.parentRunId"])
        run.finish("v" * 64, {"b": 1.0}, model=True, result=RESULT)
    use(tracker)
    whole(folder, 1, count=2)
    assert warnings(caplog) == []


def test_a_deleted_model_does_not_stop_the_next(folder, caplog):
    use(Tracker(folder))
    client, [found] = children(folder)
    [model] = client.search_logged_models([found.info.experiment_id])
    client.delete_logged_model(model.model_id)
    use(Tracker(folder))
    assert warnings(caplog) == []
    [model] = client.search_logged_models([found.info.experiment_id])
    assert model.source_run_id != found.info.run_id


# Where MLflow is


class Answers(http.server.BaseHTTPRequestHandler):
    """Something that answers, but not as MLflow does."""

    def answer(self) -> None:
        self.server.hosts.append(self.headers["Host"])
        body = b"<html>hello</html>"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status", [200, 404, 403, 500])
def test_a_server_that_is_no_mlflow_costs_a_warning(folder, monkeypatch, caplog, status):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.hosts, server.status = [], status
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    tracker = Tracker(folder)
    use(tracker)
    assert not tracker.settle(20)
    server.shutdown()
    server.server_close()
    assert server.hosts
    [told] = warnings(caplog)
    assert "wait in" in told
    assert len(left(tracker.spools)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert Tracker(folder).settle(60)
    whole(folder, 1)


def test_a_database_elsewhere_is_used(folder, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere / 'mlflow.db'}")
    use(Tracker(folder))
    whole(folder, 1)  # looks where the variable says
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert children(folder)[1] == []
    whole(elsewhere, 1)


@pytest.mark.slow
def test_a_server_elsewhere_is_used_and_made_up_for(folder, tmp_path, monkeypatch):
    port = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    tracker = Tracker(folder)
    use(tracker, points=150)
    assert not tracker.settle(1)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    # No variable of ours: the server would take it for its own.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW")}
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 240
        while not Tracker(folder).settle(120):  # half a minute on a busy machine
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(1)
        whole(folder, 150)
        use(Tracker(folder), points=150, dagster_run="second")
        assert Tracker(folder).settle(120)
        whole(folder, 150, count=2)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_another_mlflow_looks_at_its_tables_under_the_lock(folder, monkeypatch):
    ready = {path.name for path in folder.glob("ready*")}
    monkeypatch.setattr(places.metadata, "version", lambda _: "99.1")
    made = []

    def make(uri, *, upgrade):
        with (folder / "lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made.append((uri, upgrade))

    monkeypatch.setattr("pipelines.core.tracking.sending.make_tables", make)
    Tracker(folder).initialise()
    Tracker(folder).initialise()
    assert made == [(f"sqlite:///{folder / 'mlflow.db'}", True)]
    assert {path.name for path in folder.glob("ready*")} == ready | {"ready-99.1"}


def test_tables_of_an_older_mlflow_are_upgraded(folder):
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    config = _get_alembic_config(uri)
    with create_sqlalchemy_engine(uri).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    for ready in folder.glob("ready*"):
        ready.unlink()
    use(Tracker(folder))
    whole(folder, 1)


# A tracker that fails


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unwritable(tmp_path: Path) -> Tracker:
    (tmp_path / "file").write_text("")
    return Tracker(tmp_path / "file" / "mlflow")


def in_the_way(tmp_path: Path) -> Tracker:
    (tmp_path / "mlflow").write_text("")
    return Tracker(tmp_path / "mlflow")


def gone(tmp_path: Path) -> Tracker:
    return Tracker(tmp_path / "mlflow", f"http://bob:HUNTER2PW@127.0.0.1:{closed_port()}")


def not_a_database(tmp_path: Path) -> Tracker:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"no database" * 100)
    return Tracker(tmp_path / "mlflow")


@pytest.mark.parametrize("broken", [unwritable, in_the_way, gone, not_a_database])
def test_a_broken_tracker_costs_one_warning_and_little_time(
    tmp_path, caplog, capfd, monkeypatch, broken
):
    monkeypatch.setattr(tracking, "PATIENCE", 5.0)
    tracker = broken(tmp_path)
    tracker.wake()  # the import is no cost of a broken one
    began = time.monotonic()
    for _ in range(5):
        use(tracker)
    assert not tracker.settle() or broken is unwritable
    assert time.monotonic() - began < 15
    [told] = warnings(caplog)
    assert "goes on without it" in told or "wait in" in told
    assert "HUNTER2PW" not in told
    assert "Traceback" not in "".join(capfd.readouterr())
    assert len(left(tracker.spools)) == (0 if broken is unwritable else 5)


def test_a_server_that_never_answers_costs_seconds_in_all(folder, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = Tracker(folder, uri)
        tracker.wake()
        began = time.monotonic()
        for _ in range(5):
            use(tracker, points=200)
        assert time.monotonic() - began < 3
        beside = Tracker(folder, uri)  # another process's steps need not wait as well
        began = time.monotonic()
        use(beside)
        assert time.monotonic() - began < 0.5
    assert len(warnings(caplog)) == 1


def test_the_weights_are_the_same_without_tracking(place, recipe_file, home, copied, tmp_path):
    recipe = str(recipe_file())
    with_it = place.dragon("run", recipe, "--select", "smaller/foundation")
    assert with_it.code == 0, with_it.err
    shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("mlflow"))
    (tmp_path / "home" / "mlflow").write_text("in the way")
    without = type(place)(tmp_path / "home", tmp_path / "other")
    said = without.dragon("run", recipe, "--select", "smaller/foundation")
    assert said.code == 0, said.err
    assert said.out.count("MLflow failed") == 1
    assert "Traceback" not in said.out + said.err
    assert without.store.versions("smaller/foundation") == place.store.versions(
        "smaller/foundation"
    )
    # Nothing is made again, and MLflow gets what it missed.
    without.project.mlflow.unlink()
    copied(without.project.mlflow)
    again = without.dragon("run", recipe, "--select", "smaller/foundation")
    assert again.code == 0, again.err
    assert "0 made" in again.out
    Tracker(without.project.mlflow).settle(60)
    _, runs = children(without.project.mlflow)
    found = {run.data.tags["dragon.key"]: run.info.status for run in runs}
    assert found == dict.fromkeys(without.store.keys(), "FINISHED")


def test_a_broken_home_is_told_in_one_line(copied, fresh, recipe_file):
    copied(fresh.project.mlflow)
    history = fresh.home / "dagster" / "history"
    history.mkdir(parents=True)
    (history / "runs.db").write_bytes(b"no database" * 1000)
    fault = fresh.dragon("run", str(recipe_file()), "--select", "talk/raw_text").fault
    assert str(fresh.home) in fault
    assert "DRAGON_HOME" in fault


@pytest.mark.slow
def test_six_processes_begin_together_on_a_fresh_database(tmp_path):
    body = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.core.tracking import Tracker\n"
        "number = sys.argv[2]\n"
        "tracker = Tracker(Path(sys.argv[1]))\n"
        "with tracker.run('a/raw_text', number * 64, number, {'n': 1}, {}) as run:\n"
        "    run.curve(1, {'a': 1.0})\n"
        "    run.finish(number * 64, {'b': 2.0}, model=True)\n"
        "print('ok' if tracker.settle(240) else 'failed')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", body, str(tmp_path / "mlflow")]
    processes = [
        subprocess.Popen(
            [*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for n in range(6)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    assert [out.strip() for out, _ in told] == ["ok"] * 6, json.dumps(told, indent=1)
    _, runs = all_runs(tmp_path / "mlflow")
    # No Dagster run of theirs has ended.
    assert Counter(run.info.status for run in runs) == {"FINISHED": 6, "RUNNING": 6}
