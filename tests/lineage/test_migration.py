"""A store of the layout before keys had two parts: told apart, moved whole, and lost nowhere."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli.ls import ls
from pipelines.cli.migrate import migrate as command
from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.lineage.migration import migrate
from pipelines.lineage.trace import locate, trace

# Earlier keys, today's, and what each was made from.
KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "raw_text/talk": ("talk/raw_text", ()),
    "documents/talk": ("talk/documents", ("raw_text/talk",)),
    "word_vectors/talk": ("talk/word_vectors", ("documents/talk",)),
    "evaluation/word_vectors/talk": ("talk/word_vectors_evaluation", ("word_vectors/talk",)),
    "examples/reply": ("talk/reply_examples", ("documents/talk",)),
    "contamination/small": ("small/contamination", ("documents/talk",)),
    "tokenizer/small": ("small/tokenizer", ("documents/talk",)),
    "token_shards/small": ("small/token_shards", ("documents/talk", "tokenizer/small")),
    "token_shards/small/law": ("small/law_token_shards", ("documents/talk", "tokenizer/small")),
    "weights/small": ("small/weights", ()),
    "foundation/small": ("small/foundation", ("token_shards/small", "tokenizer/small")),
    "evaluation/foundation/small": ("small/foundation_evaluation", ("foundation/small",)),
    "evaluation/attention_ladder/small": ("small/attention_ladder", ("token_shards/small",)),
    "assistant/small/reply": ("small/reply_assistant", ("foundation/small", "examples/reply")),
    "evaluation/assistant/small/reply": ("small/reply_evaluation", ("assistant/small/reply",)),
    "classifier/small/spam": ("small/spam_classifier", ("foundation/small",)),
    "evaluation/classifier/small/spam": ("small/spam_evaluation", ("classifier/small/spam",)),
    "domain/small/law": ("small/law_domain", ("token_shards/small/law",)),
    "evaluation/domain/small/law": ("small/law_evaluation", ("domain/small/law",)),
    "translator/small/fr": ("small/fr_translator", ("tokenizer/small",)),
    "assistant/small/fr": ("small/fr_assistant", ("foundation/small",)),
    "evaluation/translator/small/fr": ("small/fr_evaluation", ("translator/small/fr",)),
    "evaluation/assistant/small/fr": ("small/fr_assistant_evaluation", ("assistant/small/fr",)),
    "report/small": ("small/report", ("foundation/small",)),
}


def lay_out(root: Path) -> None:
    """A store as it was before."""
    made: dict[str, dict[str, str]] = {}
    for key, (_, inputs) in KEYS.items():
        for number in range(2):  # an earlier version of each, and the current one
            parents = [made[name] for name in inputs]
            decides = {"key": key, "recipe": {"n": number, "kind": "generated", "licence": "MIT"}}
            decides |= {"inputs": {p["key"]: p["version"] for p in parents}}
            version = version_of(root / key, f"{key} {number}")
            link = write_record(root / key, version, decides, parents)
            made[key] = {"key": key, "version": version, "derivation": link}
            pointer = {"version": version, "derivation": link}
            (root / key / "current").write_bytes(canonical(pointer))
    (root / ".work" / ("d" * 64)).mkdir(parents=True)
    (root / ".work" / ("d" * 64) / "key").write_text("foundation/small")


def version_of(folder: Path, text: str) -> str:
    draft = folder / "draft"
    (draft / "deep").mkdir(parents=True)
    (draft / "deep" / "a.txt").write_text(text)
    version = seal(draft)
    draft.rename(folder / version)
    return version


def write_record(
    folder: Path, version: str, decides: dict[str, Any], parents: list[dict[str, str]]
) -> str:
    content = {"version": version, "decides": decides, "parents": parents, "made": {"seconds": 1}}
    (folder / "records").mkdir(exist_ok=True)
    path = folder / "records" / f"{digest(decides)}.json"
    path.write_bytes(canonical({**content, "digest": digest(content)}))
    return path.stem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay_out(tmp_path / "store")
    return tmp_path / "store"


def content_of(root: Path) -> dict[str, str]:
    """Every file and link of a store, but what lies in its working area."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(".work"):
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def texts_of(root: Path) -> dict[str, str]:
    """What the files of all versions say, by version."""
    files = (path for path in root.rglob("a.txt") if not path.parents[1].is_symlink())
    return {path.parents[1].name: path.read_text() for path in files}


