"""The store: an artefact appears whole or not at all, and no changed byte of it is ever used."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.core import work as work_module
from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.core.work import Work, seal

KEY = "sample/raw_text"
FILES = {"a.txt": b"some text\n", "deep/b.bin": bytes(range(40)), "empty": b""}


def decides(number: int = 0) -> dict[str, Any]:
    return {"code": "c", "recipe": {"n": number}, "libraries": {}, "inputs": {}}


def make(
    store: Store, number: int = 0, files: dict[str, bytes] = FILES, key: str = KEY
) -> Artefact:
    """What a step does: reuse, else fill a draft and publish it."""
    told = decides(number)
    derivation = digest(told)
    with store.work(key, derivation) as work:
        found = store.reusable(key, derivation, Artefact)
        if found is not None:
            return found
        draft = work.draft()
        for name, content in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        version = seal(draft)
        store.publish(key, draft, Record(version, "Artefact", told, (), {"key": key}))
    return store.open(key, version, Artefact, derivation)


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def record_file(store: Store, artefact: Artefact) -> Path:
    return store.root / "records" / f"{artefact.derivation}.json"


def debris(store: Store) -> list[str]:
    """Whatever lies in the store beside artefacts, records, references and the lock."""
    usual = re.compile(
        r"\.work(/lock)?|objects(/[0-9a-f]{64}(/.*)?)?|"
        r"records(/[0-9a-f]{64}\.json|/journal\.jsonl)?|"
        r"[a-z_]+(/[a-z_]+(/(current|[0-9a-f]{64}))?)?"
    )
    names = (path.relative_to(store.root).as_posix() for path in store.root.rglob("*"))
    return [name for name in names if not usual.fullmatch(name)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def artefact(store: Store) -> Artefact:
    return make(store)


def test_what_is_published_is_read_back(store: Store, artefact: Artefact) -> None:
    assert {name: artefact.read(name) for name in artefact.files} == FILES
    assert store.current(KEY, Artefact) == artefact
    assert store.keys() == [KEY]
    assert store.versions(KEY) == [artefact.version]
    record = store.record(artefact.derivation)
    assert record is not None
    assert (record.first_key, record.version, record.decides) == (KEY, artefact.version, decides())
    assert artefact.size == sum(map(len, FILES.values()))
    assert debris(store) == []


def test_the_version_is_the_manifests_sha256(artefact: Artefact) -> None:
    manifest = (artefact.folder / MANIFEST).read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == artefact.version == artefact.folder.name
    listed = json.loads(manifest)
    assert manifest == canonical(listed)
    assert [file["path"] for file in listed["files"]] == sorted(FILES)
    assert set(listed["files"][0]) == {"path", "size", "sha256"}


def test_equal_bytes_are_one_version_with_two_records(store: Store) -> None:
    first, second = make(store, 1), make(store, 2)
    assert first.version == second.version
    assert first.derivation != second.derivation
    assert store.records(KEY)[0].derivation == second.derivation
    assert len(store.records(KEY, first.version)) == 2
    assert make(store, 1).derivation == first.derivation
    assert store.current(KEY, Artefact).derivation == first.derivation
    assert debris(store) == []


def test_nobody_may_write_a_published_file(artefact: Artefact) -> None:
    for name in [*artefact.files, MANIFEST]:
        assert (artefact.folder / name).stat().st_mode & 0o222 == 0


# Corruption

CHANGES: list[Callable[[bytes, int], bytes]] = [
    lambda content, i: content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :],
    lambda content, i: content[:i] + bytes([content[i] ^ 0x80]) + content[i + 1 :],
    lambda content, i: content[:i],
    lambda content, i: content[:i] + content[i + 1 :],
]


@pytest.mark.parametrize("change", CHANGES, ids=["low bit", "high bit", "cut", "byte lost"])
@pytest.mark.parametrize("name", ["a.txt", "deep/b.bin", MANIFEST, "record"])
def test_every_changed_byte_is_seen_before_use(
    store: Store, artefact: Artefact, name: str, change: Callable[[bytes, int], bytes]
) -> None:
    record = record_file(store, artefact)
    path = record if name == "record" else artefact.folder / name
    content = path.read_bytes()
    for position in range(len(content)):
        overwrite(path, change(content, position))
        with pytest.raises(CorruptArtefact, match=re.escape(str(path))):
            store.reusable(KEY, artefact.derivation, Artefact)
        with pytest.raises(CorruptArtefact, match=re.escape(str(path))):
            store.open(KEY, artefact.version, Artefact).read(name)
    overwrite(path, content)
    assert store.reusable(KEY, artefact.derivation, Artefact) == artefact


@pytest.mark.parametrize("change", CHANGES, ids=["low bit", "high bit", "cut", "byte lost"])
@pytest.mark.parametrize("which", ["current", "derivation"])
def test_a_changed_reference_never_names_another(
    store: Store, which: str, change: Callable[[bytes, int], bytes]
) -> None:
    make(store, 1, {"a": b"1"})
    now = make(store, 2, {"a": b"2"})
    link = store.references.folder(KEY) / (which if which == "current" else now.derivation)
    target = str(link.readlink())
    for position in range(len(target)):
        link.unlink(missing_ok=True)
        changed = change(target.encode(), position).decode("latin-1")
        if not changed or "\0" in changed:
            continue
        link.symlink_to(changed)
        with pytest.raises((CorruptArtefact, StoreError)):
            store.current(KEY, Artefact)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    assert store.current(KEY, Artefact) == now


def test_a_reference_to_another_version_is_told(store: Store) -> None:
    other, now = make(store, 1, {"a": b"1"}), make(store, 2, {"a": b"2"})
    link = store.references.folder(KEY) / now.derivation
    link.unlink()
    link.symlink_to(f"../../objects/{other.version}")
    with pytest.raises(CorruptArtefact, match=rf"{now.derivation}: the store has no record"):
        store.current(KEY, Artefact)


@pytest.mark.parametrize("target", ["/etc", "../../objects", "../../objects/../records", "nowhere"])
def test_a_reference_leads_to_a_version_of_its_store_and_nowhere_else(
    store: Store, artefact: Artefact, target: str
) -> None:
    link = store.references.folder(KEY) / artefact.derivation
    link.unlink()
    link.symlink_to(target)
    with pytest.raises(
        CorruptArtefact, match=re.escape(f"{link}: is not a reference of the store")
    ):
        store.current(KEY, Artefact)
    assert store.references.all() == []  # other keys are read all the same


def test_a_file_manager_opens_the_current_version(store: Store, artefact: Artefact) -> None:
    current = store.root / KEY / "current"
    assert current.resolve() == artefact.folder.resolve()
    assert (current / "a.txt").read_bytes() == FILES["a.txt"]


def test_missing_extra_and_swapped_files_are_named(store: Store, artefact: Artefact) -> None:
    folder, spare = artefact.folder, artefact.folder.parent / "spare"
    shutil.copytree(folder, spare)

    def fault() -> str:
        with pytest.raises(CorruptArtefact) as caught:
            store.reusable(KEY, artefact.derivation, Artefact)
        shutil.rmtree(folder)
        shutil.copytree(spare, folder)
        return str(caught.value)

    (folder / "a.txt").unlink()
    assert f"{folder / 'a.txt'}: is missing" in fault()
    (folder / "deep" / "more").write_bytes(b"")
    assert f"{folder / 'deep/more'}: is not in the manifest" in fault()
    (folder / "a.txt").rename(folder / "c.txt")
    assert "a.txt: is missing" in fault()
    for one, other in (("a.txt", "deep/b.bin"),):
        (folder / one).rename(folder / "spare")
        (folder / other).rename(folder / one)
        (folder / "spare").rename(folder / other)
    assert f"{folder / 'a.txt'}: has 40 bytes, the manifest says 10" in fault()
    (folder / MANIFEST).unlink()
    assert f"{folder / MANIFEST}: cannot be read" in fault()
    with pytest.raises(CorruptArtefact, match="does not list"):
        artefact.read("../current")


def test_a_record_in_the_wrong_place_is_refused(store: Store, artefact: Artefact) -> None:
    record_file(store, artefact).rename(store.root / "records" / f"{'0' * 64}.json")
    with pytest.raises(CorruptArtefact, match="is the record of another derivation"):
        store.record("0" * 64)


# Names decide nothing


def test_two_keys_of_one_derivation_share_all_but_their_references(
    store: Store, artefact: Artefact
) -> None:
    again = make(store, key="other/raw_text")
    assert (again.version, again.folder) == (artefact.version, artefact.folder)
    assert store.keys() == ["other/raw_text", KEY]
    assert len(list((store.root / "records").glob("*.json"))) == 1
    assert [r.first_key for r in store.records("other/raw_text")] == [KEY]
    shutil.rmtree(store.root / "sample")
    assert store.current("other/raw_text", Artefact) == again
    assert debris(store) == []


def test_a_key_without_references_is_referred_to_again(store: Store, artefact: Artefact) -> None:
    shutil.rmtree(store.root / "sample")
    with pytest.raises(StoreError, match="not made yet"):
        store.current(KEY, Artefact)
    with pytest.raises(StoreError, match="no key refers to this version"):
        store.key_of(artefact.version)
    assert make(store) == artefact
    assert store.key_of(artefact.version) == KEY


def test_a_removed_version_is_made_again(store: Store, artefact: Artefact) -> None:
    shutil.rmtree(artefact.folder)
    assert store.reusable(KEY, artefact.derivation, Artefact) is None
    with pytest.raises(StoreError, match="has no version"):
        store.open(KEY, artefact.version, Artefact)
    assert make(store) == artefact
    artefact.verify()


def test_rotten_bytes_give_way_to_the_same_made_anew(store: Store, artefact: Artefact) -> None:
    overwrite(artefact.folder / "a.txt", b"rotten")
    assert make(store, 1).version == artefact.version
    artefact.verify()
    assert debris(store) == []


def test_a_rotten_record_costs_no_good_artefact(store: Store, artefact: Artefact) -> None:
    record = record_file(store, artefact)
    overwrite(record, b"{}")
    inode = artefact.folder.stat().st_ino
    told = decides(1)
    with store.work(KEY, digest(told)) as work:
        draft = work.draft()
        for name, content in FILES.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(content)
        store.publish(KEY, draft, Record(seal(draft), "Artefact", told, (), {}))
    assert artefact.folder.stat().st_ino == inode


# Names


@pytest.mark.parametrize(
    "key",
    [
        *("../out", "a/../b", "a//b", "/a", "a/", "", ".", "a/./b", "~", "a\\b", "A/b", "1a"),
        *("a\0b", "a\n", "a/b\n", "a/" + "b" * 300, "records/raw_text", "objects/x", ".work/x"),
        *("é", "a b", "raw_text/" + "x" * 128, "x" * 64 + "/a", "foundation", "a/b/c"),
    ],
)
def test_a_key_cannot_leave_the_store(store: Store, key: str) -> None:
    for attempt in (
        lambda: store.references.folder(key),
        lambda: store.records(key),
        lambda: store.current(key, Artefact),
    ):
        with pytest.raises(StoreError, match="key="):
            attempt()


@pytest.mark.parametrize(
    "version", ["", "..", "../../x", "0" * 63, "0" * 64 + "\n", "A" * 64, "\0"]
)
def test_a_version_is_a_digest(store: Store, version: str) -> None:
    make(store)
    with pytest.raises(StoreError, match="has no version"):
        store.open(KEY, version, Artefact)
    assert store.record(version) is None


# Interruptions: a process is killed, or a call fails, at each point of publishing in turn

CALLS = """
import json, os, random, signal, time
from pathlib import Path
from pipelines.core.artefact import Artefact
from pipelines.core.identity import digest
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal

