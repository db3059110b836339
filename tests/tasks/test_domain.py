"""A foundation trained on, on another corpus: what it learned, what it forgot, what it is from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.core.stanza import RecipeError
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.evaluation.findings import Evaluation
from pipelines.recipe.loading import load_recipe
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint

RECIPE = """\
description: messages, trained on into dialogues
seed: 3
corpora:
  notes:
    source: {kind: generated, generator: messages, documents: 600, seed: 6}
    cleaning: [{step: normalise}]
    split: {validation: 0.1, test: 0.1}
  talk:
    weight: 0
    source: {kind: generated, generator: dialogues, documents: 300, seed: 5}
    split: {validation: 0.1, test: 0.1}
decontamination: {ngram: 20, drop: true}
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 32, n_layers: 1, n_heads: 1, context_length: 32}
training: {steps: 60, batch_size: 8, precision: fp32, validate_every: 30}
samples: ["A: hello"]
tasks:
  talking:
    kind: domain
    corpus: talk
    training: {steps: 60, batch_size: 8, precision: fp32, validate_every: 20, checkpoint_every: 25}
"""
SHARDS, MODEL = "onward/talking_token_shards", "onward/talking_domain"
EVALUATION = "onward/talking_evaluation"


@pytest.fixture(scope="module")
def onward(chain: Any, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The recipe, run once for all tests. To be read, never changed."""
    folder = tmp_path_factory.mktemp("onward")
    place = replace(chain, home=home, root=folder / "store")
    (folder / "onward.yaml").write_text(RECIPE)
    said = place.dragon("run", str(folder / "onward.yaml"), "--select", EVALUATION)
    assert said.code == 0, said.out + said.err
    return place


def test_the_domain_is_learned_and_the_general_text_is_asked_too(onward: Any) -> None:
    worth = onward.store.current(EVALUATION, Evaluation)
    figures = worth.figures()
    assert figures["domain_model_domain_bits_per_byte"] < (
        0.9 * figures["general_model_domain_bits_per_byte"]
    )
    assert (
        figures["general_model_general_bits_per_byte"]
        < (figures["general_model_domain_bits_per_byte"])
    )
    assert figures["forgotten_bits_per_byte"] == pytest.approx(
        figures["domain_model_general_bits_per_byte"]
        - figures["general_model_general_bits_per_byte"]
    )
    assert 0 < figures["gained_bits_per_byte_low"] < figures["gained_bits_per_byte"]
    assert figures["gained_bits_per_byte"] < figures["gained_bits_per_byte_high"]
    for model in ("general", "domain"):
        for text in ("general", "domain"):
            name = f"{model}_model_{text}_bits_per_byte"
            assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]
    findings = worth.findings()
    tables = findings.tables or {}
    gained, forgotten = tables["the difference that the training made"]
    assert gained["low"] == figures["gained_bits_per_byte_low"]
    assert forgotten["bits per byte"] == figures["forgotten_bits_per_byte"]
    rows = tables["bits per byte of held-out text"]
    assert [row["model"] for row in rows] == ["general", "domain"]
    assert rows[1]["domain text"] == figures["domain_model_domain_bits_per_byte"]
    comparison = findings.comparison
    assert comparison.ours == rows[1]["domain text"]
    assert comparison.baselines == {"general model": rows[0]["domain text"]}
    (sample,) = findings.samples or ()
    (both,) = tables["how each model goes on"]
    assert both["prompt"] == sample["prompt"] == "A: hello"
    assert both["domain"] == sample["continuation"] != both["general"]


def test_the_general_model_is_worth_what_its_own_evaluation_says(onward: Any) -> None:
    """One number by two ways: the foundation on its own test split, here and in its evaluation."""
    said = onward.dragon(
        *(
            "run",
            str(onward.root.parent / "onward.yaml"),
            "--select",
            "onward/foundation_evaluation",
        )
    )
    assert said.code == 0, said.err
    theirs = onward.store.current("onward/foundation_evaluation", Evaluation).figures()
    ours = onward.store.current(EVALUATION, Evaluation).figures()
    assert ours["general_model_general_bits_per_byte"] == theirs["test_bits_per_byte"]


def test_training_goes_on_from_the_foundations_weights(onward: Any) -> None:
    foundation = onward.store.current("onward/foundation", Checkpoint)
    domain = onward.store.current(MODEL, Checkpoint)
    assert domain.config() == foundation.config()
    before, after = foundation.tensors(), domain.tensors()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # A network drawn anew would begin near a uniform guess.
    first = domain.curve()["train"][0][1]
    assert first < 0.9 * math.log(foundation.config()["network"]["vocab_size"])
    assert list(domain.drawn()) == ["talk"]


def test_only_the_domains_clean_documents_are_learned(onward: Any) -> None:
    shards = onward.store.current(SHARDS, TokenShards)
    rows = {row["split"]: row for row in shards.summaries()}
    assert {row["corpus"] for row in shards.summaries()} == {"talk"}
    texts = onward.store.current("talk/documents", Documents)
    out = onward.store.current("onward/contamination", Contamination).left_out()["talk"]
    train = [document.id for document in texts.split("train")]
    assert out
    assert rows["train"]["documents"] == len(train) - len(out & set(train))
    assert rows["test"]["documents"] == len(list(texts.split("test")))


def test_a_domain_is_traced_to_its_documents_and_to_the_foundations(onward: Any) -> None:
    said = onward.dragon("trace", MODEL)
    assert said.code == 0, said.err
    for key in ("onward/foundation", SHARDS, "notes/documents", "talk/documents", "notes/raw_text"):
        assert key in said.out


def test_a_network_of_masked_words_is_refused(tmp_path: Path) -> None:
    changed = RECIPE.replace(
        "{architecture: gpt, preset: modern, d_model: 32, n_layers: 1, n_heads: 1,",
        "{architecture: bert, d_model: 32, n_layers: 1, n_heads: 1,",
    )
    path = tmp_path / "masked.yaml"
    path.write_text(changed)
    with pytest.raises(RecipeError, match="predicts the next token, and bert does not; choose"):
        load_recipe(path)
