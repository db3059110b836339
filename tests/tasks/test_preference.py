"""An assistant that learns to prefer one reply to another, through the whole program."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.artefact import Artefact
from pipelines.evaluation.findings import Evaluation, Findings
from pipelines.inference.session import open_session
from pipelines.lineage.steps import trained
from pipelines.lineage.views import view_of
from pipelines.tasks.preference.evaluation import Compared
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network
from pipelines.training.reference import Reference
from tests.conftest import SMALLER, Place

LN2 = math.log(2)
WORDS = ("the bus leaves at nine", "it rains today", "we met her there", "open the window")


def pairs(folder: Path) -> Path:
    """Questions with a short polite reply, which is chosen, and a rude one."""
    draw = random.Random(5)
    path = folder / "pairs.jsonl"
    lines = []
    for number in range(120):
        asked = f"{draw.choice(WORDS)} {number}?"
        lines.append({"text": f"A: {asked}\nB: yes, of course, thank you\nR: no no no"})
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


CORPUS = """\
  taste:
    weight: 0
    source: {kind: folder, path: PATH, outside: true, glob: "*.jsonl", licence: CC0-1.0}
    split: {validation: 0.15, test: 0.2}
"""
TASKS = """\
tasks:
  prefer:
    kind: preference
    of: reply
    corpus: taste
    training:
      {steps: 30, batch_size: 8, precision: fp32, validate_every: 10,
       method: {kind: lora, rank: 2, alpha: 4, learning_rate: 0.02}}
  reply:
    kind: assistant
    corpus: talk
    training:
      {steps: 12, batch_size: 8, precision: fp32, validate_every: 6, method: METHOD}
