"""Every kind of asset has a check that says something in numbers, and each check can fail."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.checks import (
    catalogue,
    checks_of,
    decodes_back,
    has_text,
    in_each_split,
    licences_known,
    names_its_assets,
    sound_network,
    weights_there,
)
from pipelines.core.artefact import Artefact, build_manifest, read_manifest
from pipelines.core.identity import file_digest
from pipelines.core.project import CHECKOUT
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.examples.artefacts import Examples
from pipelines.interop.artefacts import Weights
from pipelines.lineage.views import open_current
from pipelines.orchestration.checks import result_of
from pipelines.recipe.loading import load_recipe, load_recipes
from pipelines.report.artefacts import Report
from pipelines.stages import declare, stages
from pipelines.text import tables
from pipelines.text.tables import Document
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import RECEIPT, Checkpoint
from tests.conftest import Chain

DECLARED = declare(load_recipes(CHECKOUT / "recipes").values())
MADE = stages(load_recipe(CHECKOUT / "recipes" / "tiny.yaml"))
READS = "reads_as_declared"
TINY = {one.key: one for one in MADE if not one.on_demand}


def artefact(view: type[Any], folder: Path, **files: bytes) -> Any:
    """An artefact with these files; ``__`` in a name is a slash, ``_DOT_`` a dot."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "manifest.json").write_bytes(build_manifest(folder))
    version = file_digest(folder / "manifest.json")
    return view("x/y", version, "", folder, read_manifest(folder, version))


def inputs_of(chain: Chain, key: str) -> dict[str, Artefact]:
    return {name: open_current(chain.store, of) for name, of in TINY[key].reads().items()}


def test_every_asset_has_a_check() -> None:
    checked = {applied.key for applied in checks_of(DECLARED)}
    # Nothing waits for what a person asks for; its reader checks every block.
    assert checked == {one.key for one in DECLARED if not one.on_demand}


def test_the_checks_of_tiny_pass_with_numbers(chain: Chain) -> None:
    for applied in checks_of(TINY.values()):
        found = open_current(chain.store, applied.key)
        result = result_of(applied, found, inputs_of(chain, applied.key))
        assert result.passed or applied.key == "tiny/foundation_evaluation", applied
        numbers = [v.value for v in result.metadata.values() if type(v.value) in (int, float)]
        assert numbers, applied.check.name


def test_a_check_that_cannot_read_has_not_passed(tmp_path: Path) -> None:
    (applied,) = (one for one in checks_of([TINY["tiny/report"]]))
    result = result_of(applied, artefact(Report, tmp_path, other=b"x"), {})
    assert not result.passed
    assert "does not list report.html" in str(result.metadata["fault"].value)


def test_a_source_without_documents_or_with_many_bad_rows_is_told(tmp_path: Path) -> None:
    def source(folder: Path, documents: int, unread: int) -> RawText:
        folder.mkdir()
        came = (Document(f"{n}", "text", "s", "MIT") for n in range(documents))
        index = tables.write_documents(folder, RawText.TABLE, came)
        with tables.TableWriter(folder, RawText.UNREAD, tables.unread_schema()) as writer:
            for n in range(unread):
                writer.add((f"{n}", "s", "MIT", "bad", "why"), 1)
        tables.write_index(folder, [index, writer.index])
        (folder / "figures.json").write_text(json.dumps({"documents": documents}))
        return artefact(RawText, folder)  # type: ignore[no-any-return]

    assert has_text.look(source(tmp_path / "good", 99, 1), ()).passed
    outcome = has_text.look(source(tmp_path / "bad", 9, 1), ())
    assert (outcome.passed, outcome.numbers["share left out"]) == (False, 0.1)
    assert not has_text.look(source(tmp_path / "none", 0, 0), ()).passed


