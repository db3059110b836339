"""Fine-tuning by each method through the whole program: run, read, verify, reproduce, export."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pipelines.core.artefact import Artefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.inference.session import open_session
from pipelines.lineage.steps import trained
from pipelines.lineage.trace import locate, trace
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network
from tests.conftest import SMALLER, Place, Said

TASKS = """\
  messages:
    weight: 0
    source: {kind: generated, generator: messages, documents: 300, seed: 2}
    split: {validation: 0.1, test: 0.2}
"""
METHODS = """\
tasks:
  reply:
    kind: assistant
    corpus: talk
    training:
      {steps: 12, batch_size: 8, precision: fp32, validate_every: 6,
       method: {kind: lora, rank: 2, alpha: 4, dropout: 0.1}}
  spam:
    kind: classifier
    corpus: messages
    labels: [ham, spam]
    training:
      {steps: 12, batch_size: 8, precision: fp32, validate_every: 6,
       method: {kind: lora, rank: 2, targets: attention}}
  ends:
    kind: classifier
    corpus: messages
    labels: [ham, spam]
    training:
      {steps: 80, batch_size: 8, precision: fp32, validate_every: 20, method: {kind: last_block}}
  more:
    kind: domain
    corpus: talk
    training:
      {steps: 8, batch_size: 4, precision: fp32, validate_every: 4,
       method: {kind: lora, rank: 2, targets: [queries, values]}}
