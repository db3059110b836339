"""Recipes and trace targets broken at random: taken, or refused in one line, and soon."""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import Record, StoreError
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.lineage.trace import locate, trace
from pipelines.lineage.tree import tree
from pipelines.recipe.loading import load_recipe
from pipelines.text.errors import TextError

SECONDS = 10  # of processor time for one input; the slowest takes a fraction of one
QUICK, LONG = 120, 6_000  # broken inputs of each kind
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1 << 31, 1 << 64, 10**400, 0.0, -1.5, 1e300, float("nan")),
    *(float("inf"), "", "x", "é" * 3000, "../..", "/etc/passwd", "https://a:b@c/d", "no"),
    *([], {}, [[]], [1, 2], [None], {"x": 1}, {"kind": "folder"}, {1: 2}, {None: 1}, "\u0000"),
)
JSON_VALUES = [
    v for v in ODD_VALUES if v == v and v != float("inf") and v not in ({1: 2}, {None: 1})
]
REFUSALS = (StoreError, CorruptArtefact, TextError)
ODD_TEXTS = (
    "\t",
    "\0",
    "&a *a",
    "<<: *a",
    "!!python/object:os.system",
    "? [a]\n",
    "{",
    "'",
    "\ufeff",
)
ODD_SIGNS = "\0/.@~%?*\\\u202e\ud800é 0aF-" + "x" * 3


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree of mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(value, key) for key, _ in items] if isinstance(value, dict | list) else []
    for container, key in list(found):
        if isinstance(container[key], dict | list):
            found += places(container[key])
    return found


def broken_tree(chance: random.Random) -> str:
    """A recipe with some values exchanged, removed, moved or misspelt."""
    content = yaml.safe_load(chance.choice(RECIPES).read_text(encoding="utf-8"))
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(places(content))
        match chance.randrange(5):
            case 0:
                container[key] = copy.deepcopy(chance.choice(ODD_VALUES))
            case 1:
                del container[key]
            case 2 if isinstance(container, dict):
                container[f"{key}x"] = container.pop(key)
            case 3 if isinstance(container, dict):
                container[chance.choice(["x", "kind", 3, None, True, "path"])] = container[key]
            case _:
                other, place = chance.choice(places(content))
                container[key] = copy.deepcopy(other[place])
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def broken_text(chance: random.Random) -> bytes:
    """A recipe's bytes with something put in, taken out or flipped."""
    data = bytearray(chance.choice(RECIPES).read_bytes())
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[place:place] = chance.choice(ODD_TEXTS).encode()
            case 1:
                del data[place : place + chance.randint(1, 40)]
            case _:
                data[place] ^= 1 << chance.randrange(8)
    return bytes(data)


def soon(act: Any, *refusals: type[Exception]) -> None:
    """An act ends well or by a refusal of one line, before its time is up."""
    began, said = time.process_time(), ""
    try:
        act()
    except refusals as error:
        said = str(error)
    assert len(said.splitlines()) < 2, said
    assert time.process_time() - began < SECONDS


def break_recipes(folder: Path, count: int, seed: int) -> None:
    path = folder / "broken.yaml"
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        whole = chance.random() < 0.7
        path.write_bytes(broken_tree(chance).encode() if whole else broken_text(chance))
        try:
            soon(partial(load_recipe, path), RecipeError)
        except BaseException:
            print(f"seed {seed} {number}:\n{path.read_bytes()!r}")
            raise


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A small store: a key with a parent, and a second version of it."""
    made = Store(tmp_path_factory.mktemp("fuzzed") / "store")
    parents: list[dict[str, str]] = []
    for key, text in (("a/raw_text", "one"), ("a/documents", "two"), ("a/documents", "three")):
        inputs = {p["input"]: p["version"] for p in parents if p["input"] != key}
        decides = {"code": text, "recipe": {}, "libraries": {}, "inputs": inputs}
        with made.work(key, digest(decides)) as work:
            draft = work.draft()
            (draft / "deep").mkdir()
            (draft / "deep" / "text.txt").write_text(text)
            kept = tuple(p for p in parents if p["input"] != key)
            record = Record(seal(draft), "Artefact", decides, kept, {})
            made.publish(key, draft, record)
        parents.append({"input": key, "version": record.version, "derivation": record.derivation})
    return made


def broken_target(store: Store, chance: random.Random) -> str:
    """Something near to a key, a version, a folder or a file of a store."""
    files = [str(path) for path in store.root.rglob("*")]
    keys = store.keys()
    versions = [version for key in keys for version in store.versions(key)]
    known = [*keys, *files, *(f"a/documents@{v}" for v in versions), *versions, "/", "."]
    letters = list(chance.choice(known))
    for _ in range(chance.randint(0, 3)):
        place = chance.randint(0, len(letters))
        letters[place : place + chance.randint(0, 2)] = chance.choice(ODD_SIGNS)
    return "".join(letters)


def traced(store: Store, target: str) -> list[str]:
    return tree(trace(store, locate(store, target)))


def break_targets(store: Store, count: int, seed: int) -> None:
    for number in range(count):
        target = broken_target(store, random.Random(f"{seed} {number}"))
        try:
            soon(
                lambda t=target: trace(store, locate(store, t)),
                StoreError,
                CorruptArtefact,
                TextError,
            )
        except BaseException:
            print(f"seed {seed} {number}: {target!r}")
            raise


def break_records(store: Store, folder: Path, count: int, seed: int) -> None:
    """Records and manifests with a value exchanged, made to fit their own digests."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        root = folder / "store"
        shutil.copytree(store.root, root, symlinks=True)
        path = chance.choice(sorted(root.rglob("records/*.json")))
        content = json.loads(path.read_bytes())
        del content["digest"]
        for _ in range(chance.randint(1, 2)):
            container, key = chance.choice(places(content))
            odd = chance.choice(JSON_VALUES)
            container[key] = copy.deepcopy(odd)
        path.unlink()
        place = path
        if isinstance(content.get("decides"), dict):
            place = path.with_name(f"{digest(content['decides'])}.json")
        place.write_bytes(canonical({**content, "digest": digest(content)}))
        try:
            for target in ("a/raw_text", "a/documents"):
                soon(partial(traced, Store(root), target), *REFUSALS)
        except BaseException:
            print(f"seed {seed} {number}: {place.name} {content}")
            raise
        shutil.rmtree(root)


def test_a_broken_recipe_is_taken_or_refused(tmp_path: Path) -> None:
    break_recipes(tmp_path, QUICK, 0)


def test_any_target_of_a_trace_is_found_or_refused(store: Store) -> None:
    break_targets(store, 4 * QUICK, 0)


def test_any_record_is_read_or_refused(store: Store, tmp_path: Path) -> None:
    break_records(store, tmp_path, QUICK, 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_broken_inputs_are_taken_or_refused(store: Store, tmp_path: Path) -> None:
    break_recipes(tmp_path, LONG, 1)
    break_targets(store, 4 * LONG, 1)
    break_records(store, tmp_path, LONG, 1)