def test_an_earlier_store_is_told_apart_in_one_line(root: Path) -> None:
    before = content_of(root)
    with pytest.raises(StoreError, match="earlier version of dragon; run dragon migrate"):
        Store(root)
    assert content_of(root) == before


def test_every_version_record_and_name_is_there_afterwards(root: Path) -> None:
    texts = texts_of(root)
    current = {key: json.loads((root / key / "current").read_bytes()) for key in KEYS}
    moved = list(migrate(root))
    assert {(move.earlier, move.key, move.records) for move in moved} == {
        (earlier, key, 2) for earlier, (key, _) in KEYS.items()
    }
    store = Store(root)
    assert store.keys() == sorted(key for key, _ in KEYS.values())
    assert texts_of(root) == texts
    assert len(texts) == 2 * len(KEYS)
    for earlier, (key, inputs) in KEYS.items():
        artefact = store.current(key, Artefact)
        pointer = {"version": artefact.version, "derivation": artefact.derivation}
        assert pointer == current[earlier]
        assert len(store.versions(key)) == 2
        node = trace(store, locate(store, key))
        assert [parent.artefact.key for parent in node.parents] == [KEYS[n][0] for n in inputs]
        assert node.record.decides["key"] == earlier
    assert not list((root / ".work").glob("*/key"))
    assert {path.name for path in root.iterdir()} == {
        *(".work", "objects", "records", "talk", "small")
    }


def test_a_second_move_changes_nothing(root: Path) -> None:
    list(migrate(root))
    before = content_of(root)
    assert list(migrate(root)) == []
    assert content_of(root) == before


def test_a_move_that_was_killed_is_made_whole_by_the_next(tmp_path: Path) -> None:
    """Killed at each call that changes the disk, in a store that has one key of each shape."""
    keys = ("raw_text/talk", "documents/talk", "examples/reply", "evaluation/word_vectors/talk")
    lay_out(tmp_path / "whole")
    for path in [*(tmp_path / "whole").glob("*/*")]:
        if path.relative_to(tmp_path / "whole").as_posix() not in (
            *keys,
            "evaluation/word_vectors",
        ):
            shutil.rmtree(path)
    shutil.copytree(tmp_path / "whole", tmp_path / "straight")
    list(migrate(tmp_path / "straight"))
    expected, point = content_of(tmp_path / "straight"), 0
    while True:
        point += 7  # a prime: another call of each key's move in each turn
        place = shutil.copytree(tmp_path / "whole", tmp_path / f"at {point}")
        finished = not is_killed_at(point, place)
        list(migrate(place))
        assert content_of(place) == expected, point
        shutil.rmtree(place)
        if finished:
            break
    assert point > 70, "the calls of the move were not met"