"""
LORA = "{kind: lora, rank: 2, alpha: 4}"


def recipe_of(folder: Path, method: str = LORA, **changes: str) -> Path:
    text = SMALLER.replace("context_length: 16", "context_length: 32")
    text = text.replace("tokenizer:", CORPUS.replace("PATH", str(folder)) + "tokenizer:", 1)
    text += TASKS.replace("METHOD", method)
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "smaller.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=[LORA, "{kind: full}"], ids=["on an adapter", "on weights"])
def ran(
    request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, Path]:
    folder = tmp_path_factory.mktemp("preference")
    pairs(folder)
    place, recipe = Place(home, folder / "store"), recipe_of(folder, request.param)
    said = place.dragon("run", str(recipe))
    assert said.code == 0, said.out + said.err
    return place, recipe


def model(place: Place, name: str) -> Checkpoint:
    return place.store.current(f"smaller/{name}", Checkpoint)


def test_it_begins_at_ln_2_and_the_margin_rises_on_held_out_pairs(
    ran: tuple[Place, Path],
) -> None:
    place, _ = ran
    losses = model(place, "prefer_assistant").curve()
    assert losses["train"][0][1] == pytest.approx(LN2, abs=1e-6)
    assert losses["validation"][-1][1] < 0.9 * LN2
    figures = place.store.current("smaller/prefer_evaluation", Evaluation).figures()
    assert figures["margin"] > 1
    assert figures["margin_accuracy"] > 0.9
    assert figures["likelier_accuracy"] >= figures["likelier_accuracy_before"]
    assert figures["preference_loss"] < 0.9 * LN2
    assert figures["test_pairs"] > 10
    assert figures["reply_loss"] != figures["reply_loss_before"]


def findings(place: Place) -> Findings:
    return place.store.current("smaller/prefer_evaluation", Evaluation).findings()


def test_its_evaluation_shows_both_assistants(ran: tuple[Place, Path]) -> None:
    found = findings(ran[0])
    assert found.comparison.baselines == {"the assistant, before": pytest.approx(LN2)}
    assert found.samples
    assert {"prompt", "before", "reply", "person"} <= found.samples[0].keys()


def test_the_result_adapts_whole_weights(ran: tuple[Place, Path]) -> None:
    place, _ = ran
    before, after = model(place, "reply_assistant"), model(place, "prefer_assistant")
    base = model(place, "foundation") if before.is_adapter else before
    assert after.config()["base"] == {"version": base.version}
    assert after.is_adapter
    assert {**after.config(), "base": 0} == {**before.config(), "base": 0} or not before.is_adapter
    load_network(after, base)


def test_the_reference_knows_both_replies_of_every_pair(ran: tuple[Place, Path]) -> None:
    place, _ = ran
    reference = place.store.current("smaller/prefer_reference", Reference)
    told = json.loads((reference.folder / "nats.json").read_bytes())
    assert sum(map(len, told.values())) == 120
    (name, chosen, rejected), *_ = told["test"]
    assert reference.nats("test", [name, name]) == [chosen, rejected] * 2
    assert 0 < rejected < chosen or chosen > 0
    with pytest.raises(ValueError, match="has no pair ghost of the test split"):
        reference.nats("test", ["ghost"])
    assert view_of("Reference") is Reference


def test_it_is_an_assistant_like_any(ran: tuple[Place, Path], tmp_path: Path) -> None:
    place, recipe = ran
    session = open_session(place.store, model(place, "prefer_assistant"))
    assert isinstance(session.reply("it rains today", length=4), str)
    said = place.dragon("chat", str(recipe), "--task", "prefer", stdin="hello\n")
    assert said.code == 0, said.err
    said = place.dragon("export", str(recipe), "--task", "prefer", "--to", str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert (tmp_path / "out" / "model.safetensors").exists()
    page = (place.home / "reports" / "smaller.html").read_text()
    assert "prefer" in page


def test_its_lineage_is_whole(ran: tuple[Place, Path]) -> None:
    place, _ = ran
    assistant = model(place, "prefer_assistant")
    assert trained(place.store, assistant).check(1, 30) >= 1
    drawn = {draw.document_id for draw in assistant.draws()}
    assert len(drawn) > 50
    traced = place.dragon("trace", "smaller/prefer_assistant").out
    for key in ("smaller/prefer_reference", "smaller/reply_assistant", "taste/prefer_examples"):
        assert key in traced
    said = place.dragon("reproduce", "smaller/prefer_assistant")
    assert said.code == 0, said.out + said.err
    assert re.search(r"equal +[0-9a-f]{12}  smaller/prefer_assistant", said.out), said.out
    assert re.search(r"equal +[0-9a-f]{12}  smaller/prefer_reference", said.out), said.out


def test_another_rate_makes_the_reference_not_anew(ran: tuple[Place, Path], tmp_path: Path) -> None:
    place, recipe = ran
    path = tmp_path / "smaller.yaml"
    path.write_text(recipe.read_text().replace("learning_rate: 0.02", "learning_rate: 0.01"))
    said = place.dragon("run", str(path), "--select", "smaller/prefer_assistant")
    assert said.code == 0, said.err
    assert re.search(r"smaller/prefer_reference +[0-9a-f]{12}  reused", said.out), said.out


# What it is compared by, and what does not fit


def test_figures_of_pairs_written_out() -> None:
    compared = Compared([5.0, 3.0, 2.0, 4.0], [4.0, 3.5, 2.5, 4.0], [2, 9, 3, 9])
    assert compared.margins == [1.5, -0.5]
    assert compared.losses(2.0) == pytest.approx([math.log1p(math.exp(-3)), math.log1p(math.e)])
    assert compared.figures() == {
        "margin": 0.5,
        "margin_accuracy": 0.5,
        "likelier_accuracy_before": 0.5,
        "likelier_accuracy": 0.5,
        "reply_loss_before": 7 / 5,
        "reply_loss": 6.5 / 5,
    }
    far = replace(compared, after=[4e4, 0.0, 0.0, 4e4])
    assert all(map(math.isfinite, far.losses(1.0)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"of: reply": "of: ghost"}, "tasks.prefer.of: ghost is not an assistant task of this"),
        ({"of: reply": "of: prefer"}, "tasks.prefer.of: prefer is not an assistant task"),
        ({"rank: 2, alpha: 4, learning_rate": "rank: 3, alpha: 4, learning_rate"},
         "training.method.rank: 3 does not fit the adapter that it trains on, .*; give 2"),
        ({"corpus: taste": "corpus: talk"}, "no chosen and rejected reply"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    place: Place, tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    pairs(tmp_path)
    said = place.dragon("run", str(recipe_of(tmp_path, **changes)))
    assert said.code
    assert re.search(told, said.out + said.err), said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_the_store_has_a_view_for_each(ran: tuple[Place, Path]) -> None:
    place, _ = ran
    for name in ("prefer_reference", "prefer_assistant", "prefer_evaluation"):
        assert place.store.current(f"smaller/{name}", Artefact).size > 0
