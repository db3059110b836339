"""Verification: every fault of a store is named with its mend, and no changed byte passes."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.lineage.faults import Verified
from pipelines.lineage.trace import locate, trace
from pipelines.lineage.verify import verify
from tests.conftest import Place
from tests.lineage.stores import DOCUMENTS, MODEL, RAW, REPORT, fill, publish, unfinished


def silent(_: int, __: int) -> None:
    """Tells nobody how far a verification is."""


def verified(store: Store, artefact: Artefact | None = None) -> Verified:
    return verify(store, artefact, silent)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A chain, an older version of its end, a pin, and a training that was killed."""
    store = Store(tmp_path / "store")
    old = fill(store, more=1)
    store.pin(old[MODEL], "a comparison")
    now = fill(store)
    unfinished(store, MODEL, [now[DOCUMENTS]])
    return store


@pytest.fixture
def model(store: Store) -> Artefact:
    return store.current(MODEL, Artefact)


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def faults(store: Store, artefact: Artefact | None = None) -> list[str]:
    return [fault.line for fault in verified(store, artefact).faults]


def test_a_good_store_has_no_fault_and_everything_is_counted(store: Store) -> None:
    found = verified(store)
    assert found.faults == []
    assert found.strays == []
    files = [path for path in (store.root / "objects").rglob("*") if path.is_file()]
    manifests = [path for path in files if path.name == "manifest.json"]
    records = list((store.root / "records").glob("*.json"))
    assert found.artefacts == len(manifests) == 4  # two recipes made the same model and report
    assert found.records == found.publications == len(records) == 6
    assert found.references == 6 + 4
    assert (found.pins, found.work_areas, found.beside) == (1, 1, 1)
    assert found.files == len(files) - len(manifests) + 1 + 1  # the curve, and the checkpoint
    states = list((store.root / ".work").glob("*/step-*"))
    hashed = [*set(files) - set(manifests), *states, *(store.root / "records/beside").iterdir()]
    assert found.bytes == sum(path.stat().st_size for path in hashed)


def test_a_lineage_is_verified_alone(store: Store, model: Artefact) -> None:
    found = verified(store, model)
    assert (found.artefacts, found.records, found.faults) == (3, 3, [])
    page = store.current(REPORT, Artefact).folder / "page.html"
    overwrite(page, b"other")
    assert verified(store, model).faults == []
    (fault,) = verified(store).faults
    assert fault.path == str(page)
    assert fault.mend == f"remove {page.parent} and run again"


# The mutations: every byte of every link, once


def links(store: Store) -> Iterator[Path]:
    """Every file and link of a store but the locks."""
    for path in sorted(store.root.rglob("*")):
        if (path.is_symlink() or path.is_file()) and path.name != "lock":
            inside = path.relative_to(store.root).parts
            if not any((store.root / part).is_symlink() for part in inside):
                yield path


def changed(path: Path, position: int) -> Callable[[], None]:
    """Change one byte of a file, or of the target of a link; returns what undoes it."""
    if path.is_symlink():
        target = os.fsencode(path.readlink())
        path.unlink()
        path.symlink_to(os.fsdecode(_flipped(target, position)))
        return lambda: (path.unlink(), path.symlink_to(os.fsdecode(target)))  # type: ignore[return-value]
    content, mode = path.read_bytes(), path.stat().st_mode
    overwrite(path, _flipped(content, position))

    def undo() -> None:
        overwrite(path, content)
        path.chmod(mode)

    return undo


def _flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def size(path: Path) -> int:
    return len(os.fsencode(path.readlink())) if path.is_symlink() else path.stat().st_size


def test_every_byte_of_a_small_store_changed_once_is_named(tmp_path: Path) -> None:
    """Two artefacts, a file beside a record, a pin, an unfinished training, and the journal."""
    store = Store(tmp_path / "store")
    raw = publish(store, RAW, {"deep/text": b"some text"})
    model = publish(store, MODEL, {"m": bytes(9)}, {"raw": raw}, beside={"curve": b"[1, 2]"})
    store.pin(model, "why")
    unfinished(store, MODEL, [raw])
    kinds = {_kind(store, path) for path in links(store)}
    assert len(kinds) == 9
    assert changed_and_named(store, small=0, most=10**6) > 2900


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_byte_of_a_store_changed_alone_is_named(store: Store) -> None:
    paths = list(links(store))
    count = 0
    for path in paths:
        for position in range(size(path)):
            undo = changed(path, position)
            told = faults(store)
            undo()
            assert any(str(path) in line for line in told), (path, position, told)
            count += 1
    assert count > 5000
    assert faults(store) == []


