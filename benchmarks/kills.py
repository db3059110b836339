"""Kill -9 at random times, on the command line and under the UI; then nothing may be wrong.

``python benchmarks/kills.py --kills 200`` makes a recipe of a minute over and over, in places of
its own, and kills: half of the times ``dragon run``, else below ``dragon ui`` a run's worker, a
step, the code servers, the daemon, ``dragon ui`` itself, or all at once. After each kill it looks
whether

- every run that was on its way is over within 60 s (of the next start, where all was killed),
- nothing is published after its run was over,
- no process stays (10 s after ``dragon ui`` was killed, or was told twice to end),

and after every few kills a run is let go to its end, whose versions must be the uninterrupted
run's. It prints a table and ends with 1 if anything was wrong. The same ``--seed`` draws the same
targets; the moments hang on the machine. Linux only: processes are found by their environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from pipelines.core.artefact import Artefact
from pipelines.core.store import Store

CHECKOUT = Path(__file__).resolve().parents[1]
DRAGON = [sys.executable, "-c", "from pipelines.cli.main import run; run()"]
RECIPE = """\
description: small, and yet with tokens, a foundation and a task
seed: 3
corpora:
  talk:
    source: {kind: generated, generator: dialogues, documents: 300, seed: 5}
    split: {validation: 0.1, test: 0.1}
  messages:
    weight: 0
    source: {kind: generated, generator: messages, documents: 200, seed: 2}
    split: {validation: 0.2, test: 0.2}
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 16}
training: {steps: 200, batch_size: 4, precision: fp32, validate_every: 50, checkpoint_every: 10}
tasks:
  spam:
    kind: classifier
    corpus: messages
    labels: [ham, spam]
    training: {steps: 60, batch_size: 4, precision: fp32, validate_every: 30, checkpoint_every: 10}
"""
JOB = "make_kills"
TARGETS = ("worker", "step", "code server", "daemon", "dragon ui", "all")
ALONE = ("worker", "step")  # after these the UI must go on by itself
OVER_SECONDS, GONE_SECONDS, START_SECONDS, RUN_SECONDS = 60.0, 10.0, 400.0, 1800.0
LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""


@dataclass
class Row:
    """What was seen of one kind of kill."""

    kills: int = 0
    hits: int = 0  # in the middle of a run
    over: float = 0.0  # the longest until the run was over, seconds
    gone: float = 0.0  # the longest until no process was left, seconds
    faults: list[str] = field(default_factory=list)
    told: int = 0  # so many of them were printed


class Places:
    """A project with one recipe, a home, and a store after another."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home, self.store = folder / "project", folder / "home", folder / "store"
        (self.root / "recipes").mkdir(parents=True)
        (self.root / "recipes" / "kills.yaml").write_text(RECIPE, encoding="utf-8")
        self.log = folder / "log"
        self.ui: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DRAGON_HOME": str(self.home),
            "DRAGON_STORE": str(self.store),
            "PYTHONPATH": str(CHECKOUT),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*DRAGON, *arguments], cwd=self.root, env=environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def run(self) -> None:
        """``dragon run`` to its end."""
        code = self.start("run", "kills").wait(RUN_SECONDS)
        if code:
            raise RuntimeError(f"dragon run ended with {code}; see {self.log}")

    def versions(self) -> dict[str, list[str]]:
        store = Store(self.store)
        found = {key: store.versions(key) for key in sorted(store.keys())}
        for key, versions in found.items():
            for version in versions:
                store.open(key, version, Artefact).verify()
        return found

    def published(self) -> set[str]:
        """The names of all records and versions there are."""
        return {str(path) for path in self.store.glob("[!.]*/**/*") if ".work" not in path.parts}

    def processes(self) -> dict[int, tuple[int, str]]:
        """(parent, command line) of every process in these places."""
        wanted, found = f"DRAGON_HOME={self.home}".encode(), {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = int(parent), line
        return found

    def unfinished(self, *others: str) -> list[str]:
        """The runs that claim to be on their way, or to be ``others`` (queued)."""
        going = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING", *others)
        statuses = [dg.DagsterRunStatus(name) for name in going]
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            return [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=statuses))]

    # The UI

    def start_ui(self) -> None:
        """Start the UI and wait until its code location is loaded."""
        self.port, mlflow = _free_port(), _free_port()
        ui = self.ui = self.start("ui", "--port", str(self.port), "--mlflow-port", str(mlflow))
        query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"

        def loaded() -> bool:
            if ui.poll() is not None:
                raise RuntimeError(f"dragon ui ended with {ui.returncode}; see {self.log}")
            with contextlib.suppress(OSError, ValueError):
                return bool(self.ask(query)["repositoriesOrError"].get("nodes"))
            return False

        _within(START_SECONDS, loaded, "the UI did not start")

    def ask(self, query: str, **variables: object) -> dict[str, dict[str, object]]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/dagster/graphql",
            body,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def launch(self) -> str:
        selector = {
            "repositoryLocationName": "dragon",
            "repositoryName": "__repository__",
            "jobName": JOB,
        }
        parameters = {"selector": selector, "runConfigData": {}, "mode": "default"}
        answer = self.ask(LAUNCH, parameters=parameters)["launchPipelineExecution"]
        return str(answer["run"]["runId"])  # type: ignore[index]

    def status(self, run_id: str) -> str:
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            run = instance.get_run_by_id(run_id)
            return run.status.value if run else "DELETED"

    def ended(self, run_id: str) -> float:
        """When a run was over, by the clock; now if it is not."""
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            record = instance.get_run_record_by_id(run_id)
            return (record.end_time if record else None) or time.time()

    def end_ui(self) -> float:
        """Tell it twice to end; the seconds until no process was left."""
        began = time.monotonic()
        if self.ui is not None:
            for _ in range(2):
                self.ui.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        return self.await_nobody(began)

    def await_nobody(self, began: float) -> float:
        _within(60, lambda: not self._living(), "processes stay")
        self.ui = None
        return time.monotonic() - began

    def _living(self) -> bool:
        if self.ui is not None:
            self.ui.poll()  # else it stays as a zombie
        return bool(self.processes())

    def kill_all(self) -> None:
        while left := self.processes():
            for pid in left:
                _kill(pid)
        if self.ui is not None:
            self.ui.wait()