KEY = "sample/raw_text"
NAMES = "open fsync rename replace unlink mkdir rmdir chmod stat close truncate write".split()
NAMES.append("symlink")
store = Store(Path({root!r}))

def before_each_call(do):
    count = 0
    def wrapped(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            do(count)
            return real(*args, **kwargs)
        return call
    for name in NAMES:
        setattr(os, name, wrapped(getattr(os, name)))

def decides(number):
    return {{"code": "c", "recipe": {{"n": number}}, "libraries": {{}}, "inputs": {{}}}}

def publish(number):
    told = decides(number)
    with store.work(KEY, digest(told)) as work:
        if store.reusable(KEY, digest(told), Artefact) is not None:
            return
        draft = work.draft()
        (draft / "deep").mkdir()
        (draft / "a").write_bytes(str(number % 7).encode() * 5000)  # versions come back
        (draft / "deep" / "b").write_bytes(b"b" * 100)
        store.publish(KEY, draft, Record(seal(draft), "Artefact", told, (), {{}}))

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child

def killed(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

def check():
    for key in store.keys():
        for version in store.versions(key):
            store.open(key, version, Artefact).verify()
        for record in store.records(key):
            store.open(key, record.version, Artefact, record.derivation).verify()
    if os.path.lexists(store.root / KEY / "current"):
        store.current(KEY, Artefact).verify()
"""


def script(tmp_path: Path, body: str) -> Any:
    """Run a script over the store in ``tmp_path``; what it prints last is its answer, in JSON."""
    text = CALLS.format(root=str(tmp_path / "store")) + body
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_at_any_call_of_publishing_only_whole_artefacts_remain(tmp_path: Path) -> None:
    body = """
point = 0
while True:
    point += 1
    def work():
        before_each_call(lambda n: n == point and os.kill(os.getpid(), signal.SIGKILL))
        publish(point)
    if not killed(in_child(work)):
        break
    check()
publish(point)  # it finds its own, and sweeps what the others left
check()
print(json.dumps(point))
"""
    points = script(tmp_path, body)
    assert points > 40, "the calls of publishing were not met"
    assert debris(Store(tmp_path / "store")) == []


def test_killed_at_random_times_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    body = """
random.seed(5)
acknowledged = Path({acknowledged!r})
for kill in range(25):
    def work():
        for number in range(kill * 1000, kill * 1000 + 1000):
            publish(number)
            with acknowledged.open("a") as file:
                file.write(digest(decides(number)) + "\\n")
    child = in_child(work)
    time.sleep(random.uniform(0.01, 0.3))
    os.kill(child, signal.SIGKILL)
    assert killed(child)
check()
told = acknowledged.read_text().split()
lost = [derivation for derivation in told if store.record(derivation) is None]
publish(10**6)
print(json.dumps([len(told), len(lost)]))
"""
    body = body.replace("{acknowledged!r}", repr(str(tmp_path / "acknowledged")))
    told, lost = script(tmp_path, body)
    assert lost == 0
    assert told > 0
    assert debris(Store(tmp_path / "store")) == []


def test_killed_at_any_call_of_a_save_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    body = """
derivation, seen = "d" * 64, set()
with store.work(KEY, derivation) as area:
    area.save_checkpoint(1, [b"1" * 3000], {"step": 1})
    point = 0
    while True:
        point += 1
        def work():
            before_each_call(lambda n: n == point and os.kill(os.getpid(), signal.SIGKILL))
            area.save_checkpoint(point + 1, [b"%d" % (point + 1) * 1000] * 3, {"step": point + 1})
        finished = not killed(in_child(work))
        tensors, notes = area.load_checkpoint()
        assert tensors == b"%d" % notes["step"] * 3000
        assert notes["step"] <= point + 1
        seen.add(notes["step"])
        if finished:
            break
    files = sorted(path.name for path in area.folder.iterdir())
print(json.dumps([point, sorted(seen), files]))
"""
    points, seen, files = script(tmp_path, body)
    assert points > 10
    assert seen[-1] == points + 1
    assert files == ["checkpoint.json", f"step-{points + 1:08d}.safetensors"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_call_that_fails_publishes_all_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    point, met = 0, True
    while met:
        point += 1
        with monkeypatch.context() as patch, contextlib.suppress(OSError):
            calls = fail_at(patch, point, code)
            make(store, point, {"a": b"%d" % point})
        met = len(calls) >= point
        for version in store.versions(KEY):
            store.open(KEY, version, Artefact).verify()
        make(store, point, {"a": b"%d" % point}).verify()
    assert point > 10
    assert debris(store) == []


def fail_at(patch: pytest.MonkeyPatch, point: int, code: int) -> list[str]:
    """Let the call number ``point`` that changes the disk fail; the calls as they come."""
    calls: list[str] = []

    def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) == point:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "rename", "replace", "mkdir", "chmod", "symlink"):
        patch.setattr(os, name, failing(name, getattr(os, name)))
    return calls


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small disk of its own, remounted with any options; skips where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode != 0:
            pytest.skip("mounting is not allowed here")
        return folder

    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("no mount on this system")
    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


def test_a_full_disk_keeps_what_was_there(mounted: Callable[[str], Path]) -> None:
    store = Store(mounted("size=256k") / "store")
    old = make(store, 1)
    with pytest.raises(OSError, match="No space left") as caught:
        make(store, 2, {"big": b"x" * 300_000})
    assert caught.value.errno == errno.ENOSPC
    assert debris(store) == []
    assert store.versions(KEY) == [old.version]
    old.verify()
    make(store, 3, {"small": b"x"}).verify()


def test_a_read_only_store_is_told_at_once_and_can_be_read(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=1m")
    store = Store(folder / "store")
    artefact = make(store)
    store.require_writable()
    mounted("remount,ro,size=1m")
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only.*DRAGON_STORE"):
        store.require_writable()
    assert store.reusable(KEY, artefact.derivation, Artefact) == artefact


def test_a_store_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\); make it"):
        Store(tmp_path / "file" / "store").require_writable()


# Together


def test_two_processes_make_one_derivation_once(tmp_path: Path) -> None:
    body = """
made = Path({made!r})
def work():
    told = decides(1)
    with store.work(KEY, digest(told)) as area:
        if store.reusable(KEY, digest(told), Artefact) is None:
            with made.open("a") as file:
                file.write("x")
            draft = area.draft()
            (draft / "a").write_bytes(os.urandom(8))
            time.sleep(0.2)
            store.publish(KEY, draft, Record(seal(draft), "Artefact", told, (), {}))
children = [in_child(work) for _ in range(6)]
assert not any(killed(child) for child in children)
check()
print(json.dumps([made.read_text(), store.versions(KEY)]))
"""
    made, versions = script(tmp_path, body.replace("{made!r}", repr(str(tmp_path / "made"))))
    assert made == "x"
    assert len(versions) == 1
    assert debris(Store(tmp_path / "store")) == []


def test_many_derivations_of_one_version_go_together(store: Store) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            make(store, number)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(store.records(KEY)) == 12
    assert len(store.versions(KEY)) == 1
    store.current(KEY, Artefact).verify()


def test_who_waits_is_told_for_whom(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="dragon")
    began, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with store.work(KEY, "d" * 64):
            began.set()
            finish.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert began.wait(10)
    waiter = threading.Thread(target=lambda: make_nothing(store))
    waiter.start()
    deadline = time.monotonic() + 10
    while f"waiting for process {os.getpid()}" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    finish.set()
    holder.join()
    waiter.join()
    assert debris(store) == []


def make_nothing(store: Store) -> None:
    with store.work(KEY, "d" * 64):
        pass


def test_a_sweep_spares_who_is_at_work(store: Store) -> None:
    with store.work(KEY, "d" * 64) as work:
        draft = work.draft()
        (draft / "a").write_bytes(b"a")
        make(store, 1)  # another derivation begins and ends meanwhile
        assert (draft / "a").read_bytes() == b"a"


# Checkpoints


def test_a_checkpoint_is_read_back_until_the_work_is_done(store: Store) -> None:
    def interrupted() -> None:
        with store.work(KEY, "d" * 64) as work:
            assert work.load_checkpoint() is None
            work.save_checkpoint(1, [b"one"], {"step": 1})
            work.save_checkpoint(2, [b"two"], {"step": 2, "curve": [1.5]})
            (work.draft() / "half").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with store.work(KEY, "d" * 64) as work:
        assert work.load_checkpoint() == (b"two", {"step": 2, "curve": [1.5]})
        assert len(list(work.folder.iterdir())) == 2
        assert list(work.draft().iterdir()) == []
    with store.work(KEY, "d" * 64) as work:
        assert work.load_checkpoint() is None
    assert debris(store) == []


@pytest.mark.parametrize("change", CHANGES, ids=["low bit", "high bit", "cut", "byte lost"])
@pytest.mark.parametrize("name", ["checkpoint.json", "step-00000001.safetensors"])
def test_every_changed_byte_of_a_checkpoint_is_seen(
    store: Store, name: str, change: Callable[[bytes, int], bytes]
) -> None:
    with store.work(KEY, "d" * 64) as work:
        work.save_checkpoint(1, [bytes(range(50))], {"step": 1})
        path = work.folder / name
        content = path.read_bytes()
        for position in range(len(content)):
            path.write_bytes(change(content, position))
            with pytest.raises(CorruptArtefact, match=r"remove .* to train from the start"):
                work.load_checkpoint()
        path.unlink()
        if name != "checkpoint.json":
            with pytest.raises(CorruptArtefact, match="is not a checkpoint"):
                work.load_checkpoint()


def test_a_reader_meets_a_writer_that_removes_what_it_reads(store: Store) -> None:
    """Each read gives one whole state, with the notes of that state."""
    with store.work(KEY, "d" * 64) as work:
        work.save_checkpoint(0, [b"0"], {"step": 0})
        ended = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not ended.is_set():
                held = Work(work.folder).load_checkpoint()
                assert held is not None
                assert held[0] == b"%d" % held[1]["step"] * 1000 or held[1]["step"] == 0
                seen.append(held[1]["step"])

        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(read) for _ in range(2)]
            for step in range(1, 300):
                work.save_checkpoint(step, [b"%d" % step * 1000], {"step": step})
            ended.set()
            for one in reading:
                one.result()
        assert len(set(seen)) > 5
        assert len(list(work.folder.iterdir())) == 2


def test_a_reader_that_is_overtaken_reads_the_newer_state(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.work(KEY, "d" * 64) as work:
        work.save_checkpoint(1, [b"one"], {"step": 1})
        real, overtaken = work_module.checkpoint_state, []

        def slow(pointer: Path) -> dict[str, Any]:
            told = real(pointer)
            if not overtaken:
                overtaken.append(work.save_checkpoint(2, [b"two"], {"step": 2}))
            return told

        monkeypatch.setattr(work_module, "checkpoint_state", slow)
        assert work.load_checkpoint() == (b"two", {"step": 2})


# Files beside a version


def watched(store: Store, curve: bytes) -> Artefact:
    """A version of the same bytes and derivation, whose making told ``curve``."""
    told = decides()
    with store.work(KEY, digest(told)) as work:
        draft = work.draft()
        (draft / "a.txt").write_bytes(b"text")
        beside = {"curve.json": hashlib.sha256(curve).hexdigest()}
        record = Record(seal(draft), "Artefact", told, (), {"key": KEY, "beside": beside})
        store.publish(KEY, draft, record, beside={"curve.json": curve})
    return store.current(KEY, Artefact)


def test_a_file_beside_a_version_is_no_part_of_it(store: Store) -> None:
    first = watched(store, b"[1]")
    assert first.beside is not None
    assert first.beside.read("curve.json") == b"[1]"
    assert first.beside.read("other.json") is None
    second = watched(store, b"[1, 2]")
    assert (second.version, second.derivation) == (first.version, first.derivation)
    assert second.beside is not None
    assert second.beside.read("curve.json") == b"[1, 2]"
    second.verify()
    assert list(second.files) == ["a.txt"]


@pytest.mark.parametrize("change", [*CHANGES, None], ids=["low", "high", "cut", "lost", "gone"])
def test_a_changed_file_beside_a_version_is_named(
    store: Store, change: Callable[[bytes, int], bytes] | None
) -> None:
    artefact = watched(store, b"[1, 2, 3]")
    assert artefact.beside is not None
    (path,) = (store.root / "records" / "beside").iterdir()
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes(), 4))
    record = record_file(store, artefact)
    with pytest.raises(CorruptArtefact, match=f"{path}: .*remove {record} and run again"):
        artefact.beside.read("curve.json")
    artefact.verify()


def test_a_record_names_no_file_elsewhere(store: Store) -> None:
    artefact = watched(store, b"[]")
    path = forge(store, artefact, made={"key": KEY, "beside": {"curve.json": "../../x"}})
    with pytest.raises(CorruptArtefact, match="has not the fields of a record"):
        store.record(path.stem)


# What a folder can hold beside files


def plant(path: Path, kind: str) -> None:
    """Something that is no file, in the place of ``path``."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        outside = path.parents[6 if "deep" in path.parts else 5] / f"outside {uuid.uuid4().hex}"
        outside.write_bytes(b"some text\n")
        path.symlink_to(outside)


KINDS_OF_NO_FILE = ["pipe", "folder", "link", "dangling link", "link to a device"]


@pytest.mark.parametrize("kind", KINDS_OF_NO_FILE)
@pytest.mark.parametrize("place", ["more", "deep/more"])
def test_what_lies_in_an_artefact_and_is_no_file_is_named(
    artefact: Artefact, kind: str, place: str
) -> None:
    plant(artefact.folder / place, kind)
    with pytest.raises(CorruptArtefact, match=re.escape(str(artefact.folder / place))):
        artefact.verify()


@pytest.mark.parametrize("kind", KINDS_OF_NO_FILE)
@pytest.mark.parametrize("name", ["a.txt", "deep/b.bin", MANIFEST])
def test_what_stands_for_a_file_and_is_none_is_never_read(
    store: Store, artefact: Artefact, kind: str, name: str
) -> None:
    (artefact.folder / name).unlink()
    plant(artefact.folder / name, kind)

    def read() -> None:
        found = store.open(KEY, artefact.version, Artefact, artefact.derivation)
        found.read(name)

    with pytest.raises(CorruptArtefact, match=re.escape(str(artefact.folder / name))):
        read()
    with pytest.raises(CorruptArtefact, match=re.escape(str(artefact.folder / name))):
        store.reusable(KEY, artefact.derivation, Artefact)


def test_a_folder_that_leads_out_is_no_part_of_an_artefact(artefact: Artefact) -> None:
    deep = artefact.folder / "deep"
    shutil.move(deep, artefact.folder.parents[2] / "elsewhere")
    deep.symlink_to(artefact.folder.parents[2] / "elsewhere")
    for read in (artefact.verify, lambda: artefact.read("deep/b.bin")):
        with pytest.raises(CorruptArtefact, match=re.escape(str(deep))):
            read()


def test_nothing_but_files_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "link").symlink_to("/etc/hostname")
    with pytest.raises(CorruptArtefact, match="link: is neither a file nor a folder"):
        seal(tmp_path / "draft")


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a device"])
@pytest.mark.parametrize("which", ["record", "current"])
def test_a_record_is_a_file_and_a_reference_a_link(
    store: Store, artefact: Artefact, kind: str, which: str
) -> None:
    folder = store.references.folder(KEY)
    path = record_file(store, artefact) if which == "record" else folder / "current"
    path.unlink()
    plant(path, kind)
    with pytest.raises(CorruptArtefact, match=re.escape(str(path))):
        store.current(KEY, Artefact)


PATHS = [
    *("../../../../outside.txt", "/etc/passwd", "a/../../b", "", ".", "a//b", "a/", "a\0b"),
    *("..\\b", 7, None, ["a"]),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_manifest_lists_no_path_that_leaves(store: Store, artefact: Artefact, path: Any) -> None:
    entry = {"path": path, "size": 3, "sha256": "0" * 64}
    forged = manifest_of(store, artefact, {"files": [entry]})
    with pytest.raises(CorruptArtefact, match="is not a manifest"):
        store.open(KEY, forged, Artefact)


@pytest.mark.parametrize(
    "content",
    [
        *([], {}, {"files": {}}, {"files": [[]]}, {"files": ["a"]}, "text", 3),
        {"files": [{"path": "a", "size": -1, "sha256": "0" * 64}]},
        {"files": [{"path": "a", "size": True, "sha256": "0" * 64}]},
        {"files": [{"path": "a", "size": 1, "sha256": "../x"}]},
        {"files": [{"path": "a", "size": 1}]},
    ],
)
def test_a_manifest_of_another_shape_is_named(
    store: Store, artefact: Artefact, content: Any
) -> None:
    forged = manifest_of(store, artefact, content)
    with pytest.raises(CorruptArtefact, match=r"manifest\.json: is not a manifest"):
        store.open(KEY, forged, Artefact)


def manifest_of(store: Store, artefact: Artefact, content: Any) -> str:
    """A version whose manifest says ``content``, as somebody could write it by hand."""
    manifest = canonical(content)
    version = hashlib.sha256(manifest).hexdigest()
    folder = store.folder(version)
    shutil.copytree(artefact.folder, folder)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(manifest)
    return version


# Records


def forge(store: Store, artefact: Artefact, **changes: Any) -> Path:
    """Rewrite a record by hand, its own digest made to fit."""
    path = record_file(store, artefact)
    content = json.loads(path.read_bytes()) | changes
    del content["digest"]
    path = path.with_name(f"{digest(content['decides'])}.json")
    path.write_bytes(canonical({**content, "digest": digest(content)}))
    return path


SHAPES: list[dict[str, Any]] = [
    {"decides": []},
    {"decides": "text"},
    {"decides": {"code": "c"}},
    {"makes": 3},
    {"decides": decides() | {"recipe": []}},
    {"decides": decides() | {"inputs": {"a": 3}}},
    {"parents": [{"input": "a"}]},
    {"parents": [{"input": 3, "version": "0" * 64, "derivation": "0" * 64}]},
    {"parents": [{"input": "a", "version": "../..", "derivation": "0" * 64}]},
    {"parents": {"input": "a"}},
    {"version": "../../x"},
    {"version": None},
    {"made": []},
    {"more": 1},
]


@pytest.mark.parametrize("changes", SHAPES, ids=map(str, range(len(SHAPES))))
def test_a_record_of_another_shape_is_named(
    store: Store, artefact: Artefact, changes: dict[str, Any]
) -> None:
    path = forge(store, artefact, **changes)
    with pytest.raises(CorruptArtefact, match=re.escape(str(path))):
        store.record(path.stem)


def test_a_bad_record_does_not_stand_in_the_way_of_a_good_one(
    store: Store, artefact: Artefact, caplog: pytest.LogCaptureFixture
) -> None:
    other = make(store, 1)
    bad = record_file(store, other)
    overwrite(bad, b"{}")
    assert [record.derivation for record in store.records(KEY)] == [artefact.derivation]
    assert str(bad) in caplog.text
    assert store.open(KEY, artefact.version, Artefact) == artefact
    record_file(store, artefact).unlink()
    with pytest.raises(CorruptArtefact, match=re.escape(str(bad))):  # it may have been the one
        store.open(KEY, artefact.version, Artefact)


def test_both_versions_of_a_derivation_that_came_out_twice_keep_a_record(
    store: Store, artefact: Artefact, caplog: pytest.LogCaptureFixture
) -> None:
    with store.work(KEY, artefact.derivation) as work:
        draft = work.draft()
        (draft / "a.txt").write_bytes(b"other bytes")
        now = Record(seal(draft), "Artefact", decides(), (), {"processor": "another"})
        store.publish(KEY, draft, now)
    assert "the same derivation made version" in caplog.text
    for version in (artefact.version, now.version):
        record = store.record(artefact.derivation, version)
        assert record is not None
        assert record.version == version
        assert [r.version for r in store.records(KEY, version)] == [version]
    assert store.current(KEY, Artefact).version == now.version
    assert store.records(KEY)[0].version == now.version  # the current one first


def test_a_folder_that_no_key_can_have_is_none(store: Store, artefact: Artefact) -> None:
    for folder in ("Foo/bar", "foo/Bar", "foo/bar/baz", "foo/empty"):
        (store.root / folder).mkdir(parents=True)
    assert store.keys() == [KEY]
    assert store.find("0" * 64) is None
    artefact.verify()


# A store of several users, and one that can only be read


def test_a_work_area_whose_derivation_has_its_record_is_swept(store: Store) -> None:
    derivation = digest(decides())
    with contextlib.suppress(KeyboardInterrupt), store.work(KEY, derivation) as work:
        work.save_checkpoint(3, [b"state"], {"step": 3})
        draft = work.draft()
        (draft / "a.txt").write_bytes(b"text")
        store.publish(KEY, draft, Record(seal(draft), "Artefact", decides(), (), {}))
        raise KeyboardInterrupt  # as a kill between publishing and the end
    assert (store.root / ".work" / derivation / "checkpoint.json").exists()
    store.sweep()
    assert [path.name for path in (store.root / ".work").iterdir()] == ["lock"]


def test_a_work_area_that_is_still_wanted_stays(store: Store, artefact: Artefact) -> None:
    with contextlib.suppress(KeyboardInterrupt), store.work(KEY, "d" * 64) as work:
        work.save_checkpoint(3, [b"state"], {"step": 3})
        raise KeyboardInterrupt
    store.sweep()
    make(store, 5, {"b": b"other"}).verify()
    artefact.verify()
    assert (store.root / ".work" / ("d" * 64) / "checkpoint.json").exists()


def unfinished(store: Store, derivation: str, key: str = KEY) -> Path:
    """The work area of a training that was interrupted."""
    with contextlib.suppress(KeyboardInterrupt), store.work(key, derivation) as work:
        work.save_checkpoint(3, [b"state"], {"step": 3, "key": key})
        raise KeyboardInterrupt
    return store.root / ".work" / derivation


def age(area: Path, days: float) -> None:
    """Let all in a work area have been changed so many days ago."""
    then = time.time() - days * 86_400
    for path in (*area.iterdir(), area):
        os.utime(path, (then, then))


def test_work_that_nobody_went_on_with_for_long_is_swept(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    old, young, own = (unfinished(store, letter * 64) for letter in "def")
    for area, days in ((old, 31), (young, 29), (own, 400)):
        age(area, days)
    with caplog.at_level(logging.INFO, "dragon.store"), store.work(KEY, own.name) as work:
        assert work.load_checkpoint() is not None  # who goes on with it finds it
        assert not old.exists()
        assert young.exists()
    told = f"{old}: removes this unfinished work, since nobody has worked on it for 30 days"
    assert caplog.messages == [told]


def test_work_on_an_asset_that_was_made_otherwise_since_is_swept(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    area, other = unfinished(store, "d" * 64), unfinished(store, "e" * 64, "sample/documents")
    age(area, 0.1)
    age(other, 0.1)
    now = make(store, 5)
    with caplog.at_level(logging.INFO, "dragon.store"):
        after = unfinished(store, "f" * 64)  # it sweeps first
        os.utime(after / "checkpoint.json", (time.time() + 9, time.time() + 9))
        store.sweep()
    assert not area.exists()
    assert other.exists()
    assert after.exists()
    made = f"{KEY} was made otherwise since, by derivation {now.derivation[:12]}"
    assert caplog.messages == [f"{area}: removes this unfinished work, since {made}"]


def test_no_work_is_swept_while_somebody_works(store: Store) -> None:
    area = unfinished(store, "d" * 64)
    age(area, 100)
    with store.work(KEY, area.name) as work:
        store.sweep()
        assert work.load_checkpoint() is not None
        assert area.exists()


def test_a_read_only_store_serves_what_is_not_current(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=1m")
    store = Store(folder / "store")
    first, second = make(store, 1), make(store, 2, {"a": b"2"})
    mounted("remount,ro,size=1m")
    assert store.reusable(KEY, first.derivation, Artefact) == first
    store.sweep()
    assert store.current(KEY, Artefact) == second


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")
def test_two_users_of_a_group_share_a_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    shared = Path(tempfile.gettempdir()).resolve()
    for above in itertools.takewhile(lambda path: path != shared, [root, *root.parents]):
        above.chmod(above.stat().st_mode | 0o055)
    os.chown(root, 0, 4242)
    root.chmod(0o2775)

    def as_user(user: int, number: int) -> None:
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                os.setgroups([4242])
                os.setgid(4242)
                os.setuid(user)
                os.umask(0o022)
                make(Store(root), number, {"a": b"%d" % number}).verify()
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0, (user, number)

    def interrupted(user: int) -> None:
        """A user's work that was killed in the middle, with a draft, parts and a checkpoint."""
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                os.setgroups([4242])
                os.setgid(4242)
                os.setuid(user)
                os.umask(0o022)
                with Store(root).work(KEY, digest(decides(0))) as work:
                    (work.draft() / "half").write_bytes(b"half")
                    (work.parts() / "part").write_bytes(b"part")
                    work.save_checkpoint(1, [b"state"], {"step": 1})
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL

    interrupted(1002)
    for number, user in enumerate([1001, 1002, 1001, 1002]):
        as_user(user, number)
    as_user(1002, 0)  # made by the other one
    assert len(Store(root).versions(KEY)) == 4


# What lies where references and versions belong


def test_a_folder_in_place_of_a_reference_is_told_before_the_work(store: Store) -> None:
    place = store.references.folder(KEY) / "current"
    place.mkdir(parents=True)
    with pytest.raises(CorruptArtefact, match=re.escape(f"{place}: is not a reference")):
        store.require_writable(KEY)
    with pytest.raises(CorruptArtefact, match="move it away"):
        make(store)
    place.rmdir()
    (store.root / "sample").rename(store.root.parent / "away")
    (store.root / "sample").symlink_to(store.root.parent / "away")
    with pytest.raises(StoreError, match="a link, but it must be a folder"):
        Store(store.root)
    with pytest.raises(CorruptArtefact, match="is not a folder"):
        store.require_writable(KEY)


@pytest.mark.parametrize("kind", ["file", "dangling link", "link"])
def test_what_stands_for_a_version_gives_way_or_is_named(
    store: Store, artefact: Artefact, kind: str
) -> None:
    away = store.root.parent / "away"
    artefact.folder.rename(away)
    if kind == "file":
        artefact.folder.write_text("no folder")
    else:
        artefact.folder.symlink_to("nowhere" if kind == "dangling link" else away)
    if kind == "file":
        assert make(store).version == artefact.version
        artefact.verify()
    else:
        with pytest.raises(CorruptArtefact, match="a link, but it must be a folder"):
            make(store)


def test_a_strange_file_among_the_records_is_no_record(store: Store, artefact: Artefact) -> None:
    strange = store.root / "records" / f"{artefact.derivation}.bak.json"
    strange.write_text("{}")
    assert store.versions(KEY) == [artefact.version]
    assert [record.version for record in store.records(KEY)] == [artefact.version]


def test_reading_a_key_does_not_grow_with_the_versions_of_others(store: Store) -> None:
    """Each version that is opened costs one look through the names of the records, not more."""
    made = [make(store, number, {"a": b"%d" % number}) for number in range(40)]
    looks: list[Path] = []
    listdir = os.listdir

    def counted(path: Path) -> list[str]:
        looks.append(path)
        return listdir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "listdir", counted)
        assert len(store.versions(KEY)) == 40
        store.open(KEY, made[7].version, Artefact)
    assert len([path for path in looks if path.name == "records"]) == 2
