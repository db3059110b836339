"""``dragon gc`` removes what nothing needs, and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.pins import Pin
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.collect import Plan, collect, plan
from pipelines.lineage.trace import locate, trace
from pipelines.lineage.verify import verify
from tests.conftest import CHECKOUT, Chain, Place
from tests.lineage.stores import (
    DOCUMENTS,
    MODEL,
    RAW,
    REPORT,
    age,
    fill,
    publish,
    unfinished,
)

STATES = f"{MODEL}_states"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def sound(store: Store) -> None:
    """The store has no fault and no stray, and each key can be traced."""
    found = verify(store, None, lambda *_: None)
    assert (found.faults, found.strays) == ([], [])
    for key in sorted({reference.key for reference in store.references.all()}):
        trace(store, locate(store, key))


def names(planned: Plan) -> list[tuple[str, str]]:
    return sorted((one.key, one.version) for one in planned.versions)


def snapshot(store: Store) -> dict[str, Any]:
    return {
        path.relative_to(store.root).as_posix(): path.readlink() if path.is_symlink() else ""
        for path in sorted(store.root.rglob("*"))
        if path.name != "lock"
    }


def test_an_older_chain_goes_and_the_current_one_stays(store: Store) -> None:
    old, now = fill(store, b"old\n"), fill(store, b"new\n")
    age(store, 31)
    before = snapshot(store)
    planned = plan(store, 30, {})
    assert snapshot(store) == before
    assert names(planned) == sorted((key, a.version) for key, a in old.items())
    freed = sum(
        path.stat().st_size for a in old.values() for path in a.folder.rglob("*") if path.is_file()
    )
    (curve,) = planned.removal.beside
    assert planned.bytes == freed + curve.stat().st_size
    assert planned.kept == {"current": 4}
    done = collect(store, 30, {})
    assert names(done) == names(planned)
    assert not any(a.folder.exists() for a in old.values())
    for key, artefact in now.items():
        assert store.current(key, Artefact) == artefact
        artefact.verify()
    sound(store)
    assert plan(store, 30, {}).removal.is_empty
    assert len(list((store.root / "records").glob("*.json"))) == 4


def test_what_is_young_stays(store: Store) -> None:
    fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 10)
    assert plan(store, 30, {}).removal.is_empty
    assert len(plan(store, 9, {}).versions) == 4
    assert plan(store, 11, {}).kept == {"current": 4, "young": 4}


def test_a_pin_keeps_a_lineage_until_it_is_taken_away(store: Store) -> None:
    old = fill(store, b"old\n")
    pin = store.pin(old[MODEL], "the paper has its figures")
    fill(store, b"new\n")
    age(store, 31)
    assert names(collect(store, 30, {})) == [(REPORT, old[REPORT].version)]
    sound(store)
    trace(store, locate(store, f"{MODEL}@{old[MODEL].version}"))
    store.pins.remove(pin)
    assert len(collect(store, 30, {}).versions) == 3
    sound(store)


def test_an_alias_keeps_a_lineage(store: Store) -> None:
    old = fill(store, b"old\n")[MODEL]
    fill(store, b"new\n")
    age(store, 31)
    planned = plan(store, 30, {(old.derivation, old.version): ["small-foundation@best"]})
    assert [one.key for one in planned.versions] == [REPORT]
    assert planned.kept == {"current": 4, "aliased": 1, "in their lineage": 2}


def test_an_unfinished_training_keeps_what_it_reads(store: Store) -> None:
    old = fill(store, b"old\n")
    area = unfinished(store, "small/other", [old[DOCUMENTS]])
    fill(store, b"new\n")
    age(store, 29)
    assert names(collect(store, 20, {})) == sorted((k, old[k].version) for k in (MODEL, REPORT))
    assert area.exists()
    age(store, 2)  # nobody has worked on it for 31 days
    done = collect(store, 20, {})
    assert [one.reason for one in done.loose] == ["nobody has worked on it for 30 days"]
    assert not area.exists()
    assert len(done.versions) == 2
    sound(store)


def test_one_version_of_two_derivations_stays_with_one_record(store: Store) -> None:
    first, second = fill(store, more=1), fill(store, more=2)
    assert first[MODEL].version == second[MODEL].version
    age(store, 31)
    done = collect(store, 30, {})
    assert done.bytes == 0
    assert names(done) == sorted((key, first[key].version) for key in (MODEL, REPORT))
    assert second[MODEL].folder.exists()
    sound(store)


def test_states_stay_as_long_as_something_is_taken_from_them(store: Store) -> None:
    raw = publish(store, RAW, {"text": b"some text"})
    states = publish(store, STATES, {"step-4": b"s" * 999}, {"raw_text": raw}, makes="KeptStates")
    model = publish(store, MODEL, {"model": b"m"}, {"states": states})
    age(store, 31)
    assert plan(store, 30, {}).removal.is_empty
    publish(store, MODEL, {"model": b"n"}, {"raw_text": raw}, more=1)  # it keeps no states
    age(store, 31)
    assert names(collect(store, 30, {})) == [(MODEL, model.version), (STATES, states.version)]
    assert store.keys() == [MODEL, RAW]
    assert not (store.root / STATES).exists()
    sound(store)


def test_what_no_record_names_goes_when_it_is_old(store: Store) -> None:
    fill(store)
    stray = store.root / "objects" / ("1" * 64)
    shutil.copytree(store.current(RAW, Artefact).folder, stray)
    beside = store.root / "records" / "beside" / ("2" * 64)
    beside.write_bytes(b"nobody's")
    assert plan(store, 30, {}).removal.is_empty  # a publication may be under way
    age(store, 31)
    done = collect(store, 30, {})
    assert {Path(one.path) for one in done.loose} == {stray, beside}
    assert done.bytes > len(b"nobody's")
    sound(store)


@pytest.mark.parametrize("place", ["record", "reference", "pin"])
def test_a_store_with_a_bad_record_loses_nothing(store: Store, place: str) -> None:
    old = fill(store, b"old\n")
    pin = store.pin(old[MODEL], "")
    now = fill(store, b"new\n")
    path = {
        "record": store.root / "records" / f"{now[MODEL].derivation}.json",
        "reference": store.root / MODEL / "current",
        "pin": store.pins.folder / f"{pin.derivation}.{pin.version}.json",
    }[place]
    path.unlink()
    path.write_bytes(b"{}")
    age(store, 31)
    before = snapshot(store)
    with pytest.raises(CorruptArtefact, match=path.name):
        collect(store, 30, {})
    assert snapshot(store) == before


# Others at work


def test_nothing_is_removed_while_another_process_makes_an_asset(store: Store) -> None:
    fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 31)
    before = snapshot(store)
    with store.work(MODEL, "a" * 64):
        with (
            pytest.raises(StoreError, match=f"process {os.getpid()} makes an asset"),
            store.workplace.alone(patience=0.3),
        ):
            pass
        assert len(plan(store, 30, {}).versions) == 4  # saying what would go is possible
    assert snapshot(store) == before
    collect(store, 30, {})


def test_a_version_that_is_reused_meanwhile_stays(store: Store) -> None:
    """Who reuses shares the lock from the check of the files to the reference."""
    old = fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 31)
    checked, removed = threading.Event(), threading.Event()

    class Slow(Artefact):
        def verify(self) -> None:
            super().verify()
            checked.set()
            assert not removed.wait(0.5)

    def clean() -> None:
        checked.wait()
        collect(store, 30, {})
        removed.set()

    thread = threading.Thread(target=clean)
    thread.start()
    found = store.reusable(RAW, old[RAW].derivation, Slow)
    thread.join()
    assert found is not None
    assert store.current(RAW, Artefact).version == old[RAW].version
    store.current(RAW, Artefact).verify()
    sound(store)


def test_an_input_that_was_removed_before_the_work_began_is_told(store: Store) -> None:
    old = fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 31)
    collect(store, 30, {})
    with store.work(MODEL, "a" * 64), pytest.raises(StoreError, match=f"{DOCUMENTS}: version"):
        store.require([old[DOCUMENTS]])


def test_a_reader_of_the_current_version_finishes(store: Store) -> None:
    fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 31)
    artefact, stop = store.current(MODEL, Artefact), threading.Event()
    faults: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                trace(store, locate(store, REPORT))
                artefact.read("model")
            except ValueError as error:
                faults.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    collect(store, 30, {})
    stop.set()
    thread.join()
    assert faults == []


SCRIPT = """
import os, signal, sys
from pathlib import Path
from pipelines.core.store import Store
from pipelines.lineage.collect import collect