def is_killed_at(point: int, root: Path) -> bool:
    """Whether a process that moves the store is killed at its call of this number."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return call

        for name in ("rename", "replace", "unlink", "mkdir", "rmdir", "fsync", "symlink"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            list(migrate(root))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_bad_records_are_named_and_nothing_of_their_key_is_removed(root: Path) -> None:
    record = min((root / "foundation/small/records").iterdir())
    record.write_bytes(record.read_bytes().replace(b'"seconds":1', b'"seconds":2'))
    told = f"{record.name}: is not a record .*digest does not fit"
    with pytest.raises(CorruptArtefact, match=told):
        list(migrate(root))
    assert record.exists()
    record.unlink()
    list(migrate(root))
    assert len(Store(root).versions("small/foundation")) == 1


def test_a_rotten_version_moves_as_it_is_and_is_told_when_it_is_used(root: Path) -> None:
    version = json.loads((root / "report/small/current").read_bytes())["version"]
    (root / "report/small" / version / "deep" / "a.txt").write_text("rotten")
    list(migrate(root))
    with pytest.raises(CorruptArtefact, match=r"deep/a\.txt"):
        Store(root).current("small/report", Artefact).verify()


def test_what_dragon_never_made_is_named_and_files_of_others_stay(root: Path) -> None:
    (root / "foundation/small/notes.txt").write_text("mine")
    (root / "foundation/README").write_text("mine too")
    strange = root / "poems" / "of_spring" / "records"
    strange.mkdir(parents=True)
    with pytest.raises(StoreError, match="poems/of_spring: is not of a kind"):
        list(migrate(root))
    strange.rmdir()
    list(migrate(root))
    assert (root / ".earlier/foundation/small/notes.txt").read_text() == "mine"
    assert (root / ".earlier/foundation/README").read_text() == "mine too"
    Store(root)


@pytest.fixture
def writing(root: Path) -> Iterator[None]:
    """Another process that publishes."""
    with (root / ".work" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@pytest.mark.usefixtures("writing")
def test_a_store_that_is_written_is_left_alone(root: Path) -> None:
    before = content_of(root)
    with pytest.raises(StoreError, match="another process is writing"):
        list(migrate(root))
    assert content_of(root) == before


def test_the_command_moves_a_store_and_says_what_became_of_each_key(root: Path) -> None:
    run = CliRunner()
    refused = run.invoke(ls, ["--store", str(root)])
    assert "dragon migrate" in str(refused.exception)
    said = run.invoke(command, ["--store", str(root)])
    assert said.exit_code == 0, said.output
    assert len(said.output.splitlines()) == len(KEYS) + 1
    for earlier, (key, _) in KEYS.items():
        assert re.search(rf"^{earlier} +-> {key} +2 records$", said.output, re.MULTILINE)
    again = run.invoke(command, ["--store", str(root)])
    assert again.output == f"{root}: has today's layout already\n"
    listed = run.invoke(ls, ["--store", str(root)])
    head, *lines = listed.output.splitlines()
    assert head.split()[0] == "ASSET"
    assert sorted(line.split()[0] for line in lines) == Store(root).keys()


def laid_out(
    root: Path, earlier: str, numbers: range = range(1), inputs: tuple[Any, ...] = ()
) -> None:
    """One earlier key with a version and a record for each number; the last one is current."""
    for number in numbers:
        decides = {"key": earlier, "recipe": {"n": number}}
        decides |= {"inputs": {p["key"]: p["version"] for p in inputs}}
        version = version_of(root / earlier, f"{earlier} {number}")
        derivation = write_record(root / earlier, version, decides, list(inputs))
        pointer = {"version": version, "derivation": derivation}
        (root / earlier / "current").write_bytes(canonical(pointer))


@pytest.mark.parametrize(
    "earlier", ["documents/documents", "foundation/foundation", "report/report"]
)
def test_a_key_that_is_the_same_today_keeps_its_current_version(
    tmp_path: Path, earlier: str
) -> None:
    laid_out(tmp_path, earlier, range(3))
    pointer = json.loads((tmp_path / earlier / "current").read_bytes())
    list(migrate(tmp_path))
    list(migrate(tmp_path))
    assert Store(tmp_path).current(earlier, Artefact).version == pointer["version"]
    assert len(Store(tmp_path).versions(earlier)) == 3


def test_versions_without_records_move_too(root: Path) -> None:
    texts = texts_of(root)
    shutil.rmtree(root / "foundation/small/records")
    with pytest.raises(StoreError, match="dragon migrate"):
        Store(root)
    assert ("foundation/small", "", 0) in list(migrate(root))
    assert texts_of(root) == texts
    assert Store(root).versions("small/foundation") == []


@pytest.mark.parametrize("place", ["foundation", "foundation/small", "foundation/small/records"])
def test_a_link_in_place_of_a_folder_is_named_and_nothing_moves(root: Path, place: str) -> None:
    away = root.parent / "away"
    (root / place).rename(away)
    (root / place).symlink_to(away)
    before = content_of(root)
    with pytest.raises(StoreError, match=rf"{place}: a link"):
        list(migrate(root))
    assert content_of(root) == before


def test_examples_are_of_the_corpus_that_each_was_made_from(tmp_path: Path) -> None:
    for number, corpus in enumerate(("first", "second")):
        laid_out(tmp_path, f"documents/{corpus}")
        pointer = json.loads((tmp_path / f"documents/{corpus}/current").read_bytes())
        laid_out(
            tmp_path,
            "examples/reply",
            range(number, number + 1),
            ({"key": f"documents/{corpus}", **pointer},),
        )
    list(migrate(tmp_path))
    keys = Store(tmp_path).keys()
    assert keys[1::2] == ["first/reply_examples", "second/reply_examples"]


def test_what_is_no_key_today_is_told_before_anything_moves(tmp_path: Path) -> None:
    laid_out(tmp_path, "documents/talk")
    laid_out(tmp_path, "raw_text/objects")
    before = content_of(tmp_path)
    with pytest.raises(StoreError, match="objects/raw_text"):
        list(migrate(tmp_path))
    assert content_of(tmp_path) == before