def test_every_byte_of_a_lineage_changed_once_is_named_by_trace(tmp_path: Path) -> None:
    """``trace`` of a current key reads its links, and the files and records of its lineage."""
    store = Store(tmp_path / "store")
    raw = publish(store, RAW, {"text": b"some text"})
    publish(store, MODEL, {"model": bytes(30)}, {"raw_text": raw})
    links_of_parents = list((store.root / "talk").rglob("*"))
    count = 0
    for path in links(store):
        if path == store.journal.path or path in links_of_parents:
            continue
        for position in range(size(path)):
            undo = changed(path, position)
            # A link that names no other link any more is told by its folder.
            place = str(path.parent if path.is_symlink() else path)
            with pytest.raises((CorruptArtefact, StoreError), match=re.escape(place)):
                trace(store, locate(store, MODEL))
            undo()
            count += 1
    assert count > 1000


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_byte_of_the_small_files_of_the_chain_changed_once_is_named(copy: Place) -> None:
    """All bytes of files up to 15 kB, which all records are, and 500 of each larger one."""
    count = changed_and_named(copy.store, small=15_000, most=500)
    assert count > 100_000


def test_sampled_bytes_of_the_chain_changed_once_are_named(copy: Place) -> None:
    count = changed_and_named(copy.store, small=0, most=4)
    assert count > 4 * 50


def changed_and_named(store: Store, small: int, most: int) -> int:
    """Change bytes of all files, the next byte of each file of a kind at a time; returns how many.

    A changed manifest would hide a changed file of its version, so each kind has its turn.
    """
    random, count = Random(1), 0
    kinds: dict[str, dict[Path, list[int]]] = {}
    for path in links(store):
        length = size(path)
        few = length > small and length > most
        places = sorted(random.sample(range(length), most)) if few else list(range(length))
        kinds.setdefault(_kind(store, path), {})[path] = places
        count += len(places)
    for tried in kinds.values():
        for turn in range(max(map(len, tried.values()))):
            now = {path: places[turn] for path, places in tried.items() if turn < len(places)}
            undone = [changed(path, position) for path, position in now.items()]
            told = {line.split(": ")[0] for line in faults(store)}
            for undo in undone:
                undo()
            assert told >= set(map(str, now)), (turn, set(map(str, now)) - told)
    assert faults(store) == []
    return count


def _kind(store: Store, path: Path) -> str:
    top, *_, name = path.relative_to(store.root).parts
    if path.is_symlink():
        return "current" if name == "current" else "reference"
    if name in ("manifest.json", "checkpoint.json"):
        return name
    return f"{top} {path.parent.name[:6] * (top == 'records')}"


# Faults that are no changed byte


def test_missing_and_extra_files_are_named(store: Store, model: Artefact) -> None:
    folder = model.folder
    (folder / "model").unlink()
    (folder / "more").write_bytes(b"")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("/etc")
    told = faults(store)
    assert [line.split("; ")[0] for line in told] == [
        f"{folder / 'empty'}: is an empty folder",
        f"{folder / 'link'}: is neither a file nor a folder",
        f"{folder / 'model'}: is missing",
        f"{folder / 'more'}: is not in the manifest",
    ]


def test_a_parent_that_is_gone_is_named_by_its_children(store: Store) -> None:
    raw = store.current(RAW, Artefact)
    shutil.rmtree(raw.folder)
    told = faults(store)
    assert any(f"{RAW}/current" in line or raw.derivation in line for line in told)
    (child,) = [line for line in told if "has not its parent raw_text" in line]
    assert store.current(DOCUMENTS, Artefact).derivation in child
    record = store.root / "records" / f"{raw.derivation}.json"
    record.unlink()
    assert any("no record of its parent raw_text" in line for line in faults(store))


def test_a_missing_file_beside_a_record_is_named(store: Store) -> None:
    (kept,) = (store.root / "records" / "beside").iterdir()
    kept.unlink()
    assert all(line.startswith(f"{kept}: is missing") for line in faults(store))
    assert len(faults(store)) == 2  # two records name it


def test_a_forged_record_with_a_digest_of_its_own_is_not_in_the_journal(
    store: Store, model: Artefact
) -> None:
    path = store.root / "records" / f"{model.derivation}.json"
    record = Record.from_file(path)
    forged = Record(
        record.version, record.makes, record.decides, record.parents,
        {**record.made, "git_commit": "f" * 40},
    )  # fmt: skip
    overwrite(path, forged.to_bytes())
    assert store.current(MODEL, Artefact) == model  # the record itself says nothing
    (fault,) = verified(store).faults
    assert fault.path == str(path)
    assert "the journal has no such record" in fault.wrong
    assert verified(store, model).faults == [fault]