point, count = int(sys.argv[2]), 0

def counted(real):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call

for name in ("unlink", "rename", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
print(len(collect(Store(Path(sys.argv[1])), 30, {}).versions))
"""


def run(root: Path, point: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root), str(point)],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_at_any_removal_a_second_one_finishes(store: Store, tmp_path: Path) -> None:
    old, now = fill(store, b"old\n"), fill(store, b"new\n")
    age(store, 31)
    point, killed = 0, True
    while killed:
        point += 1
        copied = Store(tmp_path / f"copy {point}")
        shutil.copytree(store.root, copied.root, symlinks=True)
        child = run(copied.root, point)
        child.communicate()
        killed = child.returncode == -signal.SIGKILL
        for key in now:
            assert store.current(key, Artefact) == now[key]
        assert verify(copied, None, lambda *_: None).faults == []  # strays, but no fault
        collect(copied, 30, {})
        copied.sweep()
        sound(copied)
        assert {path.name for path in (copied.root / "objects").iterdir()} == {
            a.version for a in now.values()
        }
        shutil.rmtree(copied.root)
    assert point > 4 * 3 + 4 + 1
    assert old


def test_two_at_once_remove_it_once(store: Store) -> None:
    fill(store, b"old\n")
    fill(store, b"new\n")
    age(store, 31)
    both = [run(store.root, 0), run(store.root, 0)]
    told = sorted(int(one.communicate()[0]) for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert told == [0, 4]
    sound(store)


# The commands


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "home", tmp_path / "store")
    fill(place.store, b"old\n")
    fill(place.store, b"new\n")
    age(place.store, 31)
    return place


def test_the_command_says_first_and_removes_with_yes(place: Place) -> None:
    told = place.dragon("gc")
    assert (told.code, told.err) == (0, "")
    assert "would remove: 4 versions and 1 other things" in told.out
    assert "kept: 4 current (" in told.out
    for key in (RAW, DOCUMENTS, MODEL, REPORT):
        assert any(line.startswith(key) for line in told.out.splitlines())
    assert len(list((place.root / "objects").iterdir())) == 8
    report = json.loads(place.dragon("gc", "--json").out)
    assert report["removed"] is False
    assert report["bytes"] == sum(one["bytes"] for one in report["versions"] + report["loose"])
    assert "nothing to remove" in place.dragon("gc", "--older-than", "40").out
    assert "\nremoved: 4 versions" in place.dragon("gc", "--yes").out
    assert len(list((place.root / "objects").iterdir())) == 4
    assert "nothing to remove" in place.dragon("gc", "--yes").out
    assert not place.home.exists()


def test_pins_are_made_listed_and_taken_away(place: Place) -> None:
    versions = place.store.versions(MODEL)
    current = place.store.current(MODEL, Artefact).version
    (old,) = set(versions) - {current}
    assert place.dragon("pin", "--list").out == "no pins\n"
    told = place.dragon("pin", f"{MODEL}@{old[:8]}", "--reason", "the  paper\nof June")
    assert told.out == f"pinned: {MODEL}@{old[:12]}  the paper of June\n"
    (path,) = place.store.pins.files()
    assert Pin.from_file(path).reason == "the paper of June"
    (listed,) = json.loads(place.dragon("pin", "--list", "--json").out)
    assert (listed["key"], listed["version"]) == (MODEL, old)
    place.dragon("gc", "--yes")
    assert place.store.versions(MODEL) == versions
    assert "is not pinned; did you mean" in place.dragon("unpin", "small/foundatin").fault
    assert place.dragon("unpin", MODEL).out == f"unpinned: {MODEL}@{old[:12]}\n"
    assert place.store.pins.files() == []
    assert place.dragon("pin").code == 2
    assert place.dragon("pin", MODEL, "--list").code == 2


def test_an_alias_in_mlflow_keeps_its_version(copy: Chain, tmp_path: Path) -> None:
    """Each model of the chain has the alias ``current``; a person may give others."""
    from pipelines.core.tracking.aliases import aliases_in

    found = aliases_in(copy.home / "mlflow")
    keys = {name.partition("@")[0]: mark for mark, names in found.items() for name in names}
    assert set(keys) == {"tiny-foundation", "tiny-toy_reply_assistant", "tiny-toy_spam_classifier"}
    for name, (derivation, version) in keys.items():
        current = copy.store.current(name.replace("-", "/", 1), Artefact)
        assert (current.derivation, current.version) == (derivation, version)
    assert aliases_in(tmp_path / "nowhere") == {}