"""
RECIPE = SMALLER.replace("tokenizer:", f"{TASKS}tokenizer:") + METHODS
ADAPTERS = ("smaller/reply_assistant", "smaller/spam_classifier", "smaller/more_domain")


class Ran(Place):
    """Where the recipe was run. To be read."""

    said: Said
    recipe: Path


@pytest.fixture(scope="module")
def ran(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("methods")
    recipe = folder / "smaller.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    place = Ran(home, folder / "store")
    object.__setattr__(place, "recipe", recipe)
    object.__setattr__(place, "said", place.dragon("run", str(recipe)))
    assert place.said.code == 0, place.said.out + place.said.err
    return place


@pytest.fixture
def copied(ran: Ran, tmp_path: Path) -> Place:
    shutil.copytree(ran.root, tmp_path / "store", symlinks=True)
    return Place(ran.home, tmp_path / "store")


def model(place: Place, key: str) -> Checkpoint:
    return place.store.current(key, Checkpoint)


def test_an_adapter_is_an_artefact_of_its_own(ran: Ran) -> None:
    base = model(ran, "smaller/foundation")
    for key in ADAPTERS:
        adapter = model(ran, key)
        assert adapter.is_adapter
        assert "model.safetensors" not in adapter.files
        assert adapter.config()["base"] == {"version": base.version}
        assert adapter.files["adapter.safetensors"].size < base.files["model.safetensors"].size / 2
        record = ran.store.record(adapter.derivation, adapter.version)
        assert record is not None
        assert base.version in {parent["version"] for parent in record.parents}
        with safe_open(adapter.folder / "adapter.safetensors", "pt") as file:
            names = {name.rpartition(".")[2] for name in file.keys()}  # noqa: SIM118
        assert names <= {"up", "down", "weight", "bias"}
        assert adapter.receipt()["steps"] == adapter.figures()["steps"]
    head = {name for name in model(ran, ADAPTERS[1]).tensors() if name.startswith("head.")}
    assert head == {"head.weight", "head.bias"}
    whole = model(ran, "smaller/ends_classifier")
    assert not whole.is_adapter


def test_what_is_frozen_keeps_the_bytes_of_the_foundation(ran: Ran) -> None:
    base = model(ran, "smaller/foundation").tensors()
    whole = model(ran, "smaller/ends_classifier").tensors()
    moved = {
        name for name, tensor in base.items() if not torch.equal(tensor, whole[f"network.{name}"])
    }
    assert moved
    assert all(name.startswith("blocks.0.") for name in moved)  # its only block


def test_a_session_opens_an_adapter_with_its_base(ran: Ran) -> None:
    assistant = open_session(ran.store, model(ran, ADAPTERS[0]))
    assert isinstance(assistant.reply("Hello", length=4), str)
    classifier = open_session(ran.store, model(ran, ADAPTERS[1]))
    assert set(classifier.classify("win a prize now")) == {"ham", "spam"}
    domain = open_session(ran.store, model(ran, ADAPTERS[2]))
    assert domain.generate("A: hello", length=4)
    said = ran.dragon("chat", str(ran.recipe), stdin="hello\n")
    assert said.code == 0, said.err
    assert assistant.in_eight_bits().reply("Hello", length=4) is not None


def test_without_its_base_it_is_told(copied: Place) -> None:
    adapter = model(copied, ADAPTERS[0])
    shutil.rmtree(copied.store.folder(adapter.config()["base"]["version"]))
    told = "smaller/reply_assistant: the store has no version"
    with pytest.raises(StoreError, match=told):
        open_session(copied.store, adapter)


def test_a_swapped_base_is_refused_by_its_version(ran: Ran) -> None:
    """FAULTS 54."""
    adapter, other = model(ran, ADAPTERS[0]), model(ran, "smaller/ends_classifier")
    with pytest.raises(ValueError, match=r"adapts the weights [0-9a-f]{12}, given smaller/ends_cl"):
        load_network(adapter, other)


def test_the_receipt_and_the_certificate_hold(ran: Ran) -> None:
    for key in ADAPTERS:
        training = trained(ran.store, model(ran, key))
        assert training.check(1, 8) >= 1
        assert ran.dragon("certificate", key).code == 0


def test_the_lineage_is_verified_traced_and_reproduced(ran: Ran) -> None:
    assert ran.dragon("verify", ADAPTERS[0]).code == 0
    traced = ran.dragon("trace", ADAPTERS[0]).out
    assert "smaller/foundation" in traced
    said = ran.dragon("reproduce", ADAPTERS[0])
    assert said.code == 0, said.out + said.err
    assert re.search(r"equal +[0-9a-f]{12}  smaller/reply_assistant", said.out), said.out


def test_a_changed_adapter_is_named(copied: Place) -> None:
    adapter = model(copied, ADAPTERS[0])
    path = adapter.folder / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    said = copied.dragon("verify", ADAPTERS[0])
    assert said.code
    assert "adapter.safetensors" in said.out + said.err


def test_the_report_says_what_learned(ran: Ran) -> None:
    page = (ran.home / "reports" / "smaller.html").read_text()
    assert "lora:" in page
    assert "rank 2, alpha 4" in page
    assert "only the last blocks (1) and the last norm learned" in page
    shown = json.loads(ran.dragon("show", ADAPTERS[0], "--json").out)
    assert shown["figures"]["trained_parameters"] < shown["figures"]["parameters"]


def test_exports_merged_and_apart(ran: Ran, tmp_path: Path) -> None:
    for more, files in (
        ((), {"model.safetensors", "config.json"}),
        (("--adapter",), {"adapter_model.safetensors", "adapter_config.json"}),
    ):
        folder = tmp_path / f"out{len(more)}"
        arguments = ("export", str(ran.recipe), "--task", "reply", "--to", str(folder), *more)
        said = ran.dragon(*arguments)
        assert said.code == 0, said.err
        assert files < {path.name for path in folder.iterdir()}
        assert ran.dragon("trace", str(folder)).code == 0
    whole = ran.dragon("export", str(ran.recipe), "--adapter", "--to", str(tmp_path / "no"))
    assert "smaller/foundation: has whole weights and is no adapter" in whole.fault


def test_the_second_run_makes_nothing(ran: Ran) -> None:
    said = ran.dragon("run", str(ran.recipe))
    assert said.code == 0
    assert "made in" not in said.out


WRONG: dict[str, tuple[str, str, str]] = {
    "an unknown method": ("kind: last_block", "kind: first_block", "first_block"),
    "a name that no layer has": ("[queries, values]", "[querys]", "'querys' is no linear layer"),
    "more blocks than there are": (
        "{kind: last_block}", "{kind: last_block, blocks: 3}", "blocks: 3 is more than the network",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_one_line(
    copied: Place, tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = tmp_path / "smaller.yaml"
    path.write_text(RECIPE.replace(old, new), encoding="utf-8")
    said = copied.dragon("run", str(path))
    assert said.code
    assert told in said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_the_store_holds_no_second_copy_of_the_foundation(ran: Ran) -> None:
    """An adapter's version is a few kilobytes beside its base."""
    sizes = {key: Store(ran.root).current(key, Artefact).size for key in ADAPTERS}
    assert max(sizes.values()) < model(ran, "smaller/foundation").size
    lineage = trace(ran.store, locate(ran.store, ADAPTERS[0]))
    assert any(node.artefact.key == "smaller/foundation" for node in lineage.walk())
