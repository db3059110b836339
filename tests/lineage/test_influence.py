"""Influence: documents whose gradients point where an answer's does, and how far to trust it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model.batches.batching import IGNORED
from model.influence import gradient
from pipelines.core.record import StoreError
from pipelines.corpora.artefacts import Documents
from pipelines.lineage import influence
from pipelines.lineage.attribute import named
from pipelines.lineage.influence import batch_of, influences, rank, windows
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network
from tests.conftest import SMALLER, Place

MEASURED = {
    "recipe": "tiny", "documents": 1000, "retrainings": 40, "answers": 20, "first": 10,
    "noise": 0.5, "date": "2026-01-01",
    "ways": {
        "kept": {"correlation": 0.31, "error": 0.02, "lowest": 0.1, "highest": 0.5, "planted": 9},
        "end": {"correlation": 0.22, "error": 0.03, "lowest": -0.1, "highest": 0.4, "planted": 7},
    },
}  # fmt: skip
KEPT = ("checkpoint_every: 4}", "checkpoint_every: 4, keep: {every: 4}}")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Figures of another measurement than the shipped one."""
    (tmp_path / "agreement.json").write_text(json.dumps(MEASURED))
    monkeypatch.setattr(influence, "AGREEMENT", tmp_path / "agreement.json")