def under_the_ui(places: Places, target: str, rows: dict[str, Row], delay: float) -> None:
    """One kill in a run of the UI, and the looks after it."""
    row = rows[target]
    if places.ui is None:
        places.start_ui()
    _drain(places)
    run_id = places.launch()
    time.sleep(delay)
    victims = _victims(places, target)
    hit = places.status(run_id) in ("STARTING", "STARTED")
    killed, by_clock = time.monotonic(), time.time()
    if target == "all":
        places.kill_all()
    for pid in victims:
        _kill(pid)
    row.kills += 1
    row.hits += hit and (bool(victims) or target == "all")
    if target not in ALONE:
        if target == "dragon ui":
            gone = places.await_nobody(killed)
        else:
            gone = places.end_ui() if target != "all" else places.await_nobody(killed)
        row.gone = max(row.gone, gone)
        if gone > GONE_SECONDS:
            row.faults.append(f"processes stayed for {gone:.0f} s")
        by_clock = time.time()
        places.start_ui()
        _over(places, run_id, row, by_clock)
    elif victims:
        _over(places, run_id, row, by_clock)


def _over(places: Places, run_id: str, row: Row, began: float) -> None:
    """The run is over in time after ``began``, and publishes nothing from then on."""
    if places.status(run_id) == "QUEUED":  # it waited when all was killed: it will be made now
        _finished(places, run_id)
        return
    with contextlib.suppress(TimeoutError):
        _within(2 * OVER_SECONDS, lambda: run_id not in places.unfinished(), "")
    if _victims(places, "worker") and _finished(places, run_id) == "SUCCESS":
        return  # the step that was killed had done its work: the run goes on
    before, seconds = places.published(), places.ended(run_id) - began
    row.over = max(row.over, seconds)
    if seconds > OVER_SECONDS:
        row.faults.append(f"run {run_id[:8]} {places.status(run_id)} after {seconds:.0f} s")
    time.sleep(3)
    if late := places.published() - before:
        row.faults.append(f"published after its run was over: {sorted(late)}")


def _finished(places: Places, run_id: str) -> str:
    over = ("SUCCESS", "FAILURE", "CANCELED")
    _within(RUN_SECONDS, lambda: places.status(run_id) in over, "a run does not end")
    return places.status(run_id)


def _drain(places: Places) -> None:
    """Let the runs that no kill hit come to their end."""
    for run_id in places.unfinished("QUEUED"):
        _finished(places, run_id)


