"""The weekly schedule and the watch over folders: when they ask for a run, and why not."""

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.stanza import RecipeError
from pipelines.core.tracking import TrackedRun, Tracker
from pipelines.corpora.artefacts import RawText
from pipelines.orchestration import assets, automation
from pipelines.orchestration.automation import PAUSE, REST, UNFINISHED
from pipelines.orchestration.graph import build
from pipelines.orchestration.resources import StoreResource
from pipelines.recipe.loading import load_recipe
from pipelines.text.errors import SourceUnavailable, TextError

JOB = "make_own_text"
Status = dg.DagsterRunStatus


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as held:
        yield held


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sensor's clock, which begins a minute after the files were written."""
    from time import time

    held = SimpleNamespace(ahead=60.0)
    held.time = lambda: time() + held.ahead
    monkeypatch.setattr(automation, "time", held)
    automation._sha256.cache_clear()
    return held


class Watched:
    """A project whose folder my_text is watched, and the sensor's cursor."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.folder = root / "my_text"
        self.folder.mkdir()
        self.write("one.txt", "a first text")
        shutil.copyfile(CHECKOUT / "my_text" / "README.md", self.folder / "README.md")
        project = Project(root, root / "home", root / "store")
        recipe = load_recipe(CHECKOUT / "recipes" / "own_text.yaml")
        self.definitions = build(project, [recipe])
        self.sensor = self.definitions.resolve_sensor_def(f"watch_my_text_for_{JOB}")
        self.instance = instance
        self.cursor: str | None = None

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def tick(self) -> dg.RunRequest | str:
        """What the sensor asks for, or the reason why it does not."""
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursor, definitions=self.definitions
        )
        told = self.sensor.evaluate_tick(context)
        self.cursor = told.cursor
        return told.run_requests[0] if told.run_requests else str(told.skip_message)

    def ask(self) -> dg.RunRequest:
        asked = self.tick()
        assert isinstance(asked, dg.RunRequest), asked
        return asked

    def run(self, asked: dg.RunRequest, status: Status) -> None:
        """What the daemon makes of a request, and its end."""
        from dagster._core.test_utils import create_run_for_test

        create_run_for_test(self.instance, job_name=JOB, tags=asked.tags, status=status)


@pytest.fixture
def watched(tmp_path: Path, instance: dg.DagsterInstance, clock: Any) -> Watched:  # noqa: ARG001
    return Watched(tmp_path, instance)


def test_it_asks_when_the_content_changes_and_only_then(watched: Watched, clock: Any) -> None:
    def made() -> None:
        watched.run(watched.ask(), Status.SUCCESS)
        assert "nothing new" in watched.tick()

    assert watched.sensor.default_status is dg.DefaultSensorStatus.STOPPED
    made()
    watched.write("two.txt", "a second text")
    clock.ahead += 60
    made()
    watched.write("two.txt", "a second test")  # of the same size
    clock.ahead += 60
    made()
    os.utime(watched.folder / "two.txt", ns=(1, 1))
    watched.write(".note.txt", "hidden, so not read")
    clock.ahead += 60
    assert "nothing new" in watched.tick()
    (watched.folder / "two.txt").unlink()
    clock.ahead += 60
    made()  # as it was at the first look, and yet another than now


def test_the_readme_is_no_text(watched: Watched) -> None:
    watched.run(watched.ask(), Status.SUCCESS)
    watched.write("README.md", "other words about the folder")
    assert "nothing new" in watched.tick()
    (watched.folder / "one.txt").unlink()
    assert watched.tick() == "my_text: has no files but its README.md; put your files there"
    shutil.rmtree(watched.folder)
    assert "no such file or folder" in watched.tick()


def test_a_failed_state_is_asked_for_again_after_a_pause_that_grows(
    watched: Watched, clock: Any
) -> None:
    for failures in range(1, 4):
        watched.run(watched.ask(), Status.FAILURE)
        pause = PAUSE * 2 ** (failures - 1)
        clock.ahead = pause - 120  # the run ended just now
        assert "of this content failed; the next try is in" in watched.tick()
        clock.ahead = pause + 60
    watched.run(watched.ask(), Status.FAILURE)
    watched.write("two.txt", "what was missing")  # another state waits for nothing
    clock.ahead += REST + 1
    watched.run(watched.ask(), Status.SUCCESS)
    clock.ahead += 10 * PAUSE
    assert "nothing new since run" in watched.tick()


def test_a_run_that_was_never_launched_is_asked_for_again(watched: Watched, clock: Any) -> None:
    watched.ask()
    assert watched.tick() == "my_text: nothing new"
    clock.ahead += PAUSE
    watched.ask()


def test_what_a_person_ended_waits_for_a_person(watched: Watched, clock: Any) -> None:
    watched.run(watched.ask(), Status.CANCELED)
    clock.ahead += 100 * PAUSE
    assert "cancelled by a person" in watched.tick()


def test_both_wait_while_a_run_of_the_recipe_has_not_ended(
    tmp_path: Path,
    clock: Any,  # noqa: ARG001
) -> None:
    from dagster._core.test_utils import create_run_for_test

    def wait(watched: Watched) -> None:
        why = f"run {run.run_id[:8]} of own_text has not ended ({status.value})"
        assert watched.tick() == f"my_text: {why}"
        tick = schedule.evaluate_tick(dg.build_schedule_context(watched.instance))
        assert (tick.run_requests, tick.skip_message) == ([], why)

    ended = {Status.SUCCESS, Status.FAILURE, Status.CANCELED}
    assert ended.isdisjoint(UNFINISHED)
    unfinished = [status for status in UNFINISHED if status is not Status.QUEUED]
    assert len(unfinished) < len(UNFINISHED)  # a queued run would need a code location here
    with dg.instance_for_test() as instance:  # a schedule reaches none that is in memory alone
        watched = Watched(tmp_path, instance)
        schedule = watched.definitions.resolve_schedule_def("retrain_own_text_weekly")
        for job, tags in ((JOB, {}), ("__ASSET_JOB", {"dragon/recipe": "own_text"})):
            for status in unfinished:
                run = create_run_for_test(instance, job_name=job, tags=tags, status=status)
                wait(watched)
                instance.delete_run(run.run_id)
        watched.ask()
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance))
        assert len(tick.run_requests) == 1


def test_a_half_written_file_is_no_state(watched: Watched, clock: Any) -> None:
    clock.ahead = 0.0
    waiting = "my_text: files are still changing; waiting until they no longer change"
    assert watched.tick() == waiting
    watched.write("one.txt", "a first text, and m")
    assert watched.tick() == waiting
    watched.write("one.txt", "a first text, and more")
    assert watched.tick() == waiting
    watched.ask()  # it looked so before: whatever the clocks of the disk say


def test_files_are_hashed_when_they_look_otherwise_and_each_hour(
    watched: Watched, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = automation.sha256_of

    def counted(path: str) -> str:
        hashed.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(automation, "sha256_of", counted)
    hour = automation._hour()
    monkeypatch.setattr(automation, "_hour", lambda: hour)
    watched.write("two.txt", "a second text")
    watched.run(watched.ask(), Status.SUCCESS)
    assert sorted(hashed) == ["one.txt", "two.txt"]
    for _ in range(3):
        watched.tick()
    assert len(hashed) == 2
    watched.write("two.txt", "a second test")
    clock.ahead += 60
    watched.ask()
    assert hashed[2:] == ["two.txt"]
    hour += 1
    watched.tick()
    assert sorted(hashed[3:]) == ["one.txt", "two.txt"]


def test_a_cursor_of_another_program_is_no_obstacle(watched: Watched) -> None:
    for cursor in ("0" * 64, "[1]", "null", "", "{}"):
        watched.cursor = cursor
        watched.ask()


# The schedule


def test_the_weekly_schedule_asks_for_all_of_a_recipe(watched: Watched) -> None:
    schedule = watched.definitions.resolve_schedule_def("retrain_own_text_weekly")
    hour, minute = automation._time_of(load_recipe(CHECKOUT / "recipes" / "own_text.yaml"))
    assert schedule.cron_schedule == f"{minute} {hour} * * 0"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    tick = schedule.evaluate_tick(dg.build_schedule_context(watched.instance))
    assert len(tick.run_requests) == 1
    job = watched.definitions.resolve_job_def(JOB)
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    every = {key.to_user_string() for key in watched.definitions.resolve_all_asset_keys()}
    assert every - keys == {"my_text/index"}, "an index is made on demand"
    assert keys < every


@pytest.mark.parametrize(
    ("given", "zone"), [("", "UTC"), ("timezone: Europe/Berlin\n", "Europe/Berlin")]
)
def test_the_schedule_runs_and_speaks_in_the_recipes_time_zone(
    recipe_file: Any, tmp_path: Path, given: str, zone: str
) -> None:
    recipe = load_recipe(recipe_file(("seed: 3\n", f"seed: 3\n{given}")))
    definitions = build(Project(tmp_path, tmp_path / "h", tmp_path / "s"), [recipe])
    schedule = definitions.resolve_schedule_def("retrain_smaller_weekly")
    assert schedule.execution_timezone == zone
    assert re.match(rf"Sundays at [1-4]:\d\d {zone} ", str(schedule.description))


def test_an_unknown_time_zone_is_told_with_the_nearest(recipe_file: Any) -> None:
    path = recipe_file(("seed: 3\n", "seed: 3\ntimezone: Europe/Berlln\n"))
    told = rf"{path.name}:3: timezone: 'Europe/Berlln' is not a time zone; did you mean 'Europe/B"
    with pytest.raises(RecipeError, match=told):
        load_recipe(path)


# Later tries


class NoTracker(Tracker):
    @contextlib.contextmanager
    def run(self, *_: object) -> Iterator[TrackedRun]:
        yield TrackedRun()


AWAY, LOCKED = SourceUnavailable("away"), sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize(
    ("error", "tags", "tries"),
    [
        (AWAY, {}, 1 + assets.RETRIES),
        (LOCKED, {}, 1 + assets.RETRIES),
        (AWAY, {assets.ATTENDED: "yes"}, 1),  # a person at the command line decides
        (TextError("bad"), {}, 1),
        (OSError("bad"), {}, 1),
        (sqlite3.OperationalError("bad"), {}, 1),
    ],
)
def test_what_may_pass_is_tried_again_and_what_is_wrong_is_not(
    error: Exception,
    tags: dict[str, str],
    tries: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assets, "RETRY_SECONDS", 0)
    made: list[str] = []

    def read(making: Making) -> None:
        made.append(making.key)
        raise error

    monkeypatch.setattr(Declaration, "make", lambda _: read)
    talk = Declaration(
        key="talk/raw_text",
        makes=RawText,
        making="pipelines.corpora.raw_text:read",
        group="corpora",
    )

    store = StoreResource.of(Project(tmp_path, tmp_path / "home", tmp_path / "store"))
    result = dg.materialize(
        assets.assets_of([talk]),
        resources={"store": store, "tracker": NoTracker(tmp_path / "mlflow")},
        tags=tags,
        raise_on_error=False,
    )
    failures = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert len(made) == tries
    assert failures[0].user_failure_data.description == f"talk/raw_text: {error}"