def test_an_unknown_licence_is_told(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = open_current(chain.store, "toy_dialogues/documents")
    assert isinstance(documents, Documents)
    ledger = documents.ledger()
    ledger.licences = Counter({"MIT": 7, "Unknown": 2})
    monkeypatch.setattr(Documents, "ledger", lambda _: ledger)
    outcome = licences_known.look(documents, ())
    assert not outcome.passed
    assert outcome.numbers["documents of unknown licence"] == 2


def test_shards_of_other_text_are_told(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "tiny/token_shards"
    shards, inputs = open_current(chain.store, key), inputs_of(chain, key)
    assert isinstance(shards, TokenShards)
    assert decodes_back.look(shards, (), inputs).passed
    documents = inputs["documents/toy_dialogues"]
    assert isinstance(documents, Documents)
    other = [d._replace(text=d.text + "!") for d in documents.split("train")]
    monkeypatch.setattr(Documents, "split", lambda *_: iter(other))
    outcome = decodes_back.look(shards, (), inputs)
    assert not outcome.passed
    told = " ".join(outcome.numbers["wrong"])
    assert "decodes to another text" in told
    assert isinstance(inputs["tokenizer"], TokenizerFiles)


def weights(dtype: str, *bits: bytes) -> bytes:
    data = b"".join(bits)
    header = {
        "__metadata__": {"key": "x"},
        "a": {"dtype": dtype, "shape": [len(bits)], "data_offsets": [0, len(data)]},
    }
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data


@pytest.mark.parametrize(
    ("dtype", "one", "infinite"),
    [
        ("F32", b"\0\0\x80\x3f", b"\0\0\x80\x7f"),
        ("F32", b"\0\0\x80\xbf", b"\1\0\xc0\xff"),  # -1, not a number
        ("F16", b"\0\x3c", b"\0\x7c"),
        ("BF16", b"\x80\x3f", b"\x80\xff"),
        ("I32", b"\1\0\0\0", b""),
    ],
)
def test_a_weight_that_is_no_number_is_told(
    dtype: str, one: bytes, infinite: bytes, tmp_path: Path
) -> None:
    curve = json.dumps({"train": [], "validation": []}).encode()

    def network(name: str, *bits: bytes) -> Checkpoint:
        files = {"model_DOT_safetensors": weights(dtype, *bits), "curve_DOT_json": curve}
        return artefact(Checkpoint, tmp_path / name, **files)  # type: ignore[no-any-return]

    good = sound_network.look(network("good", one, one), ())
    assert (good.passed, good.numbers["weights"]) == (True, 2)
    if infinite:
        bad = sound_network.look(network("bad", one, infinite), ())
        assert (bad.passed, bad.numbers["not finite"], bad.numbers["in"]) == (False, 1, ["a"])


@pytest.mark.parametrize(
    ("train", "validation", "passed"),
    [
        ([[1, 2.0], [9, 1.0]], [[5, 2.0], [9, 1.5]], True),
        ([[1, 2.0], [9, 1.0]], [[9, 1.5]], True),
        ([[1, 2.0], [9, 2.0]], [[9, 1.5]], False),
        ([[1, 2.0], [9, 1.0]], [[5, 1.0], [9, 1.5]], False),
        ([[1, 2.0], [9, float("nan")]], [], False),
    ],
)
def test_a_loss_that_did_not_fall_is_told(
    train: Any, validation: Any, passed: bool, tmp_path: Path
) -> None:
    curve = json.dumps({"train": train, "validation": validation}).encode()
    one = weights("F32", b"\0\0\x80\x3f")
    files = {"model_DOT_safetensors": one, "curve_DOT_json": curve}
    outcome = sound_network.look(artefact(Checkpoint, tmp_path / "x", **files), ())
    assert outcome.passed is passed
    assert outcome.numbers["first train loss"] == 2.0


def test_a_label_that_a_split_lacks_is_told(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = open_current(chain.store, "toy_messages/toy_spam_examples")
    assert isinstance(examples, Examples)
    assert in_each_split.look(examples, ()).passed
    real = Examples.labelled

    def without_spam(self: Examples, split: str) -> Any:
        return (row for row in real(self, split) if split != "test" or row.label != "spam")

    monkeypatch.setattr(Examples, "labelled", without_spam)
    outcome = in_each_split.look(examples, ())
    assert not outcome.passed
    assert outcome.numbers["missing"] == ["spam in test"]


def test_weights_without_a_file_of_weights_are_told(tmp_path: Path) -> None:
    good = artefact(Weights, tmp_path / "a", files__a_DOT_gguf=b"12", files__b_DOT_json=b"{}")
    outcome = weights_there.look(good, ())
    assert (outcome.passed, outcome.numbers["bytes of weights"]) == (True, 2)
    for name, file in (("b", {"files__b_DOT_json": b"{}"}), ("c", {"files__a_DOT_gguf": b""})):
        assert not weights_there.look(artefact(Weights, tmp_path / name, **file), ()).passed


def test_a_report_that_lacks_an_asset_is_told(tmp_path: Path) -> None:
    page = b"<!doctype html><title>x</title><h2>foundation</h2></html>"
    report = artefact(Report, tmp_path, report_DOT_html=page)
    named: dict[str, Any] = {"artefacts/foundation": None}
    assert names_its_assets.look(report, (), named).passed
    outcome = names_its_assets.look(report, (), {**named, "artefacts/sms/documents": None})
    assert not outcome.passed
    assert outcome.numbers["first"] == ["sms/documents"]


def test_a_check_that_compares_or_recomputes_says_so() -> None:
    for check in catalogue().values():
        assert check.compares is (check.look.__code__.co_argcount == 3)
        assert check.recomputes is (check.look.__code__.co_argcount == 4)


@pytest.mark.parametrize("key", ["tiny/foundation", "tiny/toy_reply_assistant"])
def test_a_training_that_read_otherwise_is_told(
    key: str, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (applied,) = (
        one for one in checks_of(TINY.values()) if (one.key, one.check.name) == (key, READS)
    )
    trained, inputs = open_current(chain.store, key), inputs_of(chain, key)
    assert isinstance(trained, Checkpoint)
    outcome = applied.look(trained, inputs)
    assert (outcome.passed, outcome.numbers["read otherwise"]) == (True, [])
    assert outcome.numbers["links"] >= 2
    steps = trained.receipt()["steps"]
    lie = {**trained.receipt(), "last": "0" * 64}
    real = Checkpoint.json

    def lying(self: Checkpoint, name: str) -> Any:
        return lie if (self.key, name) == (key, RECEIPT) else real(self, name)

    monkeypatch.setattr(Checkpoint, "json", lying)
    assert not applied.look(trained, inputs).passed
    assert applied.look(trained, inputs, reused=True).passed
    assert f"{steps}" in applied.look(trained, inputs).numbers["read otherwise"][-1]