def on_the_command_line(places: Places, row: Row, delay: float) -> None:
    """One kill of ``dragon run``: of the process alone, its children must follow."""
    process = places.start("run", "kills")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    row.kills += 1
    row.hits += process.poll() is None
    process.kill()
    process.wait()
    seconds = places.await_nobody(time.monotonic())
    row.gone = max(row.gone, seconds)


def _victims(places: Places, target: str) -> list[int]:
    found = places.processes()
    forks = {pid for pid, (_, line) in found.items() if "multiprocessing.forkserver" in line}
    servers = {pid for pid, (_, line) in found.items() if "api grpc" in line}
    if target == "worker":
        return [p for p, (up, line) in found.items() if up in servers and "spawn_main" in line]
    if target == "step":
        return [pid for pid in forks if found[pid][0] in forks]
    if target == "code server":
        return [p for p, (_, line) in found.items() if p in servers or "code-server" in line]
    if target == "daemon":
        return [pid for pid, (_, line) in found.items() if "dagster._daemon" in line]
    return [places.ui.pid] if target == "dragon ui" and places.ui else []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _within(seconds: float, holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def trial(places: Places, kills: int, share: float, seed: int) -> dict[str, Row]:
    """All kills: rounds of a few in one store, each round ended by a run to the end."""
    chance, rows = random.Random(seed), defaultdict[str, Row](Row)
    began = time.monotonic()
    places.run()
    straight, seconds = places.versions(), time.monotonic() - began
    below = round(kills * share)
    targets = [TARGETS[i % len(TARGETS)] for i in range(below)]
    chance.shuffle(targets)
    print(f"uninterrupted: {len(straight)} assets in {seconds:.0f} s", flush=True)
    for number, group in enumerate(_rounds([*targets, *["dragon run"] * (kills - below)], chance)):
        if places.ui is None or group[0] == "dragon run":  # a server knows its store by its path
            places.end_ui()
        shutil.rmtree(places.store)
        for target in group:
            delay = chance.uniform(0, 1.1 * seconds)
            if target == "dragon run":
                on_the_command_line(places, rows[target], delay)
            else:
                under_the_ui(places, target, rows, delay)
        last = rows[group[-1]]
        if group[-1] == "dragon run":
            places.run()
        elif (status := _finished(places, places.launch())) != "SUCCESS":
            last.faults.append(f"the last run ended with {status}")
        if left := places.unfinished():
            last.faults.append(f"round {number}: {len(left)} runs are not over")
        if places.ui is not None:
            _drain(places)
        if places.versions() != straight:
            last.faults.append(f"round {number}: other versions")
        done = sum(row.kills for row in rows.values())
        faults = sum(len(row.faults) for row in rows.values())
        print(f"round {number}: {done} of {kills} kills, {faults} faults", flush=True)
        for name, row in rows.items():
            for fault in row.faults[row.told :]:
                print(f"  {name}: {fault}", flush=True)
            row.told = len(row.faults)
    gone = places.end_ui()
    if gone > GONE_SECONDS:
        rows["end"].faults.append(f"processes stayed for {gone:.0f} s")
    return rows


def _rounds(targets: list[str], chance: random.Random) -> Iterator[list[str]]:
    """One to three kills a round; the command line and the UI are never mixed."""
    while targets:
        same = [t for t in targets[:3] if (t == "dragon run") == (targets[0] == "dragon run")]
        count = chance.randint(1, len(same))
        yield targets[:count]
        del targets[:count]


def show(rows: dict[str, Row]) -> None:
    """The table and, below it, all that was wrong."""
    print("\n| killed | kills | in a run | longest until over, s | until gone, s | faults |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        figures = f"{row.kills} | {row.hits} | {row.over:.1f} | {row.gone:.1f}"
        print(f"| {name} | {figures} | {len(row.faults)} |")
    for name, row in rows.items():
        for fault in row.faults:
            print(f"{name}: {fault}")


def main() -> None:
    """Parse, try, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--share", type=float, default=0.5, help="of the kills under the UI")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept afterwards [default: a temporary one]")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    places = Places(folder)
    try:
        rows = trial(places, given.kills, given.share, given.seed)
    finally:
        places.kill_all()
    show(rows)
    wrong = any(row.faults for row in rows.values())
    if given.folder is None and not wrong:
        shutil.rmtree(folder)
    elif wrong:
        print(f"kept for a look: {folder}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