@pytest.fixture(scope="module")
def trained(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The smaller recipe's foundation, and another that kept its states. To be read."""
    folder = tmp_path_factory.mktemp("trained")
    place = Place(home, folder / "store")
    for name, text in {"smaller": SMALLER, "kept": SMALLER.replace(*KEPT)}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        recipe = str(folder / f"{name}.yaml")
        said = place.dragon("run", recipe, "--select", f"{name}/foundation")
        assert said.code == 0, said.err
    return place


def texts(place: Place) -> dict[str, str]:
    documents = place.store.current("talk/documents", Documents)
    return {document.id: document.text for document in documents.split("train")}


def test_windows_ask_each_token_once() -> None:
    tokens = list(range(10, 27))
    found = list(windows(tokens, start=0, length=8))
    assert [len(inputs) for inputs, _ in found] == [8, 8, 1]
    assert [t for _, targets in found for t in targets] == tokens
    assert [t for inputs, _ in found for t in inputs] == [0, *tokens[:-1]]
    asked = [t for _, targets in windows(tokens, 0, 8, unasked=10) for t in targets]
    assert asked == [IGNORED] * 10 + tokens[10:]
    batch = batch_of(found)
    assert batch.tokens.shape == batch.targets.shape == (3, 8)
    assert batch.counted == 17


def test_a_document_has_the_sum_over_its_windows_and_over_the_looks(trained: Place) -> None:
    checkpoint = trained.store.current("smaller/foundation", Checkpoint)
    network = load_network(checkpoint).eval()
    with torch.no_grad():  # after twelve steps most gradients are nearly 0
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    chance = torch.Generator().manual_seed(5)
    documents = [torch.randint(290, (n,), generator=chance).tolist() for n in (5, 40, 16, 33, 90)]
    asked = batch_of(windows(documents[1], 299, 16))
    looks = [influence.Look(1, 1.0, network), influence.Look(2, 0.25, network)]
    found = influences(looks, asked, lambda: documents, start=299, length=16)
    answer = gradient(network, asked)
    for tokens, score in zip(documents, found, strict=True):
        own = gradient(network, batch_of(windows(tokens, 299, 16)))
        exact = sum((own[n].double() * answer[n].double()).sum().item() for n in own)
        assert score == pytest.approx(1.25 * exact, rel=0.02, abs=0.02 * abs(found[1]))
    assert max(found) == found[1], "what was asked has the highest of all"


def test_a_training_document_as_the_answer_is_ranked(trained: Place) -> None:
    known = texts(trained)
    name, text = list(known.items())[17]
    model = named(trained.store, "smaller")
    found = rank(trained.store, model, text, most=len(known))
    assert len(found.documents) == found.count == len(known)
    assert (found.kept, found.steps) == (False, (12,))
    assert [row.influence for row in found.documents] == sorted(
        (row.influence for row in found.documents), reverse=True
    )
    place = [row.document_id for row in found.documents].index(name)
    row = found.documents[place]
    # Longer documents have longer gradients, and after twelve steps all point nearly one way.
    assert place < len(known) / 2
    assert row.influence > 0
    assert (row.corpus, row.licence, row.text) == ("talk", "CC0-1.0", text)
    tokenizer = trained.store.current("smaller/tokenizer", TokenizerFiles).load()
    assert row.tokens == len(tokenizer.encode(text)) + 1


def test_kept_states_are_looked_at_with_their_rates(
    trained: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[influence.Look] = []

    def noted(looks: object, *_: object, **__: object) -> list[float]:
        seen.extend(looks)  # type: ignore[arg-type]
        return [float(n) for n in range(len(texts(trained)))]

    monkeypatch.setattr(influence, "influences", noted)
    model = named(trained.store, "kept")
    found = rank(trained.store, model, "A: hello", most=2)
    assert (found.kept, found.steps) == (True, (4, 8, 12))
    assert [row.influence for row in found.documents] == [len(texts(trained)) - n for n in (1, 2)]
    assert [look.step for look in seen] == [4, 8, 12]
    assert [look.rate for look in seen] == pytest.approx([1.0, 5 / 7, 1 / 7])
    end = load_network(trained.store.current("kept/foundation", Checkpoint)).state_dict()
    assert all(torch.equal(end[name], t) for name, t in seen[-1].network.state_dict().items())
    assert not all(torch.equal(end[name], t) for name, t in seen[0].network.state_dict().items())


def test_a_prompt_is_read_and_not_asked(trained: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(_: object, asked: object, *__: object, **___: object) -> list[float]:
        seen.append(asked)
        return [0.0] * len(texts(trained))

    monkeypatch.setattr(influence, "influences", noted)
    model = named(trained.store, "smaller")
    rank(trained.store, model, "B: fine", prompt="A: hello there\n")
    tokenizer = trained.store.current("smaller/tokenizer", TokenizerFiles).load()
    targets = seen[0].targets.flatten()
    assert targets[targets != IGNORED].tolist() == tokenizer.encode("B: fine")
    assert tokenizer.decode(seen[0].tokens.flatten()[1:].tolist()).startswith("A: hello there")


def test_what_has_no_influence_is_said(trained: Place) -> None:
    with pytest.raises(StoreError, match="smaller/tokenizer: influence is told of a foundation"):
        rank(trained.store, named(trained.store, "smaller/tokenizer"), "hello")
    with pytest.raises(ValueError, match="the answer has no token"):
        rank(trained.store, named(trained.store, "smaller"), "")


@pytest.mark.parametrize("recipe", ["smaller", "kept"])
def test_the_command_shows_the_measured_agreement_beside_it(trained: Place, recipe: str) -> None:
    said = trained.dragon("attribute", recipe, "A: hello", "--influence", "3")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert [line[:3] for line in lines[:6:2]] == ["  1", "  2", "  3"]
    told = "kept after the steps 4, 8 and 12" if recipe == "kept" else "after step 12 alone"
    assert told in lines[-2]
    trust = "0.31 ± 0.02" if recipe == "kept" else "0.22 ± 0.03"
    assert f"a rank correlation of {trust} (1 is full agreement" in lines[-1]
    assert f"{9 if recipe == 'kept' else 7} were among the first 10" in lines[-1]
    asked = trained.dragon("attribute", recipe, "A: hello", "--influence", "3", "--json")
    content = json.loads(asked.out)
    assert content["agreement"] == MEASURED
    assert len(content["documents"]) == 3
    assert content["kept"] == (recipe == "kept")


def test_without_its_measure_no_ranking_is_told(
    trained: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(influence, "AGREEMENT", tmp_path / "absent.json")
    said = trained.dragon("attribute", "smaller", "A: hello", "--influence", "3")
    assert said.out == ""
    assert "absent, so it is not known how far a ranking by influence can be trusted" in said.err
    with pytest.raises(ValueError, match=r"measure it with python benchmarks/influence\.py"):
        rank(trained.store, named(trained.store, "smaller"), "A: hello")
