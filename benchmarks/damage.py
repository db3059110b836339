"""Random damage to a finished store: each is to be found, told in one line and ended soon.

Run it as ``python benchmarks/damage.py STORE KEY --flips 10000 --others 1000``. The store is
copied first. One file of the lineage of KEY at a time is damaged (a bit flipped; cut; appended to;
its bytes exchanged with another file's; replaced by a link, a pipe, a folder; removed; something
planted beside it). The lineage is traced as ``dragon trace KEY`` does, and the file is read as its
users read it from an artefact that they opened before; then the damage is taken back. A damage is
missed when the trace ends well or its users get the bytes, unnamed when the message names neither
the file nor its artefact, a crash when the error is none of ours, and a hang when it takes over
twenty seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.core.artefact import MANIFEST, Artefact
from pipelines.core.store import Store
from pipelines.lineage.trace import locate, trace
from pipelines.lineage.tree import tree
from pipelines.lineage.views import open_version
from pipelines.tokens.artefacts import TokenShards

SECONDS = 20
Damage = Callable[[Path, random.Random], None]


def flip(path: Path, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(chance.randrange(path.stat().st_size))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def cut(path: Path, chance: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(path, chance.choice([0, size - 1, chance.randrange(size)]))


def append(path: Path, chance: random.Random) -> None:
    with path.open("ab") as file:
        file.write(chance.randbytes(chance.choice([1, 8, 4096])))


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def exchange(path: Path, chance: random.Random) -> None:
    others = [p for p in path.parents[1].rglob("*") if p.is_file() and not p.is_symlink()]
    content = path.read_bytes()
    other = chance.choice([p for p in others if p.read_bytes() != content])
    path.write_bytes(other.read_bytes())


def link_to_equal_bytes(path: Path, _: random.Random) -> None:
    outside = path.parents[1] / f"{path.name}.outside"
    path.rename(outside)
    path.symlink_to(outside)


def link_to_nowhere(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def plant(path: Path, chance: random.Random) -> None:
    """Something more in the artefact's folder; records and pointers have none."""
    beside = path.with_name(f"more {chance.randrange(1000)}")
    match chance.randrange(4):
        case 0:
            beside.write_bytes(b"more")
        case 1:
            beside.symlink_to("/etc/hostname")
        case 2:
            os.mkfifo(beside)
        case _:
            beside.mkdir()


OTHERS: tuple[Damage, ...] = (
    *(cut, append, remove, exchange, link_to_equal_bytes, link_to_nowhere, pipe, folder, plant),
)


def files_of(store: Store, key: str) -> dict[Path, str]:
    """Every file that a trace of ``key`` vouches for, with the key that it belongs to.

    References are links, without bytes to damage; tests/core/test_store.py points them elsewhere.
    """
    files: dict[Path, str] = {}
    for node in trace(store, locate(store, key)).walk():
        artefact = node.artefact
        files |= {artefact.folder / name: artefact.key for name in (*artefact.files, MANIFEST)}
        record = store.root / "records" / f"{node.record.derivation}.json"
        files[record] = artefact.key
    return {path: owner for path, owner in files.items() if path.stat().st_size}


def use(artefact: Artefact, name: str) -> None:
    """Read one file as its users do."""
    if name.endswith(".arrow") and name in artefact.files:
        if isinstance(artefact, TokenShards):
            for shards in artefact.corpora(name.split("/")[0]).values():
                for shard in shards:
                    for number in range(len(shard)):
                        shard.tokens(number)
        else:
            for _ in artefact.table(name).batches():
                pass
    elif name in artefact.files:
        artefact.read(name)


@contextlib.contextmanager
def undone(path: Path) -> Iterator[None]:
    """Take back whatever happens to a file and what is planted beside it."""
    content, beside = path.read_bytes(), {*path.parent.iterdir()}
    path.chmod(0o644)
    try:
        yield
    finally:
        for more in {*path.parent.iterdir()} - beside | {path}:
            if more.is_dir() and not more.is_symlink():
                shutil.rmtree(more)
            else:
                more.unlink(missing_ok=True)
        path.parents[1].joinpath(f"{path.name}.outside").unlink(missing_ok=True)
        path.write_bytes(content)


def outcome(store: Store, key: str, path: Path, owner: str, opened: Artefact | None) -> str:
    """What a trace, and a use of an artefact that was opened before the damage, come to."""
    signal.alarm(SECONDS)
    try:
        said = failure(lambda: tree(trace(store, locate(store, key))))
        if said is None:
            return "missed by the trace"
        if opened is not None:
            name = path.relative_to(opened.folder).as_posix()
            if name in opened.files and failure(lambda: use(opened, name)) is None:
                return "missed by its users"
        named = str(path) in said or path.parent.name in said or owner in said
        return "found" if named else f"unnamed: {said[:200]}"
    except TimeoutError:
        return "a hang"
    except Exception as error:
        return f"a crash: {error!r}"[:200]
    finally:
        signal.alarm(0)


def failure(act: Callable[[], object]) -> str | None:
    """What an act says when it fails in a way that is ours: one line. None when it ends well."""
    try:
        act()
    except TimeoutError:
        raise
    except (ValueError, OSError) as error:  # as the command line takes them
        if isinstance(error, UnicodeError):
            raise
        return " ".join(str(error).split())
    return None


def main() -> int:
    """Damage, count and print the table; the exit code says whether all was found."""
    options = argparse.ArgumentParser()
    options.add_argument("store", type=Path)
    options.add_argument("key")
    options.add_argument("--flips", type=int, default=10_000)
    options.add_argument("--others", type=int, default=1_000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    chance, counts = random.Random(chosen.seed), Counter[tuple[str, str]]()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        root = Path(shutil.copytree(chosen.store.resolve(), Path(place) / "store", symlinks=True))
        store = Store(root)
        files = files_of(store, chosen.key)
        acts = [flip] * chosen.flips + [OTHERS[n % len(OTHERS)] for n in range(chosen.others)]
        for act in acts:
            path = chance.choice([*files])
            inside = path.parent.name != "records"
            opened = None
            if inside:
                version = next(p for p in (path, *path.parents) if len(p.name) == 64)
                opened = open_version(store, files[path], version.name)
            elif act is plant:
                continue  # beside a record may lie others, which say nothing of this one
            with undone(path):
                act(path, chance)
                # What is planted beside a file does not keep its users from it.
                found = outcome(
                    store, chosen.key, path, files[path], None if act is plant else opened
                )
            counts[act.__name__, found] += 1
            if found != "found":
                print(f"{act.__name__} {path.relative_to(root)}: {found}", flush=True)
    print(f"\n{len(files)} files, seed {chosen.seed}, {time.monotonic() - began:.0f} s\n")
    print("| damage | outcome | times |\n| --- | --- | ---: |")
    for (name, found), times in sorted(counts.items()):
        print(f"| {name} | {found} | {times} |")
    return int(any(found != "found" for _, found in counts))


if __name__ == "__main__":
    sys.exit(main())