def test_a_second_record_that_nobody_published_is_named(store: Store, model: Artefact) -> None:
    record = store.current_record(MODEL)
    forged = Record(
        record.version, record.makes, {**record.decides, "code": "better"}, record.parents, {}
    )
    path = store.root / "records" / f"{forged.derivation}.json"
    path.write_bytes(forged.to_bytes())
    link = store.root / MODEL / forged.derivation
    link.symlink_to(f"../../objects/{model.version}")
    (fault,) = verified(store).faults
    assert fault.path == str(path)


def test_a_line_of_the_journal_cannot_be_taken_out(store: Store) -> None:
    path = store.journal.path
    lines = path.read_bytes().splitlines(keepends=True)
    for number in range(len(lines) - 1):
        overwrite(path, b"".join(lines[:number] + lines[number + 1 :]))
        (fault,) = verified(store).faults
        assert fault.path == str(path)
        assert f"line {number + 1} was changed" in fault.wrong
    overwrite(path, b"".join(lines[:-1]))  # then its record is in no line
    assert len(verified(store).faults) == 1
    told = json.loads(lines[-1])
    del told["digest"]
    told["record"] = "0" * 64
    overwrite(path, b"".join(lines[:-1]) + canonical({**told, "digest": digest(told)}) + b"\n")
    assert len(verified(store).faults) == 1


def test_a_store_without_a_journal_gets_one_with_all_its_records(store: Store) -> None:
    store.journal.path.unlink()
    found = verified(store)
    assert found.faults == []
    assert "has no journal yet" in found.notes[0]
    publish(store, RAW, {"text": b"new"}, more=5)
    found = verified(store)
    assert found.faults == found.notes == []
    assert found.publications == found.records == 7


def test_a_torn_line_of_the_journal_is_told_and_cut_off(store: Store) -> None:
    with store.journal.path.open("ab") as file:
        file.write(b'{"before":"12')
    (fault,) = verified(store).faults
    assert "is unfinished" in fault.wrong
    publish(store, RAW, {"text": b"new"}, more=5)
    assert verified(store).faults == []


def test_strays_are_told(store: Store) -> None:
    version = store.current(REPORT, Artefact).folder
    shutil.copytree(version, version.parent / ("1" * 64))
    (store.root / "records" / "beside" / ("2" * 64)).write_bytes(b"nobody's")
    (store.root / "notes.txt").write_text("mine")
    (store.root / "small" / "Odd").mkdir()
    (store.root / MODEL / "readme").write_text("mine")
    found = verified(store)
    names = {"notes.txt", "Odd", "readme", "1" * 64, "2" * 64}
    assert {Path(stray.path).name for stray in found.strays} == names
    # The copied folder is also no version: its manifest has another digest.
    assert [Path(fault.path).parent.name for fault in found.faults] == ["1" * 64]


def test_the_command_counts_names_and_ends_with_1(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "store")
    fill(place.store)
    told = place.dragon("verify")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("verified: 4 artefacts, 6 files, 0.0 MB in ")
    assert told.out.endswith(": no fault\n")
    assert place.dragon("verify", MODEL).out.startswith("verified: 3 artefacts")
    model = place.store.current(MODEL, Artefact)
    overwrite(model.folder / "config.json", b"[]")
    told = place.dragon("verify", "--all", "--json")
    assert told.code == 1
    report = json.loads(told.out)
    assert report["good"] is False
    assert [fault["path"] for fault in report["faults"]] == [str(model.folder / "config.json")]
    said = place.dragon("verify", MODEL)
    assert said.code == 1
    assert said.out.startswith(f"fault: {model.folder / 'config.json'}: sha256 is ")
    assert "1 fault\n" in said.out
    assert place.dragon("verify", MODEL, "--all").code == 2


def test_others_may_publish_while_a_store_is_verified(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    fill(store)
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            fill(store, b"%d" % number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while len(list((store.root / "objects").iterdir())) < 100:
            assert faults(store) == []
    finally:
        stop.set()
        thread.join()


def test_a_running_training_may_save_while_it_is_verified(store: Store) -> None:
    """Its pointer is replaced between the reading of it and of the state."""
    stop = threading.Event()

    def train() -> None:
        with store.work(MODEL, "a" * 64, keep=True) as work:
            step = 0
            while not stop.is_set():
                step += 1
                work.save_checkpoint(step, [b"%d" % step * 2000], {"key": MODEL})

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(100):
            assert verified(store).faults == []
    finally:
        stop.set()
        thread.join()
