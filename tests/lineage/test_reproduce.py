"""``dragon reproduce``: a lineage is made again from its records, and a difference is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import canonical, digest
from pipelines.core.order import ORDER, declared_again, order_of, section_of
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.corpora.artefacts import RawText
from pipelines.corpora.sources.kinds.url import UrlSource
from pipelines.lineage.differences import differences, environments
from pipelines.lineage.reproduce import intended
from pipelines.lineage.trace import locate, trace
from pipelines.lineage.views import view_of
from pipelines.recipe.loading import load_recipe, load_recipes
from pipelines.stages import declare
from tests.conftest import CHECKOUT, COMMAND, Chain, Place
from tests.lineage.stores import DOCUMENTS, MODEL, RAW, fill, publish

EVERY = {one.key: one for one in declare(load_recipes(CHECKOUT / "recipes").values())}


def require_read_back(declared: Declaration) -> None:
    """The settings of a declaration are read from its order as they were, whatever they decide."""
    order = json.loads(canonical(order_of(declared)))
    if declared.settings is None:
        assert order["settings"] is None
        return
    again = section_of(type(declared.settings), order["settings"]["values"])
    assert again.decides() == declared.settings.decides()
    assert again.model_dump(mode="json") == declared.settings.model_dump(mode="json")


@pytest.mark.parametrize("key", EVERY)
def test_the_settings_of_every_declaration_are_read_back_from_its_order(key: str) -> None:
    require_read_back(EVERY[key])


CHANGES = {
    "a sweep": ("training: {", "sweep: {points: {training.clip: [0.5, 1.0]}}\ntraining: {"),
    "a trail": ("checkpoint_every: 4", "keep: {every: 4}, keep_best: true"),
    "a branch": ("checkpoint_every: 4", "from: {asset: other/foundation_states, step: 4}"),
    "a folder": (
        "{kind: generated, generator: dialogues, documents: 300, seed: 5}",
        "{kind: folder, path: my/texts, glob: '*.txt', licence: CC0-1.0}",
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_settings_that_no_shipped_recipe_has_are_read_back(
    recipe_file: Callable[..., Path], change: tuple[str, str]
) -> None:
    declared = declare([load_recipe(recipe_file(change))])
    ways = [one for whole in declared for way in whole.points.values() for one in way]
    assert bool(ways) == ("sweep" in change[1])
    for one in [*declared, *ways]:
        require_read_back(one)


def test_a_signature_of_an_address_is_in_no_order() -> None:
    address = "https://example.org/a.jsonl"
    source = UrlSource(
        kind="url", url=f"{address}?token=SECRET", sha256="0" * 64, licence="CC0-1.0"
    )
    declared = Declaration(
        key="a/raw_text",
        makes=RawText,
        making="pipelines.corpora.raw_text:read",
        group="",
        settings=source,
    )
    order = order_of(declared)
    assert "SECRET" not in json.dumps(order)
    assert order["settings"]["values"]["url"] == address


def test_every_record_of_the_chain_is_its_declaration_again(chain: Chain) -> None:
    for node in trace(chain.store, locate(chain.store, "tiny/report")).walk():
        record, artefact = node.record, node.artefact
        declared = declared_again(record, artefact.key, view_of(record.makes))
        loaded = {
            read["input"]: parent.artefact
            for read, parent in zip(record.parents, node.parents, strict=True)
        }
        assert digest(declared.decided_by(loaded, chain.project)) == record.derivation


# Differences


def weights(tensors: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return bytes(save(tensors))


def pair(tmp_path: Path, then: dict[str, bytes], now: dict[str, bytes]) -> list[str]:
    stores = [Store(tmp_path / name) for name in ("then", "now")]
    return differences(*(publish(s, MODEL, f) for s, f in zip(stores, (then, now), strict=True)))


def test_the_first_tensor_that_differs_is_named_with_count_and_size(tmp_path: Path) -> None:
    one = {"a": np.zeros((2, 3), "f4"), "b": np.arange(6, dtype="f4").reshape(2, 3)}
    other = {"a": one["a"], "b": one["b"].copy()}
    other["b"][1, 2] += 0.5
    other["b"][0, 1] += 0.25
    (told,) = pair(tmp_path, {"m.safetensors": weights(one)}, {"m.safetensors": weights(other)})
    assert told == (
        "m.safetensors: 1 of 2 tensors differ; the first is b: 2 of 6 values, at most by 0.5,"
        " first at [0, 1]"
    )


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (b'{"a":{"b":1}}', b'{"a":{"b":2}}', "f.json: a.b: 1 -> 2"),
        (None, b"{}", "f.json: is new"),
        (b"{}", None, "f.json: is missing"),
        (b'{"a":1}', b'{"a": 1}', "f.json: differs in its form alone"),
    ],
)
def test_the_first_value_that_differs_is_named(
    tmp_path: Path, then: bytes | None, now: bytes | None, said: str
) -> None:
    files = [{"x": b"same"} | ({"f.json": held} if held else {}) for held in (then, now)]
    assert pair(tmp_path, *files) == [said]


def test_the_first_byte_of_other_files_is_named(tmp_path: Path) -> None:
    told = pair(tmp_path, {"t.txt": b"abcdef"}, {"t.txt": b"abXdefg"})
    assert told == ["t.txt: 6 -> 7 bytes, the first that differs is 2"]


def test_the_first_step_of_a_curve_and_of_a_receipt_is_named(tmp_path: Path) -> None:
    curves = [{"train": [[1, 3.0], [2, last]], "validation": [[2, last]]} for last in (2.5, 2.25)]
    receipts = [
        {"steps": 250, "links": {"100": "a", "200": second}, "last": last}
        for second, last in ("bc", "de")
    ]
    both = [
        publish(
            Store(tmp_path / str(number)),
            MODEL,
            {"receipt.json": json.dumps(receipt).encode()},
            beside={"curve.json": json.dumps(curve).encode()},
        )
        for number, (curve, receipt) in enumerate(zip(curves, receipts, strict=True))
    ]
    curve, receipt, file = differences(*both)
    assert curve == "curve.json: the first step that differs is 2: train loss 2.5 -> 2.25"
    assert receipt == "receipt.json: one of the steps 101 to 200 read something else"
    assert file.startswith("receipt.json: ")


def test_environments_are_compared() -> None:
    def record(**made: Any) -> Record:
        return Record("0" * 64, "Artefact", {"inputs": {}, "recipe": {}}, (), made)

    told = environments(
        record(libraries={"torch": "2.9+cpu", "numpy": "2"}, threads=2, python="3.11.1"),
        record(libraries={"torch": "2.10+cpu", "numpy": "2"}, threads=1, python="3.11.1"),
    )
    assert told == ["library torch: 2.9+cpu -> 2.10+cpu", "threads: 2 -> 1"]


# Reproduction


def test_a_lineage_is_made_again_in_another_process(chain: Chain, tmp_path: Path) -> None:
    """Without its trainings, which take longer."""
    into = tmp_path / "again"
    told = chain.dragon("reproduce", "tiny/token_shards", "--into", str(into))
    assert told.code == 0, told.out + told.err + (into / "log").read_text()
    assert told.out.startswith("makes 4 of 4 links again\nequal ")
    assert told.out.endswith("\n4 links: 4 equal\n")
    assert told.err == ""
    again = Store(into / "store")
    for key in ("toy_dialogues/raw_text", "tiny/token_shards"):
        assert again.current(key, Artefact).version == chain.store.current(key, Artefact).version
    refused = chain.dragon("reproduce", "tiny/token_shards", "--into", str(into))
    assert "is not empty" in refused.fault


def forge(
    store: Store, key: str, files: dict[str, bytes] | None = None, **decides: Any
) -> Artefact:
    """Publish another version of a key, with the same record but for some of what decides it."""
    old = store.current(key, Artefact)
    record = store.current_record(key)
    changed = {**record.decides, **decides}
    assert old.beside is not None
    beside = {name: old.beside.read(name) or b"" for name in record.beside}
    with store.work(key, digest(changed)) as work:
        draft = work.draft()
        for name in old.files:
            (draft / name).write_bytes((files or {}).get(name) or old.read(name))
        forged = Record(seal(draft), record.makes, changed, record.parents, record.made)
        store.publish(key, draft, forged, beside=beside)
    return store.current(key, Artefact)


def test_other_code_is_said_before_anything_runs(copy: Chain) -> None:
    record = copy.store.current_record("tiny/tokenizer")
    forge(copy.store, "tiny/tokenizer", code="0" * 64)
    told = copy.dragon("reproduce", "tiny/tokenizer")
    assert told.code == 1
    first, second, *_, last = told.out.splitlines()
    assert first.startswith("cannot be made again: tiny/tokenizer: the code was another")
    if commit := record.made["git_commit"]:
        assert f"git worktree add ../dragon-{commit[:10]} {commit[:10]}" in first
    assert second == "makes 2 of 3 links again"
    assert last == "3 links: 2 equal, 1 not made again; the first is tiny/tokenizer"


def test_a_source_that_needs_the_network_is_copied(copy: Chain) -> None:
    recipe = copy.store.current_record("toy_dialogues/raw_text").decides["recipe"]
    forge(copy.store, "toy_dialogues/raw_text", recipe={**recipe, "kind": "package"})
    told = copy.dragon("reproduce", "toy_dialogues/raw_text", "--json")
    assert told.code == 0
    (link,) = json.loads(told.out)["links"]
    assert (link["outcome"], link["again"]) == ("copied", link["version"])
    assert link["told"] == ["its source (package) needs the network; --download fetches it again"]
    (folder,) = [copy.root / "objects" / link["version"]]
    (folder / "figures.json").chmod(0o644)
    (folder / "figures.json").write_bytes(b"{}")
    told = copy.dragon("reproduce", "toy_dialogues/raw_text", "--json")
    assert told.code == 1
    assert "figures.json" in json.loads(told.out)["links"][0]["told"][0]


@pytest.mark.slow
def test_the_whole_chain_is_reproduced(chain: Chain, tmp_path: Path) -> None:
    into = tmp_path / "again"
    told = chain.dragon("reproduce", "tiny/report", "--into", str(into), "--json")
    assert told.code == 0, told.out + (into / "log").read_text()
    links = json.loads(told.out)["links"]
    assert {link["key"] for link in links} == set(chain.store.keys())
    for link in links:
        assert link["outcome"] == "equal"
        assert link["again"] == link["version"]
        assert link["told"] == []
    again = Store(into / "store")
    assert {path.name for path in (again.root / "objects").iterdir()} == {
        path.name for path in (chain.root / "objects").iterdir()
    }
    for node in trace(chain.store, locate(chain.store, "tiny/report")).walk():
        made = again.record(node.record.derivation)
        assert made is not None
        assert made.beside == node.record.beside


@pytest.mark.slow
def test_a_flipped_weight_and_another_library_are_named(copy: Chain, tmp_path: Path) -> None:
    """The original has one weight that no training made, and here torch has another version."""
    weights = bytearray(copy.store.current("tiny/foundation", Artefact).read("model.safetensors"))
    weights[-1] ^= 1
    forge(copy.store, "tiny/foundation", {"model.safetensors": bytes(weights)})
    fake = tmp_path / "fake" / "torch-9.9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n")
    told = subprocess.run(
        [sys.executable, "-c", COMMAND, "reproduce", "tiny/foundation"],
        cwd=CHECKOUT,
        env={**os.environ, **copy.environment, "PYTHONPATH": f"{fake.parent}:{CHECKOUT}"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1, told.stderr
    lines = [line.strip() for line in told.stdout.splitlines()]
    assert lines[0].startswith("another version of a library is here: torch ")
    assert lines[0].endswith("-> 9.9.9: it made tiny/foundation")
    (place,) = [n for n, line in enumerate(lines) if line.startswith("DIFFERS")]
    assert "model.safetensors: 1 of " in lines[place + 1]
    assert ": 1 of " in lines[place + 1].split("the first is")[1]
    assert any(line.startswith("here: library torch: ") for line in lines[place:])
    assert lines[-1] == "5 links: 4 equal, 1 DIFFERS; the first is tiny/foundation"


def test_a_record_without_an_order_is_said(copy: Chain) -> None:
    path = copy.root / "records" / f"{copy.store.current_record('tiny/tokenizer').derivation}.json"
    record = Record.from_file(path)
    made = {name: value for name, value in record.made.items() if name != ORDER}
    plain = Record(record.version, record.makes, record.decides, record.parents, made)
    path.write_bytes(plain.to_bytes())
    (said,) = [
        link.barred
        for link in intended(
            trace(copy.store, locate(copy.store, "tiny/tokenizer")), download=False
        )
        if link.barred
    ]
    assert said == "the record has no order: an earlier version of dragon made it"


def test_where_nothing_can_be_made_again_nothing_runs(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "store")
    fill(place.store)
    told = place.dragon("reproduce", MODEL)
    assert told.code == 1
    first, _ = told.out.splitlines()
    assert first.startswith(f"cannot be made again: {RAW}, {DOCUMENTS}, {MODEL}: this program")
    assert told.out.endswith("makes 0 of 3 links again\n")
